//! The HTTP client for Entra and Resource Manager: time-outs, the system's trust roots and those of `SSL_CERT_FILE`.

use std::time::Duration;

/// A client that gives up connecting after 5 s and a whole exchange after 30 s.
/// Outbound proxies are taken from the environment; redirects are not followed.
///
/// # Errors
/// When the trust roots can't be loaded.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("identity-injector/", env!("CARGO_PKG_VERSION")))
        .build()
}
