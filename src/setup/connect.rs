//! The ways to Azure that the command line names.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use super::{Options, SetupError};
use crate::azure::arm::{self, Transport};
use crate::azure::clock::Clock;
use crate::azure::endpoints::Endpoints;
use crate::azure::http;
use crate::azure::settling::{SETTLING_WINDOW, Settling};
use crate::azure::sign_in;
use crate::azure::token::{Entra, Exchanges};

/// Where Azure's services are: as the cloud has them, but for what the command line says.
pub(super) async fn endpoints(options: &Options) -> Result<Endpoints, SetupError> {
    let arm = options.arm_url.as_deref().map(str::parse).transpose();
    let arm = arm.map_err(SetupError::Arm)?;
    let authority = options
        .authority_host
        .as_deref()
        .map(str::parse)
        .transpose();
    let authority = authority.map_err(SetupError::Authority)?;
    let of_cloud = options.cloud.endpoints(&http::client()?).await?;
    let audience = options.arm_audience.clone();
    Ok(Endpoints {
        resource_manager: arm.unwrap_or(of_cloud.resource_manager),
        audience: audience.unwrap_or(of_cloud.audience),
        authority_host: authority.unwrap_or(of_cloud.authority_host),
    })
}

/// Resource Manager, signed in on demand.
pub(super) fn resource_manager(
    options: &Options,
    endpoints: &Endpoints,
    subscription: Uuid,
) -> Result<arm::Client, SetupError> {
    let Endpoints {
        resource_manager,
        audience,
        authority_host,
    } = endpoints;
    let transport = Arc::new(Transport::new(http::client()?));
    let method = options.sign_in.method(|name| std::env::var(name).ok())?;
    tracing::info!("Azure sign-in by {method}, Resource Manager at {resource_manager}");
    let credential = sign_in::credential(
        method,
        authority_host.url(),
        subscription,
        transport.clone(),
    )?;
    let endpoint = resource_manager.clone();
    Ok(arm::Client::new(endpoint, audience, credential, transport))
}

/// Entra, for assertions at hand.
pub(super) fn entra(endpoints: &Endpoints) -> Result<Entra, SetupError> {
    Ok(Entra {
        http: http::client()?,
        authority: endpoints.authority_host.clone(),
        token_file: PathBuf::new(),
        settling: Settling {
            window: SETTLING_WINDOW,
            newcomers_until: Instant::now(),
        },
        exchanges: Exchanges::default(),
        clock: Clock::default(),
    })
}
