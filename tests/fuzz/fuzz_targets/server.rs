//! The server's side of a decision: defaults, and a ServiceAccount with an identity.

use std::sync::OnceLock;

use identity_injector::inject::{Annotations, Capture, Defaults, Passthrough, Resources};
use identity_injector::names;

pub fn defaults() -> &'static Defaults {
    static DEFAULTS: OnceLock<Defaults> = OnceLock::new();
    DEFAULTS.get_or_init(|| {
        let quantity = |text: &str| text.parse().expect("a quantity");
        Defaults {
            tenant_id: Some("tenant".to_owned()),
            authority_host: "https://login.microsoftonline.com/".to_owned(),
            audience: names::DEFAULT_AUDIENCE.to_owned(),
            proxy_image: "image".to_owned(),
            native_sidecar: true,
            capture: Capture::Redirect,
            imds_passthrough: Passthrough::Allow,
            token_expiration: names::DEFAULT_TOKEN_EXPIRATION,
            resources: Resources {
                cpu_request: quantity("10m"),
                cpu_limit: quantity("100m"),
                memory_request: quantity("16Mi"),
                memory_limit: quantity("64Mi"),
            },
        }
    })
}

#[allow(dead_code, reason = "one of the two targets makes its own")]
pub fn account() -> Annotations {
    [(names::CLIENT_ID, "11111111-2222-3333-4444-555555555555")]
        .into_iter()
        .collect()
}
