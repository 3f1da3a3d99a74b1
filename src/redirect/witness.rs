//! The proof: what is sent to the instance metadata service arrives at the proxy's port, where we listen ourselves.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{Error, IMDS};

/// How long the proof may take. On loopback it is done in less than a millisecond.
const LIMIT: Duration = Duration::from_secs(3);

/// Listens where the proxy is going to.
pub struct Witness {
    listener: TcpListener,
    address: SocketAddrV4,
}

impl Witness {
    /// # Errors
    /// When the port is taken.
    pub async fn listen(port: u16) -> Result<Self, Error> {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self { listener, address }),
            Err(source) => Err(Error::Listen { address, source }),
        }
    }

    /// Connects to the instance metadata service and must meet itself; says how long that took.
    ///
    /// # Errors
    /// When somebody else was met, or nobody.
    pub async fn meet(self) -> Result<Duration, Error> {
        let start = Instant::now();
        // Whoever else is met answers this like any bad request.
        let word = format!("identity-injector redirect {}\r\n\r\n", Uuid::new_v4());
        let met = async { tokio::try_join!(say(&word), self.hear(&word)) };
        match timeout(LIMIT, met).await {
            Ok(Ok((ours, theirs))) => {
                // Who closes first keeps the port for a minute, and the proxy's must be free.
                drop(ours);
                drop(theirs);
                Ok(start.elapsed())
            }
            Ok(Err(error)) if is_unreachable(&error) => Err(Error::NoRoute(error)),
            Ok(Err(error)) => Err(Error::NotMet {
                address: self.address,
                reason: error.to_string(),
            }),
            Err(_) => Err(Error::NotMet {
                address: self.address,
                reason: format!("nothing arrived within {} s", LIMIT.as_secs()),
            }),
        }
    }

    /// Others may connect while we listen; only who says the word is us.
    async fn hear(&self, word: &str) -> io::Result<TcpStream> {
        loop {
            let (mut peer, _) = self.listener.accept().await?;
            let mut heard = vec![0; word.len()];
            if peer.read_exact(&mut heard).await.is_ok() && heard == word.as_bytes() {
                return Ok(peer);
            }
        }
    }
}

async fn say(word: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(IMDS).await?;
    stream.write_all(word.as_bytes()).await?;
    Ok(stream)
}

fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable
    )
}
