//! The flags that decide what pods get, shared by the webhook and the offline commands.

use clap::{Args, ValueEnum};

use super::{Capture, Defaults, Passthrough, Resources};
use crate::cloud::Cloud;
use crate::names;

/// The flags behind [`Defaults`].
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What pods get")]
pub struct Flags {
    /// Tenant of pods whose ServiceAccount has no azure.workload.identity/tenant-id
    #[arg(long, env = names::AZURE_TENANT_ID)]
    tenant_id: Option<String>,
    /// Microsoft Entra's address, where it is not the cloud's own
    #[arg(long, env = names::AZURE_AUTHORITY_HOST, value_parser = https)]
    authority_host: Option<String>,
    /// The Azure cloud: public, usgovernment or china (the reference's names are accepted too)
    #[arg(long, env = "AZURE_ENVIRONMENT", default_value_t)]
    cloud: Cloud,
    /// Audience of the projected token; the federated credential must have the same
    #[arg(long, env = "TOKEN_AUDIENCE", default_value = names::DEFAULT_AUDIENCE)]
    audience: String,
    /// Image of the injected containers
    #[arg(long, env = "PROXY_IMAGE", default_value = concat!("ghcr.io/identity-injector/identity-injector:", env!("CARGO_PKG_VERSION")))]
    proxy_image: String,
    /// Whether the proxy is a native sidecar: auto asks the API server (1.32 or later; offline yes)
    #[arg(long, env = "PROXY_NATIVE_SIDECAR", value_enum, default_value_t)]
    native_sidecar: NativeSidecar,
    /// How IMDS requests reach the proxy, unless pod or Namespace say
    #[arg(long, env = "PROXY_CAPTURE", value_enum, default_value_t)]
    capture: Capture,
    /// What becomes of IMDS paths other than identity, unless pod or Namespace say
    #[arg(long, env = "IMDS_PASSTHROUGH", value_enum, default_value_t)]
    imds_passthrough: Passthrough,
    #[command(flatten)]
    resources: Resources,
}

/// Whether the proxy runs as a native sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NativeSidecar {
    /// As the API server can.
    #[default]
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

impl NativeSidecar {
    /// The answer, given what the API server can.
    #[must_use]
    pub fn resolve(self, supported: bool) -> bool {
        match self {
            NativeSidecar::Auto => supported,
            NativeSidecar::Always => true,
            NativeSidecar::Never => false,
        }
    }
}

impl Flags {
    /// The defaults they make, given whether the API server can run native sidecars.
    #[must_use]
    pub fn defaults(&self, native_sidecars_supported: bool) -> Defaults {
        let authority_host = self
            .authority_host
            .as_deref()
            .unwrap_or_else(|| self.cloud.authority_host());
        Defaults {
            tenant_id: self.tenant_id.clone().filter(|tenant| !tenant.is_empty()),
            authority_host: authority_host.to_owned(),
            audience: self.audience.clone(),
            proxy_image: self.proxy_image.clone(),
            native_sidecar: self.native_sidecar.resolve(native_sidecars_supported),
            capture: self.capture,
            imds_passthrough: self.imds_passthrough,
            token_expiration: names::DEFAULT_TOKEN_EXPIRATION,
            resources: self.resources.clone(),
        }
    }

    /// Whether anything depends on what the API server can.
    #[must_use]
    pub fn asks_the_api_server(&self) -> bool {
        self.native_sidecar == NativeSidecar::Auto
    }
}

fn https(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.has_host() => Ok(text.to_owned()),
        _ => Err("not an https URL; use one as in https://login.microsoftonline.com/".to_owned()),
    }
}
