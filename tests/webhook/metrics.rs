//! What is counted: exact names, one table of requests and the series each moves.

use serde_json::{Value, json};

use crate::scrape::{Scrape, moved, series};
use crate::world::{World, patch, pod, review, service_account};

/// The series of the histogram, without the ones that tell how long it took.
const ANSWERED: &str = r#"azwi_mutation_request_count{namespace="shop",service_name="webhook"}"#;

async fn scrape(world: &World) -> Scrape {
    let (status, text) = world.get("/metrics").await;
    assert_eq!(status, 200);
    let mut series = series(&text);
    series.retain(|name, _| {
        !name.starts_with("azwi_mutation_request_bucket")
            && !name.starts_with("azwi_mutation_request_sum")
    });
    series
}

fn admission(result: &str, reason: &str, dry_run: bool) -> String {
    format!(r#"azwi_admission_total{{result="{result}",reason="{reason}",dry_run="{dry_run}"}}"#)
}

fn lookup(source: &str, outcome: &str) -> String {
    format!(r#"azwi_sa_lookup_total{{source="{source}",outcome="{outcome}"}}"#)
}

fn warning(reason: &str) -> String {
    format!(r#"azwi_admission_warnings_total{{reason="{reason}"}}"#)
}

/// A request about a pod that is changed before.
fn about(service_account: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = pod(service_account);
    change(&mut pod);
    review("v1", &pod, "CREATE")
}

async fn injected(world: &World) -> Value {
    let mut pod = pod("app");
    let patch = patch(&world.review(pod.clone()).await).unwrap();
    let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    pod
}

#[tokio::test]
async fn d25_each_request_moves_its_series_and_no_other() {
    let world = World::start(&[]).await;
    world.kube.put(service_account("bare", "")).unwrap();
    let injected = injected(&world).await;
    let first = scrape(&world).await;
    let mut dry_run = about("app", |_| {});
    dry_run["request"]["dryRun"] = json!(true);
    let mut elsewhere = about("app", |_| {});
    elsewhere["request"]["namespace"] = json!("made-up");
    let unlabelled = |pod: &mut Value| pod["metadata"]["labels"] = json!({});
    let cached = || lookup("cache", "found");
    let answered = || ANSWERED.to_owned();
    let table = [
        (
            "injected",
            about("app", |_| {}),
            vec![admission("injected", "", false), cached(), answered()],
        ),
        (
            "dry run",
            dry_run,
            vec![admission("injected", "", true), cached(), answered()],
        ),
        (
            "unchanged",
            review("v1", &injected, "CREATE"),
            vec![admission("unchanged", "", false), cached(), answered()],
        ),
        (
            "skipped, with a warning",
            about("app", unlabelled),
            vec![
                admission("skipped", "not_requested", false),
                warning("not_requested"),
                answered(),
            ],
        ),
        (
            "opted out",
            about("app", |pod| {
                pod["metadata"]["labels"]["azure.workload.identity/use"] = json!("false");
            }),
            vec![admission("skipped", "opted_out", false), answered()],
        ),
        (
            "not ours",
            review("v1", &pod("app"), "UPDATE"),
            vec![admission("skipped", "not_a_new_pod", false), answered()],
        ),
        (
            "denied",
            about("app", |pod| {
                pod["metadata"]["labels"]["azure.workload.identity/use"] = json!("maybe");
            }),
            vec![
                admission("denied", "invalid_boolean", false),
                cached(),
                answered(),
            ],
        ),
        (
            "no client id",
            about("bare", |_| {}),
            vec![
                admission("injected", "", false),
                warning("no_client_id"),
                cached(),
                answered(),
            ],
        ),
        (
            "no ServiceAccount",
            about("none", |_| {}),
            vec![
                admission("injected", "", false),
                warning("no_service_account"),
                lookup("live", "missing"),
                answered(),
            ],
        ),
        (
            "no such Namespace",
            elsewhere,
            vec![
                admission("injected", "", false),
                warning("no_service_account"),
                lookup("live", "missing"),
                ANSWERED.replace("shop", ""),
            ],
        ),
        (
            "unreadable",
            json!({}),
            vec![admission("error", "unreadable", false)],
        ),
    ];
    let mut before = first.clone();
    for (case, body, mut expected) in table {
        world.post("application/json", "", body.to_string()).await;
        let after = scrape(&world).await;
        expected.sort();
        assert_eq!(moved(&before, &after), expected, "{case}");
        before = after;
    }
    let grown: Vec<_> = before
        .keys()
        .filter(|name| !first.contains_key(*name))
        .collect();
    assert_eq!(grown, [&ANSWERED.replace("shop", "")], "sets are closed");
}

/// A reason that the engine gives and the webhook did not expect would be a new series.
#[tokio::test]
async fn every_golden_case_has_its_series_from_the_start() {
    let world = World::start(&["--native-sidecar=never"]).await;
    let before = scrape(&world).await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let mut pods = 0;
    for (number, case) in std::fs::read_dir(folder).unwrap().enumerate() {
        let input = std::fs::read_to_string(case.unwrap().path().join("input.yaml")).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&input).unwrap();
        // A namespace of its own: nothing is cached from another case.
        let namespace = json!(format!("case-{number}"));
        let (asked, context): (Vec<_>, Vec<_>) = documents
            .into_iter()
            .partition(|document| document["kind"] == "Pod");
        for mut object in context {
            match object["kind"].as_str() {
                Some("ServiceAccount") => object["metadata"]["namespace"] = namespace.clone(),
                Some("Namespace") => object["metadata"]["name"] = namespace.clone(),
                _ => continue,
            }
            world.kube.put(object).unwrap();
        }
        for pod in asked {
            let mut body = review("v1", &pod, "CREATE");
            body["request"]["namespace"] = namespace.clone();
            world.post("application/json", "", body.to_string()).await;
            pods += 1;
        }
    }
    assert!(pods > 0);
    let after = scrape(&world).await;
    let grown = after.keys().filter(|name| !before.contains_key(*name));
    let grown: Vec<_> = grown
        .filter(|name| !name.starts_with("azwi_mutation_request"))
        .collect();
    assert!(grown.is_empty(), "{grown:?}");
}

#[tokio::test]
async fn an_outage_of_the_api_server_is_an_error() {
    let world = World::start(&[]).await;
    world.kube.pause();
    let before = scrape(&world).await;
    let unknown = about("unknown", |_| {}).to_string();
    world.post("application/json", "?timeout=1s", unknown).await;
    let mut moved = moved(&before, &scrape(&world).await);
    // Refused or timed out: the client tries again for as long as there is time.
    moved.retain(|name| !name.starts_with("azwi_sa_lookup_total{source=\"live\""));
    let expected = [
        admission("error", "lookup_failed", false),
        ANSWERED.to_owned(),
    ];
    assert_eq!(moved, expected);
}

#[tokio::test]
async fn names_types_and_formats_are_exact() {
    let world = World::start(&[]).await;
    world.review(pod("app")).await;
    let url = format!("{}/metrics", world.health);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let openmetrics =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2";
    let types = |names: [&str; 8]| names.map(|name| format!("# TYPE {name}")).to_vec();
    let table = [
        (
            openmetrics,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            true,
            types([
                "azwi_admission counter",
                "azwi_admission_warnings counter",
                "azwi_build info",
                "azwi_ca_bundle_in_sync gauge",
                "azwi_cert_not_after_seconds gauge",
                "azwi_mutation_request histogram",
                "azwi_reference_installed gauge",
                "azwi_sa_lookup counter",
            ]),
        ),
        (
            "*/*",
            "text/plain; version=0.0.4; charset=utf-8",
            false,
            types([
                "azwi_admission_total counter",
                "azwi_admission_warnings_total counter",
                "azwi_build_info gauge",
                "azwi_ca_bundle_in_sync gauge",
                "azwi_cert_not_after_seconds gauge",
                "azwi_mutation_request histogram",
                "azwi_reference_installed gauge",
                "azwi_sa_lookup_total counter",
            ]),
        ),
    ];
    for (accept, content_type, eof, types) in table {
        let reply = client
            .get(&url)
            .header("accept", accept)
            .send()
            .await
            .unwrap();
        assert_eq!(reply.headers()["content-type"], content_type);
        let text = reply.text().await.unwrap();
        assert_eq!(text.ends_with("# EOF\n"), eof, "{accept}");
        let mut said: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("# TYPE"))
            .collect();
        said.sort_unstable();
        assert_eq!(said, types, "{accept}");
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            "# HELP azwi_mutation_request Distribution of how long it took for the azure-workload-identity mutation request\n",
            &format!("{ANSWERED} 1\n"),
            &format!("azwi_build_info{{version=\"{version}\",commit=\""),
            &format!("{} 0\n", admission("denied", "port_in_use", true)),
            &format!("{} 0\n", warning("mount_in_use")),
            &format!("{} 0\n", lookup("live", "timeout")),
            // The year 4096, as rcgen has it.
            "\nazwi_cert_not_after_seconds 67090118400\n",
        ] {
            assert!(text.contains(line), "{accept}: {line}\n{text}");
        }
        assert_eq!(bounds(&text), buckets(), "{accept}");
    }
}

