//! The ways to Azure that the command line names.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;

use super::desired::Desired;
use super::{Options, SetupError};
use crate::azure::address::Address;
use crate::azure::arm::{self, Transport};
use crate::azure::clock::Clock;
use crate::azure::http;
use crate::azure::settling::{SETTLING_WINDOW, Settling};
use crate::azure::sign_in;
use crate::azure::token::{Entra, Exchanges};

/// Resource Manager, signed in on demand.
pub(super) fn resource_manager(
    options: &Options,
    desired: &Desired,
) -> Result<arm::Client, SetupError> {
    let cloud = options.cloud;
    let endpoint: Address = options
        .arm_url
        .as_deref()
        .unwrap_or_else(|| cloud.resource_manager())
        .parse()
        .map_err(SetupError::Arm)?;
    let authority_host = authority_host(options)?;
    let audience = arm_audience(options);
    let transport = Arc::new(Transport::new(http::client()?));
    let method = options.sign_in.method(|name| std::env::var(name).ok())?;
    tracing::info!("Azure sign-in by {method}, Resource Manager at {endpoint}");
    let subscription = desired.group.subscription;
    let credential = sign_in::credential(
        method,
        authority_host.url(),
        subscription,
        transport.clone(),
    )?;
    Ok(arm::Client::new(endpoint, audience, credential, transport))
}

fn authority_host(options: &Options) -> Result<Address, SetupError> {
    let host = options.authority_host.as_deref();
    let host = host.unwrap_or_else(|| options.cloud.authority_host());
    host.parse().map_err(SetupError::Authority)
}

/// What tokens for Resource Manager are asked for.
pub(super) fn arm_audience(options: &Options) -> &str {
    let audience = options.arm_audience.as_deref();
    audience.unwrap_or_else(|| options.cloud.resource_manager())
}

/// Entra, for assertions at hand.
pub(super) fn entra(options: &Options) -> Result<Entra, SetupError> {
    Ok(Entra {
        http: http::client()?,
        authority: authority_host(options)?,
        token_file: PathBuf::new(),
        settling: Settling {
            window: SETTLING_WINDOW,
            newcomers_until: Instant::now(),
        },
        exchanges: Exchanges::default(),
        clock: Clock::default(),
    })
}
