//! Bytes that peers may frame in different ways: the node never sees a request for an identity in them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::peers::{Answer, Peer};
use crate::running::Running;

const SMUGGLED: &str =
    "GET /metadata/identity/oauth2/token?resource=r HTTP/1.1\r\nHost: x\r\nX-Smuggled: 1\r\n\r\n";

#[tokio::test]
async fn requests_in_requests() {
    let length = SMUGGLED.len();
    // name, what is sent, the statuses of the answers, the targets that the node sees
    let table: [(&str, String, &[u16], &[&str]); 22] = [
        (
            "a body that looks like a request",
            format!("POST /metadata/instance HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
            &[200],
            &["/metadata/instance"],
        ),
        (
            "the same in chunks",
            format!("POST /metadata/instance HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{length:x};x=y\r\n{SMUGGLED}\r\n0\r\n\r\n"),
            &[200],
            &["/metadata/instance"],
        ),
        (
            "the same in trailers",
            format!("POST /metadata/instance HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n{SMUGGLED}"),
            &[200, 400],
            &["/metadata/instance"],
        ),
        (
            "chunks and a length",
            format!("POST /metadata/instance HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
            &[200],
            &["/metadata/instance"],
        ),
        (
            "two lengths",
            format!("POST /metadata/instance HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
            &[400],
            &[],
        ),
        (
            "a length with a sign",
            format!("POST /metadata/instance HTTP/1.1\r\nHost: x\r\nContent-Length: +{length}\r\n\r\n{SMUGGLED}"),
            &[400],
            &[],
        ),
        (
            "an encoding that is almost chunked",
            format!("POST /metadata/instance HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n{SMUGGLED}"),
            &[400],
            &[],
        ),
        (
            "a blank before the colon",
            format!("POST /metadata/instance HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n{SMUGGLED}"),
            &[400],
            &[],
        ),
        (
            "a folded header",
            "GET /metadata/instance HTTP/1.1\r\nHost: x\r\nX: a\r\n GET /metadata/identity/info HTTP/1.1\r\n\r\n".to_owned(),
            &[400],
            &[],
        ),
        (
            "a return alone in a header",
            "GET /metadata/instance HTTP/1.1\r\nHost: x\r\nX: a\rGET /metadata/identity/info HTTP/1.1\r\n\r\n".to_owned(),
            &[400],
            &[],
        ),
        (
            "a blank in the target",
            "GET /metadata/instance /../identity/info HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            &[400],
            &[],
        ),
        (
            "a zero byte in the target",
            "GET /metadata/instance\0/../identity/info HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            &[400],
            &[],
        ),
        (
            "another host in the target",
            "GET http://169.254.169.254/metadata/identity/issuecredential HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            &[404],
            &[],
        ),
        (
            "a whole URL in the target",
            "GET http://169.254.169.254/metadata/instance HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            &[200],
            &["/metadata/instance"],
        ),
        (
            "a tunnel",
            format!("CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n{SMUGGLED}"),
            &[400, 400],
            &[],
        ),
        (
            "no path",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            &[400],
            &[],
        ),
        (
            "HTTP/0.9",
            "GET /metadata/identity/oauth2/token?resource=r\r\n".to_owned(),
            &[400],
            &[],
        ),
        (
            "HTTP/2 at once",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            &[],
            &[],
        ),
        (
            "an upgrade to HTTP/2",
            "GET /metadata/instance HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            &[200],
            &["/metadata/instance"],
        ),
        (
            "an upgrade to a socket",
            format!("GET /metadata/instance HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n{SMUGGLED}"),
            &[200, 400],
            &["/metadata/instance"],
        ),
        (
            "one after the other",
            format!("GET /metadata/instance HTTP/1.1\r\nHost: x\r\n\r\n{SMUGGLED}GET /machine HTTP/1.1\r\nHost: x\r\n\r\n"),
            &[200, 400, 200],
            &["/metadata/instance", "/machine"],
        ),
        (
            "another path in the headers",
            "GET /metadata/instance HTTP/1.1\r\nHost: x\r\nX-Original-URL: /metadata/identity/info\r\nX-Rewrite-URL: /metadata/identity/info\r\nX-HTTP-Method-Override: POST\r\n\r\n".to_owned(),
            &[200],
            &["/metadata/instance"],
        ),
    ];
    for (name, sent, statuses, targets) in table {
        let entra = Peer::start([]).await;
        let node = Peer::start([Answer::new(200, "of the node")]).await;
        let proxy = Running::start(&entra, |args| args.imds_url.clone_from(&node.url)).await;
        let answers = exchange(&proxy, &sent).await;
        let answered: Vec<u16> = answers
            .split("HTTP/1.1 ")
            .skip(1)
            .filter_map(|answer| answer.get(..3)?.parse().ok())
            .collect();
        assert_eq!(answered, statuses, "{name}: {answers}");
        let seen = node.seen();
        let reached: Vec<&str> = seen.iter().map(|seen| seen.target.as_str()).collect();
        assert_eq!(reached, targets, "{name}");
        for seen in &seen {
            let headers = format!("{:?}", seen.headers).to_lowercase();
            assert!(!headers.contains("identity/"), "{name}: {headers}");
            assert!(!headers.contains("override"), "{name}: {headers}");
        }
        assert_eq!(entra.count(), 0, "{name}");
    }
}

/// Everything that comes back until the proxy closes or is silent.
async fn exchange(proxy: &Running, sent: &str) -> String {
    let mut stream = TcpStream::connect(proxy.addresses[0]).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(Ok(count @ 1..)) =
        timeout(Duration::from_millis(400), stream.read(&mut chunk)).await
    {
        bytes.extend_from_slice(&chunk[..count]);
    }
    String::from_utf8(bytes).unwrap()
}
