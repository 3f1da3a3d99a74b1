//! Start and end.

use std::net::{Ipv6Addr, TcpListener};
use std::time::{Duration, Instant};

use identity_injector::proxy::{Args, wait};

use crate::peers::{Answer, Peer, install_provider};
use crate::running::{Running, arguments};

type Change = fn(&mut Args);

#[tokio::test]
async fn unusable_arguments() {
    install_provider();
    let table: [(&str, Change, &str); 10] = [
        (
            "no tenant",
            |args| args.tenant_id = None,
            "AZURE_TENANT_ID not set",
        ),
        (
            "empty tenant",
            |args| args.tenant_id = Some(String::new()),
            "AZURE_TENANT_ID not set",
        ),
        (
            "tenant with a path",
            |args| args.tenant_id = Some("a/b".to_owned()),
            "AZURE_TENANT_ID",
        ),
        (
            "a path up",
            |args| args.tenant_id = Some("..".to_owned()),
            "AZURE_TENANT_ID",
        ),
        (
            "no tenant of one's own",
            |args| args.tenant_id = Some("Consumers".to_owned()),
            "AZURE_TENANT_ID",
        ),
        (
            "authority in the clear",
            |args| args.authority_host = "http://login".to_owned(),
            "AZURE_AUTHORITY_HOST",
        ),
        (
            "node by https",
            |args| args.imds_url = "https://node".to_owned(),
            "IMDS_URL",
        ),
        (
            "node with a path",
            |args| args.imds_url = "http://node/metadata".to_owned(),
            "IMDS_URL",
        ),
        (
            "no map",
            |args| args.resource_ids = Some("[]".to_owned()),
            "IDENTITY_INJECTOR_RESOURCE_IDS",
        ),
        (
            "no address",
            |args| args.authority_host = "login".to_owned(),
            "AZURE_AUTHORITY_HOST",
        ),
    ];
    for (name, change, message) in table {
        let mut args = arguments();
        change(&mut args);
        let error = args
            .proxy(Duration::ZERO, tokio::time::Instant::now())
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{name}: {error}");
    }
}

#[test]
fn secrets_are_not_in_the_arguments_text() {
    let text = format!("{:?}", arguments());
    assert!(!text.contains(crate::running::SECRET), "{text}");
}

#[tokio::test]
async fn a_taken_address_is_named() {
    install_provider();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut listeners = vec![taken];
    listeners.extend(TcpListener::bind((Ipv6Addr::LOCALHOST, 0)));
    for listener in listeners {
        let address = listener.local_addr().unwrap();
        let proxy = arguments()
            .proxy(Duration::ZERO, tokio::time::Instant::now())
            .unwrap();
        let error = proxy
            .bind(address.port(), None)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("can't listen on {address}")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn requests_under_way_end_well() {
    let entra = Peer::start([Answer::token("t", 3600).after(Duration::from_millis(500))]).await;
    let mut proxy = Running::start(&entra, |_| ()).await;
    let (address, stop) = (proxy.addresses[0], proxy.stop.clone());
    let stopping = async {
        entra.asked(1).await;
        stop.cancel();
    };
    let (reply, ()) = tokio::join!(proxy.token("r"), stopping);
    assert_eq!(reply.secret(), "t");
    tokio::time::timeout(Duration::from_secs(1), &mut proxy.task)
        .await
        .expect("still running")
        .unwrap()
        .unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_that_hangs_holds_the_end_up_for_less_than_five_seconds() {
    let entra = Peer::start([Answer::token("t", 3600).after(Duration::from_secs(30))]).await;
    let mut proxy = Running::start(&entra, |_| ()).await;
    let _hanging = tokio::net::TcpStream::connect(proxy.addresses[0])
        .await
        .unwrap();
    let url = format!("{}/metadata/identity/oauth2/token?resource=r", proxy.url);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    tokio::spawn(client.get(url).header("Metadata", "true").send());
    entra.asked(1).await;
    let started = Instant::now();
    proxy.stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), &mut proxy.task)
        .await
        .expect("still running")
        .unwrap()
        .unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn waiting_for_a_proxy() {
    let entra = Peer::start([]).await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    assert!(
        !wait::ready(port, Duration::from_millis(200)).await,
        "nobody listens"
    );

    let waiting = tokio::spawn(wait::ready(port, Duration::from_secs(10)));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "a refused connection is no answer");
    let _proxy = Running::start(&entra, |args| args.port = port).await;
    assert!(waiting.await.unwrap());

    let other = Peer::start([Answer::new(404, "")]).await;
    let port = other.url.rsplit(':').next().unwrap().parse().unwrap();
    assert!(
        !wait::ready(port, Duration::from_millis(200)).await,
        "another server is no proxy"
    );
}
