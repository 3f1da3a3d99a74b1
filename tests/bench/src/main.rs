//! `make bench`: admission and proxy figures of the binary it is given, each beside its floor. As `bench floor ...` it is the floor.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bench::figure::{judged, median, plain, quantile, resident};
use bench::load::{Expected, Target, closed_loop, first_requests, open_loop};
use bench::process::{cpu, memory};
use bench::scene::{Scene, Server, patched};
use bench::{floor, review};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use identity_injector::names;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// Requests at a time in a closed loop.
const STREAMS: usize = 16;
/// Rounds, each of ours and the floor in turn; the median counts.
const ROUNDS: usize = 5;
/// Requests of a round in a closed loop.
const CLOSED: usize = 20_000;
/// Requests a second, and of a round, in the open loop.
const RATE: u32 = 200;
const OPEN: u32 = 1_000;
/// ServiceAccounts of a large cluster.
const SERVICE_ACCOUNTS: usize = 10_000;
const STARTS: usize = 10;
/// Connections that ask once.
const FIRST: usize = 200;
/// Connections of a proxy's busiest pod, and requests after which it must not have grown.
const HELD: usize = 1_000;
const MILLION: usize = 1_000_000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((first, rest)) if first == "floor" => floor::serve(rest),
        None => bail!("usage: bench BINARY, the identity-injector to be measured"),
        Some((binary, _)) => {
            // Fails only if a provider is set already.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(1).enable_all().build()?;
            let measured = runtime.block_on(measure(binary.into()));
            runtime.shutdown_background();
            measured
        }
    }
}

async fn measure(binary: PathBuf) -> anyhow::Result<()> {
    let scene = Scene::start(binary).await?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load: f64 = load.split(' ').next().context("loadavg")?.parse()?;
    plain("load average before (latencies want 0)", load, "");
    judged("binary", scene.binary_size()? as f64 / 1e6, 12.0, "MB");
    let injected = admission(&scene).await?;
    starts(&scene).await?;
    proxy(&scene, &injected).await?;
    large_cluster(&scene).await
}

/// Ours and its floor under the same closed loop: microseconds of CPU a request, and requests a second.
async fn cost(
    name: &str,
    [ours, floor]: [(&Server, &Target); 2],
    expected: &Expected,
) -> anyhow::Result<[f64; 2]> {
    let mut cpus = [const { Vec::new() }; 2];
    let mut rates = [const { Vec::new() }; 2];
    // The first round warms up.
    for round in 0..=ROUNDS {
        for (side, (server, target)) in [ours, floor].into_iter().enumerate() {
            let before = cpu(server.pid())?;
            let took = closed_loop(target, STREAMS, CLOSED, expected).await?;
            let spent = cpu(server.pid())? - before;
            if round > 0 {
                cpus[side].push(spent.as_secs_f64() * 1e6 / CLOSED as f64);
                rates[side].push(CLOSED as f64 / took.as_secs_f64());
            }
        }
    }
    let [ours, floor] = rates.map(median);
    plain(
        &format!("{name}, {STREAMS} at a time, one core"),
        ours,
        "req/s",
    );
    plain("  floor", floor, "req/s");
    Ok(cpus.map(median))
}

/// Admission over TLS 1.3 and HTTP/2. Gives back the walk's pod as it was injected.
async fn admission(scene: &Scene) -> anyhow::Result<Value> {
    println!("\nAdmission: the walk's pod, TLS 1.3, HTTP/2, one connection");
    let review = review::review()?;
    let webhook = scene.webhook().await?;
    resident("webhook, resident, idle", memory(webhook.pid())?, None);
    let target = target(scene, &webhook, &review)?;
    let answer = target.connect().await?.ask(target.request.clone()).await?;
    let mut injected = patched(&review["request"]["object"], &answer)?;
    let proxy = &injected["spec"]["initContainers"][1];
    ensure!(proxy["name"] == names::PROXY_CONTAINER, "{injected}");
    injected["metadata"]["uid"] = json!("0dd0b0d5-0000-4000-8000-000000000000");
    plain("review", review.to_string().len() as f64, "bytes");
    plain("answer", answer.len() as f64, "bytes");

    let floor = scene.floor("webhook", &answer).await?;
    let floor_target = self::target(scene, &floor, &review)?;
    let expected = Expected {
        answer,
        length_only: false,
    };
    let sides = [(&webhook, &target), (&floor, &floor_target)];
    let [ours, least] = cost("admission", sides, &expected).await?;
    judged("admission, CPU a request", ours, 40.0, "us");
    plain("  floor", least, "us");
    judged("  ours / floor", ours / least, 2.5, "");

    let mut latencies = [const { Vec::new() }; 2];
    let mut spent = [Duration::ZERO; 2];
    for _ in 0..ROUNDS {
        for (side, (server, target)) in sides.into_iter().enumerate() {
            let before = cpu(server.pid())?;
            latencies[side].extend(open_loop(target, RATE, OPEN, &expected).await?);
            spent[side] += cpu(server.pid())? - before;
        }
    }
    let [ours, least] = &mut latencies;
    plain("admission, 200 req/s, p50", quantile(ours, 0.5), "ms");
    plain("  floor", quantile(least, 0.5), "ms");
    judged("admission, 200 req/s, p99", quantile(ours, 0.99), 0.6, "ms");
    plain("  floor", quantile(least, 0.99), "ms");
    let [ours, least] =
        spent.map(|spent| spent.as_secs_f64() * 1e6 / (f64::from(OPEN) * ROUNDS as f64));
    plain("admission, 200 req/s, CPU a request", ours, "us");
    plain("  floor", least, "us");
    for (name, target) in [
        ("admission, first request of a connection, p50", &target),
        ("  floor", &floor_target),
    ] {
        let mut took = first_requests(target, FIRST, &expected).await?;
        plain(name, quantile(&mut took, 0.5), "ms");
    }
    let name = "webhook, resident, after these requests";
    resident(name, memory(webhook.pid())?, None);
    Ok(injected)
}

