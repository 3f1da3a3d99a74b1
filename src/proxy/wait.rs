//! The client mode: waits until the proxy of this pod listens.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const QUESTION: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200";

/// The wait between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// How long an attempt may take.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(1);

/// Whether a proxy on `port` says within `limit` that it is ready. Refused connections are tried again.
pub async fn ready(port: u16, limit: Duration) -> bool {
    let attempts = async {
        while !matches!(timeout(ATTEMPT_LIMIT, ask(port)).await, Ok(Ok(true))) {
            sleep(PAUSE).await;
        }
    };
    timeout(limit, attempts).await.is_ok()
}

async fn ask(port: u16) -> std::io::Result<bool> {
    let mut proxy = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    proxy.write_all(QUESTION).await?;
    let mut answer = [0; ANSWER.len()];
    proxy.read_exact(&mut answer).await?;
    Ok(answer == ANSWER)
}
