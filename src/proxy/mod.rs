//! The `proxy` command: answers the pod's IMDS and App Service token requests with tokens of its own identity.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::{Args as ClapArgs, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::azure;
use crate::azure::address::{self, BadAddress};
use crate::azure::cache::Cache;
use crate::azure::clock::Clock;
use crate::azure::settling::{SETTLING_WINDOW, Settling};
use crate::azure::token::{Entra, Exchanges};
use crate::cloud::Cloud;
use crate::exit::{Exit, Failure};
use crate::names;
use crate::proxy::imds::Rules;
use crate::proxy::metrics::Metrics;
use crate::proxy::passthrough::Passthrough;
use crate::proxy::resource_ids::{BadResourceIds, ResourceIds};
use crate::proxy::server::Proxy;

pub mod imds;
pub mod metrics;
pub mod passthrough;
pub mod path;
pub mod refusal;
pub mod reply;
pub mod resource_ids;
pub mod server;
pub mod wait;

/// How long `--wait` waits.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// Arguments of `proxy`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// Port to listen on, at 127.0.0.1 and [::1]
    #[arg(long, env = "PROXY_PORT", default_value_t = names::DEFAULT_PROXY_PORT)]
    pub port: u16,
    /// What happens to requests that are not for tokens
    #[arg(long, env = "IMDS_PASSTHROUGH", value_enum, default_value_t = ImdsPassthrough::Allow)]
    pub imds_passthrough: ImdsPassthrough,
    /// Address of the node's instance metadata service
    #[arg(long, env = "IMDS_URL", default_value = names::IMDS_URL)]
    pub imds_url: String,
    /// Serve nothing; return once a proxy on this port listens, or fail after 60 s
    #[arg(long, env = "PROXY_WAIT")]
    pub wait: bool,
    /// Client id of requests that name no identity
    #[arg(long, env = names::AZURE_CLIENT_ID)]
    pub client_id: Option<String>,
    /// Tenant of the identities
    #[arg(long, env = names::AZURE_TENANT_ID)]
    pub tenant_id: Option<String>,
    /// File of the projected service-account token
    #[arg(long, env = names::AZURE_FEDERATED_TOKEN_FILE, default_value = names::TOKEN_PATH)]
    pub federated_token_file: PathBuf,
    /// Microsoft Entra's address
    #[arg(long, env = names::AZURE_AUTHORITY_HOST, default_value = Cloud::Public.authority_host())]
    pub authority_host: String,
    /// Seconds from the start in which a client id that had no token yet waits for its federated credential to appear,
    /// where others are answered with 400; 0 to wait for none
    #[arg(
        long,
        env = "CREDENTIAL_WAIT",
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(..=3600)
    )]
    pub credential_wait: u64,
    /// Where /metrics is answered, over plain HTTP; nowhere unless said
    #[arg(long, env = "METRICS", value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// Value that the X-IDENTITY-HEADER (or secret) header of App Service requests must have
    #[arg(long, env = names::IDENTITY_HEADER, hide_env_values = true)]
    pub identity_header: Option<SecretString>,
    /// Further values of that header, one a line
    #[arg(long, env = names::ACCEPTED_IDENTITY_HEADERS, hide_env_values = true)]
    pub accepted_identity_headers: Option<SecretString>,
    /// JSON object of resource id or object id to client id, for requests that name the identity so
    #[arg(long, env = names::PROXY_RESOURCE_IDS)]
    pub resource_ids: Option<String>,
}

/// What happens to requests that are not for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImdsPassthrough {
    /// They are handed to the node's instance metadata service
    Allow,
    /// They are answered with 404
    Deny,
}

