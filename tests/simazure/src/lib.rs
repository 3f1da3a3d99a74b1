//! A simulated Azure for tests and demonstrations: Resource Manager, Microsoft Entra and one node's IMDS.
//!
//! ```text
//! https://localhost:PORT   arm    subscriptions, resource groups, identities, federated credentials, AKS clusters
//!                          entra  OpenID Connect metadata, keys, token endpoint (client secret, federated assertion)
//!                          /simulator/journal  GET: every request so far; DELETE: clear. No sign-in
//! http://127.0.0.1:PORT    imds   answers as the node; a request of a captured pod seen here is a leak
//! ```
//!
//! Tokens and assertions are truly signed and truly verified. The ids below are fixed, so that a walk can be written
//! down; those of identities are made when the identity is.

#![doc(test(attr(deny(warnings))))]

mod arm;
mod azure;
mod entra;
mod imds;
pub mod journal;
pub mod jwt;
mod principal;
mod server;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use server::{Error, Simulation, start};
pub use tls::Error as TlsError;

/// The one subscription.
pub const SUBSCRIPTION: &str = "5ab5c21b-7101-4000-8000-000000000001";
/// The one tenant.
pub const TENANT: &str = "7e4a4700-7101-4000-8000-000000000002";
/// Client id of the administrator's service principal.
pub const CLIENT_ID: &str = "ad314000-7101-4000-8000-000000000003";
/// Object id of the administrator's service principal.
pub const CLIENT_OBJECT_ID: &str = "ad314000-7101-4000-8000-000000000004";
/// Client secret of the administrator's service principal. No secret: it opens nothing but a simulation.
pub const CLIENT_SECRET: &str = "simulated-and-not-secret";
/// Client id that the node's own tokens carry as `appid`, beside the claim `xms_node`.
pub const NODE_CLIENT_ID: &str = "40de0000-7101-4000-8000-000000000005";
/// Object id of the node's own identity.
pub const NODE_OBJECT_ID: &str = "40de0000-7101-4000-8000-000000000006";
/// The node's name, as its IMDS tells it.
pub const NODE_NAME: &str = "simulated-node";
/// A resource the tenant has no principal for, unless [`Options::denied_resources`] says otherwise.
pub const UNKNOWN_RESOURCE: &str = "https://unknown.example.test";

/// An AKS cluster that exists from the start, with its resource group (in westus2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Name of its resource group.
    pub resource_group: String,
    /// Its name.
    pub name: String,
    /// Its OIDC issuer URL, told byte for byte.
    pub issuer: String,
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
        }
    }
}
