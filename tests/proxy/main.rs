//! The proxy in process and as binary, between scripted peers: Entra's token endpoint and the node's IMDS.

// `cfg(test)`, so that the lint table's allowances for tests hold in the helpers too.
#[cfg(test)]
mod authority;
#[cfg(test)]
mod binary;
#[cfg(test)]
mod containment;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod late;
#[cfg(test)]
mod lifetime;
#[cfg(test)]
mod log;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod passthrough;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod process;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod running;
#[cfg(test)]
#[path = "../support/scrape.rs"]
mod scrape;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod smuggling;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod tokens;