/// Arguments that no proxy can start with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No tenant.
    #[error(
        "AZURE_TENANT_ID not set: give --tenant-id, or annotate the ServiceAccount with {}",
        names::TENANT_ID
    )]
    NoTenant,
    /// The tenant can't stand in a URL.
    #[error(
        "--tenant-id (AZURE_TENANT_ID) {0:?}: the GUID or a domain name of one tenant is expected"
    )]
    Tenant(String),
    /// Entra's address.
    #[error("--authority-host (AZURE_AUTHORITY_HOST) {0}")]
    Authority(#[from] BadAddress),
    /// The node's address.
    #[error(
        "--imds-url (IMDS_URL) {0:?}: an address as in {example} is expected", example = names::IMDS_URL
    )]
    ImdsUrl(String),
    /// The map.
    #[error("--resource-ids ({variable}): {0}", variable = names::PROXY_RESOURCE_IDS)]
    ResourceIds(#[from] BadResourceIds),
    /// The client for Entra.
    #[error(transparent)]
    EntraClient(#[from] azure::http::Error),
    /// The client for the node.
    #[error("HTTP client: {0}")]
    NodeClient(#[from] reqwest::Error),
}

impl Error {
    fn exit(&self) -> Exit {
        match self {
            Self::EntraClient(_) | Self::NodeClient(_) => Exit::Failed,
            _ => Exit::Usage,
        }
    }
}

/// Runs the command until `shutdown`.
///
/// # Errors
/// When it can't start, or a listener fails.
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<Exit, Failure> {
    if args.wait {
        return Ok(wait(args.port, shutdown).await?);
    }
    let proxy = args
        .proxy(SETTLING_WINDOW, Instant::now())
        .map_err(|error| Failure {
            exit: error.exit(),
            error: error.into(),
        })?;
    let Rules {
        client_id,
        tenant_id,
        ..
    } = &proxy.rules;
    let (client_id, tenant_id) = (client_id.clone(), Arc::clone(tenant_id));
    let bound = proxy.bind(args.port, args.metrics).await?;
    info!(
        addresses = ?bound.addresses(),
        client_id = client_id.as_deref().unwrap_or("as requested"),
        tenant_id = &*tenant_id,
        authority = args.authority_host,
        passthrough = args.imds_passthrough == ImdsPassthrough::Allow,
        metrics = bound.metrics().map(tracing::field::display),
        "proxy serves"
    );
    bound.run(shutdown).await?;
    Ok(Exit::Done)
}

async fn wait(port: u16, shutdown: CancellationToken) -> anyhow::Result<Exit> {
    let limit = WAIT_LIMIT.as_secs();
    tokio::select! {
        ready = wait::ready(port, WAIT_LIMIT) => {
            ensure!(ready, "no proxy was ready on 127.0.0.1:{port} within {limit} s");
            Ok(Exit::Done)
        }
        () = shutdown.cancelled() => bail!("stopped before a proxy was ready on 127.0.0.1:{port}"),
    }
}

impl Args {
    /// The proxy these arguments describe, whose life begins at `start`. Inside each request, errors of Entra that may
    /// settle are asked about again for `window`.
    ///
    /// # Errors
    /// When an argument can't be used.
    pub fn proxy(&self, window: Duration, start: Instant) -> Result<Proxy, Error> {
        let passthrough = match self.imds_passthrough {
            ImdsPassthrough::Allow => Some(Passthrough::new(&imds_address(&self.imds_url)?)?),
            ImdsPassthrough::Deny => None,
        };
        let exchanges = Exchanges::default();
        Ok(Proxy {
            rules: self.rules()?,
            metrics: Metrics::new(&exchanges),
            cache: Cache::new(Entra {
                authority: self.authority_host.parse()?,
                http: azure::http::client()?,
                token_file: self.federated_token_file.clone(),
                settling: Settling {
                    window,
                    newcomers_until: start + Duration::from_secs(self.credential_wait),
                },
                exchanges,
                clock: Clock::default(),
            }),
            passthrough,
        })
    }

    fn rules(&self) -> Result<Rules, Error> {
        let tenant_id = present(self.tenant_id.as_deref()).ok_or(Error::NoTenant)?;
        if !is_tenant(tenant_id) {
            return Err(Error::Tenant(tenant_id.to_owned()));
        }
        let resource_ids = match present(self.resource_ids.as_deref()) {
            Some(json) => json.parse()?,
            None => ResourceIds::default(),
        };
        Ok(Rules {
            tenant_id: Arc::from(tenant_id),
            client_id: present(self.client_id.as_deref()).map(Arc::from),
            identity_headers: self.identity_headers(),
            resource_ids,
        })
    }

    fn identity_headers(&self) -> Vec<SecretString> {
        [&self.identity_header, &self.accepted_identity_headers]
            .into_iter()
            .flatten()
            .flat_map(|values| values.expose_secret().lines())
            .filter_map(|value| present(Some(value)))
            .map(SecretString::from)
            .collect()
    }
}

fn present(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

/// Whether `text` can stand for a tenant in Entra's path, and for one tenant only.
fn is_tenant(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let label = |label: &str| !label.is_empty() && label.bytes().all(plain);
    let lower = text.to_ascii_lowercase();
    text.split('.').all(label) && !["common", "consumers", "organizations"].contains(&&*lower)
}

fn imds_address(text: &str) -> Result<String, Error> {
    match address::plain(text) {
        Ok(url) if url.scheme() == "http" && url.path() == "/" => Ok(url.to_string()),
        _ => Err(Error::ImdsUrl(address::shown(text))),
    }
}
