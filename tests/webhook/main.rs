//! The webhook in process: a real TLS listener on loopback, its ServiceAccounts and Namespaces from a small API server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod certificate;
mod connections;
mod corpus;
mod health;
mod lookups;
mod metrics;
mod reviews;
#[path = "../support/scrape.rs"]
mod scrape;
#[path = "../support/mod.rs"]
mod support;
mod world;