fn target(scene: &Scene, server: &Server, review: &Value) -> anyhow::Result<Target> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(scene.ca_pem().as_bytes())?)?;
    let mut tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let uri = format!(
        "https://{}{}?timeout=10s",
        server.address,
        names::MUTATE_PATH
    );
    Ok(Target {
        address: server.address,
        tls: Some(Arc::new(tls)),
        request: Request::post(uri)
            .header("content-type", "application/json")
            .header("accept", "application/json, */*")
            .header("user-agent", "kube-apiserver-admission")
            .body(Full::new(Bytes::from(review.to_string())))?,
    })
}

async fn starts(scene: &Scene) -> anyhow::Result<()> {
    let mut took = Vec::new();
    for _ in 0..STARTS {
        took.push(scene.webhook().await?.started.as_secs_f64() * 1e3);
    }
    judged(
        "webhook, exec to ready, median of 10",
        median(took),
        100.0,
        "ms",
    );
    Ok(())
}

async fn proxy(scene: &Scene, injected: &Value) -> anyhow::Result<()> {
    println!("\nProxy: a cached token, HTTP/1.1 on loopback, {STREAMS} connections");
    let proxy = scene.proxy(injected).await?;
    resident("proxy, resident, idle", memory(proxy.pid())?, Some(5.0));
    let target = |server: &Server| {
        let uri = format!(
            "{}?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net",
            names::TOKEN_REQUEST_PATH
        );
        let request = Request::get(uri)
            .header("host", "169.254.169.254")
            .header("metadata", "true");
        anyhow::Ok(Target {
            address: server.address,
            tls: None,
            request: request.body(Full::new(Bytes::new()))?,
        })
    };
    let ours = target(&proxy)?;
    let answer = ours.connect().await?.ask(ours.request.clone()).await?;
    let reply: Value = serde_json::from_slice(&answer)?;
    let token = reply["access_token"].as_str().context("no access_token")?;
    plain("token", token.len() as f64, "bytes");
    let floor = scene.floor("proxy", &answer).await?;
    let least = target(&floor)?;
    let expected = Expected {
        answer,
        length_only: true,
    };
    let sides = [(&proxy, &ours), (&floor, &least)];
    let [ours, least] = cost("proxy", sides, &expected).await?;
    judged("proxy, CPU a request", ours, 10.0, "us");
    plain("  floor", least, "us");
    plain("  ours / floor", ours / least, "");
    let name = "proxy, resident, after 120,000 requests";
    resident(name, memory(proxy.pid())?, Some(5.0));
    plain("  floor", memory(floor.pid())?.resident, "MB");
    endurance(&proxy, sides[0].1, &expected).await
}

/// What a proxy takes that holds many connections, and that has answered many requests.
async fn endurance(proxy: &Server, target: &Target, expected: &Expected) -> anyhow::Result<()> {
    let before = memory(proxy.pid())?;
    let mut held = Vec::new();
    for _ in 0..HELD {
        let mut connection = target.connect().await?;
        expected.check(&connection.ask(target.request.clone()).await?)?;
        held.push(connection);
    }
    let during = memory(proxy.pid())?;
    resident("proxy, resident, 1,000 connections held", during, None);
    let each = (during.anonymous - before.anonymous) * 1e3 / HELD as f64;
    plain("  a connection", each, "kB");
    for connection in &mut held {
        expected.check(&connection.ask(target.request.clone()).await?)?;
    }
    drop(held);
    closed_loop(target, STREAMS, MILLION / 10, expected).await?;
    let before = memory(proxy.pid())?;
    closed_loop(target, STREAMS, MILLION, expected).await?;
    let growth = memory(proxy.pid())?.anonymous - before.anonymous;
    judged("proxy, growth over a million requests", growth, 0.1, "MB");
    Ok(())
}

async fn large_cluster(scene: &Scene) -> anyhow::Result<()> {
    println!("\nLarge cluster: {SERVICE_ACCOUNTS} ServiceAccounts in the webhook's cache");
    scene.put_service_accounts(SERVICE_ACCOUNTS)?;
    let webhook = scene.webhook().await?;
    // What the list took is given back by then, or never.
    tokio::time::sleep(Duration::from_secs(2)).await;
    resident("webhook, resident", memory(webhook.pid())?, Some(14.0));
    plain(
        "webhook, exec to ready",
        webhook.started.as_secs_f64() * 1e3,
        "ms",
    );
    Ok(())
}
