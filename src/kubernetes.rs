//! The one way to an API server: a kubeconfig file, or the pod's own service account. And the names it takes.

use std::path::Path;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};

use tower::timeout::TimeoutLayer;

use crate::reason::reason;

/// How long connecting may take. Reading has no end here, as watches are silent for long.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long the head of an answer may take: of a watch it comes at once, of what is long only the body comes slowly. Without
/// it a connection that died silently would keep a watch waiting for ever.
const HEAD_LIMIT: Duration = Duration::from_secs(35);

/// No way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The named kubeconfig can't be used.
    #[error("kubeconfig {path}: {reason}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// Why, in one line.
        reason: String,
    },
    /// Neither KUBECONFIG, nor ~/.kube/config, nor a service account is there.
    #[error(
        "no API server known: give --kubeconfig FILE, or run in a pod with a service account ({0})"
    )]
    Infer(String),
    /// The client can't be built.
    #[error("API server client: {0}")]
    Client(String),
}

/// A client from `kubeconfig`, else from KUBECONFIG or ~/.kube/config, else from the pod.
///
/// # Errors
/// When none of these is there or one can't be read.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<kube::Client, Error> {
    client(config(kubeconfig).await?)
}

/// A client by `config`.
///
/// # Errors
/// When a key or certificate in it can't be used.
pub fn client(config: Config) -> Result<kube::Client, Error> {
    let builder = ClientBuilder::try_from(config).map_err(|error| Error::Client(said(&error)))?;
    Ok(builder.with_layer(&TimeoutLayer::new(HEAD_LIMIT)).build())
}

/// What `connect` makes its client from.
///
/// # Errors
/// As [`connect`].
pub async fn config(kubeconfig: Option<&Path>) -> Result<Config, Error> {
    let mut config = match kubeconfig {
        Some(path) => read(path).await.map_err(|error| Error::Kubeconfig {
            path: path.display().to_string(),
            reason: match error {
                // Without the lines around it, which may hold a secret.
                KubeconfigError::Parse(error) => error.without_snippet().to_string(),
                error => said(&error),
            },
        })?,
        None => Config::infer()
            .await
            .map_err(|error| Error::Infer(said(&error)))?,
    };
    config.connect_timeout = Some(CONNECT_LIMIT);
    // Outbound proxies of the environment are for Azure; the API server is near, and reached without one.
    config.proxy_url = None;
    Ok(config)
}

async fn read(path: &Path) -> Result<Config, KubeconfigError> {
    let file = Kubeconfig::read_from(path)?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await
}

// kube puts two pairs of quotes around a path.
fn said(error: &(dyn std::error::Error + 'static)) -> String {
    reason(error).replace("'\"", "\"").replace("\"'", "\"")
}

/// Whether a Namespace can have this name.
#[must_use]
pub fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_part(name)
}

/// Whether a ServiceAccount, and most other objects, can have this name. Its parts have no limit of their own.
#[must_use]
pub fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_part)
}

fn is_part(name: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(word) && !name.starts_with('-') && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It takes the connection and says nothing, for ever.
    #[tokio::test(start_paused = true)]
    async fn a_silent_api_server_is_not_waited_for_for_ever() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let client = client(Config::new(url.parse().unwrap())).unwrap();
        let start = tokio::time::Instant::now();
        client.apiserver_version().await.unwrap_err();
        assert!(start.elapsed() <= HEAD_LIMIT + Duration::from_secs(1));
    }

    #[test]
    fn names() {
        let long = |length: usize| "a".repeat(length);
        let table = [
            ("shop", true, true),
            ("0-1", true, true),
            ("a.b", false, true),
            (&long(63), true, true),
            (&long(64), false, true),
            (&long(253), false, true),
            (&long(254), false, false),
            ("", false, false),
            ("a..b", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("A", false, false),
            ("a/b", false, false),
            ("é", false, false),
        ];
        for (name, label, subdomain) in table {
            assert_eq!(
                (is_dns_label(name), is_dns_subdomain(name)),
                (label, subdomain),
                "{name:?}"
            );
        }
    }
}
