//! Connections as an API server keeps them: HTTP/1.1, one request after the other.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::world::World;

struct Kept(StreamOwned<ClientConnection, TcpStream>);

impl Kept {
    fn open(world: &World) -> Self {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(world.certificates.ca_pem.as_bytes());
        roots.add(ca.unwrap()).unwrap();
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let url = reqwest::Url::parse(&world.reviews).unwrap();
        let address = ("127.0.0.1", url.port().unwrap());
        Kept(StreamOwned::new(tls, TcpStream::connect(address).unwrap()))
    }

    /// Asks something short; the reply, empty where the connection is closed.
    async fn ask(mut self) -> (Self, String) {
        let asking = tokio::task::spawn_blocking(move || {
            let request =
                "POST /mutate-v1-pod HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
            self.0.write_all(request.as_bytes()).unwrap();
            let mut reply = vec![0; 4096];
            let length = self.0.read(&mut reply).unwrap_or(0);
            reply.truncate(length);
            (self, String::from_utf8(reply).unwrap())
        });
        asking.await.unwrap()
    }
}

/// An API server that finds its idle connection closed under its hands fails the admission it sends.
#[tokio::test]
async fn an_idle_connection_is_kept() {
    let world = World::start(&[]).await;
    let (kept, first) = Kept::open(&world).ask().await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    let (_, second) = kept.ask().await;
    for reply in [first, second] {
        assert!(reply.starts_with("HTTP/1.1 400"), "{reply:?}");
        assert!(!reply.contains("connection: close"), "{reply:?}");
    }
}

#[tokio::test]
async fn a_leaving_replica_lets_go_of_each_connection_with_its_answer() {
    let world = World::start(&["--drain-delay=5"]).await;
    let (kept, _) = Kept::open(&world).ask().await;
    world.shutdown.cancel();
    let (_, reply) = kept.ask().await;
    assert!(reply.starts_with("HTTP/1.1 400"), "{reply:?}");
    assert!(reply.contains("connection: close"), "{reply:?}");
}
