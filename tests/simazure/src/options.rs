//! What to simulate, and where.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::Clock;

/// A resource the tenant has no principal for, unless [`Options::denied_resources`] says otherwise.
pub const UNKNOWN_RESOURCE: &str = "https://unknown.example.test";

/// An AKS cluster that exists from the start, with its resource group (in westus2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Name of its resource group.
    pub resource_group: String,
    /// Its name.
    pub name: String,
    /// Its OIDC issuer URL, told byte for byte.
    pub issuer: String,
    /// What `az aks get-credentials` gets; empty for none.
    pub kubeconfig: String,
}

/// What to simulate, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address of the HTTPS listener; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Address of the node's IMDS; port 0 takes a free one.
    pub imds_bind: SocketAddr,
    /// File of the network namespace in which that address is, as `/proc/1/ns/net`; None is the caller's own.
    pub imds_namespace: Option<PathBuf>,
    /// PEM certificates of the authorities that federated issuers are trusted by, beside the simulation's own.
    pub issuer_cas: Vec<String>,
    /// The clusters that exist.
    pub clusters: Vec<Cluster>,
    /// Resources answered with AADSTS500011.
    pub denied_resources: Vec<String>,
    /// Resource providers that must be registered before their first use, such as `Microsoft.ManagedIdentity`.
    pub unregistered: Vec<String>,
    /// The clock that everything is measured by.
    pub clock: Clock,
    /// How long Azure takes.
    pub lags: Lags,
    /// Whether the published request limits hold.
    pub throttling: bool,
    /// Most items of one page of a list.
    pub page_size: usize,
}

/// How long Azure takes to do and to know. None of it by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lags {
    /// Until a new or deleted identity is known beyond Resource Manager: to its credentials' provider
    /// (ParentResourceNotFound before), to role assignments (PrincipalNotFound) and to Entra (AADSTS700016).
    pub identity: Duration,
    /// Until Entra knows of a written or deleted federated credential (AADSTS70025, 700211, 700213 before).
    pub credential: Duration,
    /// How long Entra answers a client from what it knew when it last found no match.
    pub negative_cache: Duration,
    /// How long the write of a federated credential takes; a second one to the same identity meanwhile is a 409.
    pub write: Duration,
    /// How long a long-running operation runs: deletion of a group, every write of a cluster.
    pub operation: Duration,
}

impl Lags {
    /// What azure-protocols.md tells of the real ones: seconds as a rule, minutes for who asks too early.
    #[must_use]
    pub fn typical() -> Self {
        Self {
            identity: Duration::from_secs(10),
            credential: Duration::from_secs(5),
            negative_cache: Duration::from_secs(120),
            write: Duration::from_secs(1),
            operation: Duration::from_secs(30),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            bind: loopback,
            imds_bind: loopback,
            imds_namespace: None,
            issuer_cas: Vec::new(),
            clusters: Vec::new(),
            denied_resources: vec![UNKNOWN_RESOURCE.to_owned()],
            unregistered: Vec::new(),
            clock: Clock::running(),
            lags: Lags::default(),
            throttling: false,
            page_size: 100,
        }
    }
}
