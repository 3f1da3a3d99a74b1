//! A pair from files: read before anything listens, read again every few seconds, offered when the bytes changed.
//! Bytes are compared, not file events: a mounted Secret changes by a symlink swap that a watch on the file never sees.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use super::pair::Pair;

/// How often the files are read.
pub const POLL: Duration = Duration::from_secs(5);

/// A file that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", .path.display())]
pub struct Error {
    /// The file.
    path: PathBuf,
    /// Why.
    source: std::io::Error,
}

/// Reads `tls.crt` and `tls.key`.
///
/// # Errors
/// When one can't be read.
pub async fn read(directory: &Path) -> Result<Pair, Error> {
    let read = async |name: &str| {
        let path = directory.join(name);
        let bytes = tokio::fs::read(&path).await;
        bytes.map_err(|source| Error { path, source })
    };
    let (certificate, key) = (read("tls.crt").await?, read("tls.key").await?);
    Ok(Pair::new(directory.display().to_string(), certificate, key))
}

/// Reads the files every `poll`, for ever, and offers what they hold when it changed.
pub async fn follow(directory: PathBuf, offered: watch::Sender<Option<Pair>>, poll: Duration) {
    loop {
        tokio::time::sleep(poll).await;
        // A file that is missing for a moment is the middle of a swap: the next round sees the end of it.
        let Ok(pair) = read(&directory).await else {
            continue;
        };
        offered.send_if_modified(|offered| {
            let differs = offered.as_ref() != Some(&pair);
            *offered = Some(pair);
            differs
        });
    }
}
