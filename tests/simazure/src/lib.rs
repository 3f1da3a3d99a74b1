//! A simulated Azure for tests and demonstrations: Resource Manager, Microsoft Entra and one node's IMDS.
//!
//! ```text
//! https://localhost:PORT   arm    groups, identities, federated credentials, AKS clusters, role assignments, providers
//!                          entra  OpenID Connect metadata, keys, token endpoint (client secret, federated assertion),
//!                                 and the directory that Microsoft Graph reads
//!                          /simulator/journal  GET: every request so far; DELETE: clear. No sign-in here and below
//!                          /simulator/faults   POST: a [`Fault`]; GET: calls counted and faults waiting; DELETE: clear
//!                          /simulator/clock    POST {"advance": SECONDS}; GET: Unix time
//! http://127.0.0.1:PORT    imds   answers as the node; a request of a captured pod seen here is a leak
//! ```
//!
//! ```text
//! request -> journal -> faults -> arm: bearer, then Resources::answer(call) -> reply   pure: state + call + now
//!                                       | limits, then the noun's own verbs
//!                                       +-> directory, after a lag -> entra: who a client is, and its credentials
//! ```
//!
//! Tokens and assertions are truly signed and truly verified. The ids below are fixed, so that a walk can be written
//! down; those of identities are made when the identity is.

#![doc(test(attr(deny(warnings))))]

mod arm;
mod azure;
mod clock;
mod connection;
mod entra;
pub mod faults;
mod glob;
mod imds;
pub mod journal;
pub mod jwt;
mod listen;
mod options;
mod principal;
mod server;
mod simulator;
mod tls;

pub use clock::Clock;
pub use faults::Fault;
pub use options::{Cluster, Lags, Options, UNKNOWN_RESOURCE};
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
