//! What the API server can, asked at the start and again every few minutes: control planes are upgraded under us.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::version::Info;

use super::ready::Pending;
use crate::reason::reason;

/// First minor version whose native sidecars are trusted, as the reference does.
const NATIVE_SIDECARS: (u32, u32) = (1, 32);
const REFRESH: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(2);
/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the API server can.
#[derive(Clone, Debug, Default)]
pub struct ApiServer {
    native_sidecars: Arc<AtomicBool>,
}

impl ApiServer {
    /// Whether init containers may stay as sidecars.
    #[must_use]
    pub fn native_sidecars(&self) -> bool {
        self.native_sidecars.load(Ordering::Relaxed)
    }

    /// Asks for the version for ever. The guard is dropped when the first answer is there.
    pub async fn follow(self, client: kube::Client, pending: Pending) {
        let mut pending = Some(pending);
        loop {
            match ask(&client).await {
                Ok(version) => {
                    let supported = at_least(&version.major, &version.minor, NATIVE_SIDECARS);
                    if self.native_sidecars.swap(supported, Ordering::Relaxed) != supported
                        || pending.is_some()
                    {
                        tracing::info!(
                            version = version.git_version,
                            native_sidecars = supported,
                            "API server"
                        );
                    }
                    pending = None;
                }
                Err(reason) if pending.is_some() => {
                    tracing::warn!(reason, "API server's version not known");
                }
                Err(_) => {}
            }
            tokio::time::sleep(if pending.is_some() { RETRY } else { REFRESH }).await;
        }
    }
}

async fn ask(client: &kube::Client) -> Result<Info, String> {
    match tokio::time::timeout(PATIENCE, client.apiserver_version()).await {
        Ok(answer) => answer.map_err(|error| reason(&error)),
        Err(_) => Err(format!("no answer within {}s", PATIENCE.as_secs())),
    }
}

/// Compares versions; managed clusters write the minor as in `32+`.
fn at_least(major: &str, minor: &str, wanted: (u32, u32)) -> bool {
    let number = |text: &str| {
        text.trim_end_matches(|c: char| !c.is_ascii_digit())
            .parse::<u32>()
            .unwrap_or_default()
    };
    (number(major), number(minor)) >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let table = [
            ("1", "32", true),
            ("1", "31", false),
            ("1", "36+", true),
            ("2", "0", true),
            ("0", "99", false),
            ("", "", false),
        ];
        for (major, minor, supported) in table {
            assert_eq!(
                at_least(major, minor, NATIVE_SIDECARS),
                supported,
                "{major}.{minor}"
            );
        }
    }
}
