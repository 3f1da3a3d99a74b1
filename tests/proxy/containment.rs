//! No form of an identity path reaches the node, whose identity is not the pod's.

use http::Method;

use crate::peers::{Answer, Peer};
use crate::running::{METADATA, Running};

#[tokio::test]
async fn odd_paths_end_here() {
    let entra = Peer::start([Answer::token("t", 3600)]).await;
    let node = Peer::start([Answer::new(200, "token of the node")]).await;
    let proxy = Running::start(&entra, |args| args.imds_url.clone_from(&node.url)).await;
    let paths = [
        "/metadata\\identity\\oauth2\\token",
        "/metadata/identity\\oauth2\\token/",
        "/metadata%5cidentity%5coauth2%5ctoken",
        "/metadata%2fidentity/oauth2/token",
        "/metadata/identity%2Foauth2%2Ftoken",
        "/metadata/identity%252foauth2%252ftoken",
        "/%6Detadata/identity/oauth2/token",
        "/metadata/%69dentity/oauth2/token",
        "/metadata/./identity/oauth2/token",
        "/metadata/instance/../identity/oauth2/token",
        "/metadata/instance/%2e%2e/identity/oauth2/token",
        "/other/../metadata/identity/oauth2/token",
        "/metadata/identity;a=b/oauth2/token",
        "/metadata;/identity/oauth2/token",
        "/metadata/identity./oauth2/token",
        "/metadata//identity/oauth2/token",
        "/metadata/identity//oauth2/token",
        "/metadata/identity/oauth2/token%00",
        "/METADATA/IDENTITY/OAUTH2/TOKEN",
        "/metadata/Identity/oauth2/token",
        "/metadata/identity/oauth2/TOKEN",
        "//metadata/identity/getplatformmetadata",
        "/metadata/identity/anything",
        "http://169.254.169.254/metadata/identity%2foauth2/token",
        "http://169.254.169.254/metadata/identity/issuecredential",
    ];
    for path in paths {
        for method in [Method::GET, Method::POST] {
            let reply = proxy
                .request(method.clone(), &format!("{path}?resource=r"), METADATA)
                .await;
            assert!(
                matches!(reply.status, 400 | 404),
                "{method} {path}: {}",
                reply.status
            );
            assert!(reply.json()["error"].is_string(), "{method} {path}");
        }
    }
    assert_eq!((entra.count(), node.count()), (0, 0));
    // The very same proxy does forward, so the silence above means something.
    assert_eq!(
        proxy.get("/metadata/instance", METADATA).await.text,
        "token of the node"
    );
}