/// The upper bounds of the histogram's buckets, in order.
fn bounds(text: &str) -> Vec<f64> {
    let buckets = text
        .lines()
        .filter(|line| line.starts_with("azwi_mutation_request_bucket"));
    let bounds = buckets.map(|line| {
        line.split("le=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
    });
    bounds.map(|bound| bound.parse().unwrap()).collect()
}

/// The reference's: .001 to .01, .02 to .1, .2 to 1, then 1.5, 2, 2.5, 3 and all.
fn buckets() -> Vec<f64> {
    let tens = |unit: f64, from: u8| (from..=10).map(move |n| f64::from(n) / unit);
    let rest = [1.5, 2.0, 2.5, 3.0, f64::INFINITY];
    tens(1000.0, 1)
        .chain(tens(100.0, 2))
        .chain(tens(10.0, 2))
        .chain(rest)
        .collect()
}

/// What the chart's rules and dashboard ask Prometheus for is measured.
#[tokio::test]
async fn the_chart_asks_for_what_there_is() {
    let world = World::start(&[]).await;
    world.review(pod("app")).await;
    let (_, metrics) = world.get("/metrics").await;
    let mut asked = 0;
    for file in ["dashboard.json", "templates/monitoring.yaml"] {
        let text = std::fs::read_to_string(format!("manifests/chart/{file}")).unwrap();
        for (start, _) in text.match_indices("azwi_") {
            let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
            let name = text[start..].split(|c| !is_part(c)).next().unwrap();
            let is_measured = metrics.lines().any(|it| {
                it.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            });
            assert!(is_measured, "{file}: {name}");
            asked += 1;
        }
    }
    assert!(asked > 0);
}
