//! The defects of azure-workload-identity 1.6.0, by their number in the catalogue: each is a test that it is not ours.
//! Those of the server (D17 its memory, D25 its metrics, D26 its codes) are in tests/webhook and `make bench`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use clap::Parser;
use identity_injector::inject::{
    Annotations, Decision, Defaults, Flags, Input, Verdict, Warning, decide, patch,
};
use identity_injector::names;
use serde_json::{Value, json};

#[derive(Parser)]
struct Server {
    #[command(flatten)]
    flags: Flags,
}

fn defaults(arguments: &[&str]) -> Defaults {
    let server = Server::parse_from(["server", "--tenant-id=t"].iter().chain(arguments));
    server.flags.defaults(true)
}

fn verdict(pod: &Value, defaults: &Defaults) -> Verdict {
    let account = [(names::CLIENT_ID, "11111111-2222-3333-4444-555555555555")]
        .into_iter()
        .collect();
    decide(&Input {
        pod,
        service_account: Some(&account),
        namespace: &Annotations::default(),
        defaults,
    })
}

/// The pod as it would be stored, and the operations that made it.
fn inject_by(pod: &Value, defaults: &Defaults) -> (Value, Value) {
    let Decision::Inject(plan) = verdict(pod, defaults).decision else {
        panic!("not injected: {pod}")
    };
    let operations = patch(pod, &plan);
    let mut stored = pod.clone();
    json_patch::patch(&mut stored, &operations).unwrap();
    (stored, serde_json::to_value(operations).unwrap())
}

fn inject(pod: &Value) -> Value {
    inject_by(pod, &defaults(&[])).0
}

/// A pod that asks for the proxy.
fn pod(spec: &Value) -> Value {
    let mut whole = json!({"containers": [{"name": "app"}]});
    whole
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    json!({"metadata": {"name": "app", "annotations": {names::INJECT_PROXY: "true"}}, "spec": whole})
}

fn container(pod: &Value, name: &str) -> Value {
    let lists = ["initContainers", "containers"]
        .map(|list| pod["spec"][list].as_array().cloned().unwrap_or_default());
    lists
        .concat()
        .into_iter()
        .find(|container| container["name"] == name)
        .unwrap()
}

fn names_of(pod: &Value, list: &str) -> Vec<String> {
    pod["spec"][list]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn d01_fields_of_tomorrow_survive_and_nothing_is_removed() {
    let tomorrow = json!({
        "tomorrow": {"a": [1, null, 2.5]},
        "resources": {"requests": {"cpu": "1"}},
        "initContainers": [{"name": "first", "restartPolicy": "Always", "tomorrow": true}],
        "containers": [{"name": "app", "tomorrow": [], "env": [{"name": "A", "tomorrow": "b"}]}],
    });
    let before = pod(&tomorrow);
    let (stored, operations) = inject_by(&before, &defaults(&[]));
    assert!(
        operations
            .as_array()
            .unwrap()
            .iter()
            .all(|operation| operation["op"] == "add"),
        "{operations}"
    );
    assert_eq!(stored["spec"]["tomorrow"], before["spec"]["tomorrow"]);
    assert_eq!(stored["spec"]["resources"], before["spec"]["resources"]);
    assert_eq!(container(&stored, "first")["restartPolicy"], "Always");
    assert_eq!(container(&stored, "first")["tomorrow"], true);
    assert_eq!(container(&stored, "app")["tomorrow"], json!([]));
    assert_eq!(
        container(&stored, "app")["env"][0],
        json!({"name": "A", "tomorrow": "b"})
    );
}

#[test]
fn d02_false_is_no() {
    let mut pod = pod(&json!({}));
    for (value, injected) in [
        ("false", false),
        ("No", false),
        ("0", false),
        ("off", false),
        ("", true),
        ("YES", true),
    ] {
        pod["metadata"]["annotations"][names::INJECT_PROXY] = json!(value);
        let decision = verdict(&pod, &defaults(&[])).decision;
        assert_eq!(
            matches!(decision, Decision::Inject(_)),
            injected,
            "{value:?}"
        );
    }
}

#[test]
fn d03_no_privilege_beyond_one_capability() {
    let stored = inject(&pod(&json!({})));
    let init = &container(&stored, names::INIT_CONTAINER)["securityContext"];
    assert_eq!(init["privileged"], false);
    assert_eq!(
        init["capabilities"],
        json!({"add": ["NET_ADMIN"], "drop": ["ALL"]})
    );
    let proxy = &container(&stored, names::PROXY_CONTAINER)["securityContext"];
    assert_eq!(proxy["capabilities"], json!({"drop": ["ALL"]}));
    for context in [init, proxy] {
        assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
    }
    let (stored, _) = inject_by(&pod(&json!({})), &defaults(&["--capture=env"]));
    assert_eq!(
        names_of(&stored, "initContainers"),
        [names::PROXY_CONTAINER],
        "env capture needs no capability at all"
    );
}

#[test]
fn d04_both_containers_carry_resources() {
    let stored = inject(&pod(&json!({})));
    for name in [names::INIT_CONTAINER, names::PROXY_CONTAINER] {
        for kind in ["requests", "limits"] {
            for resource in ["cpu", "memory"] {
                assert!(
                    container(&stored, name)["resources"][kind][resource].is_string(),
                    "{name} {kind} {resource}"
                );
            }
        }
    }
}

/// No API server takes a request above its limit; the side that nobody set yields.
#[test]
fn a_default_yields_to_the_annotation() {
    use names::{PROXY_CPU_LIMIT, PROXY_CPU_REQUEST, PROXY_MEMORY_LIMIT, PROXY_MEMORY_REQUEST};
    let table = [
        (PROXY_CPU_REQUEST, "50m", ("cpu", "50m", "500m")),
        (PROXY_CPU_REQUEST, "2", ("cpu", "2", "2")),
        (PROXY_CPU_LIMIT, "5m", ("cpu", "5m", "5m")),
        (PROXY_MEMORY_REQUEST, "1Gi", ("memory", "1Gi", "1Gi")),
        (PROXY_MEMORY_LIMIT, "8Mi", ("memory", "8Mi", "8Mi")),
    ];
    for (key, value, (resource, request, limit)) in table {
        let mut pod = pod(&json!({}));
        pod["metadata"]["annotations"][key] = json!(value);
        let resources = &container(&inject(&pod), names::PROXY_CONTAINER)["resources"];
        assert_eq!(
            (
                &resources["requests"][resource],
                &resources["limits"][resource]
            ),
            (&json!(request), &json!(limit)),
            "{key}: {value}"
        );
    }
}

#[test]
fn d05_no_certificate_authority_is_named_that_is_not_there() {
    assert!(
        !inject(&pod(&json!({})))
            .to_string()
            .contains("AZURE_KUBERNETES_CA_FILE")
    );
}

#[test]
fn d06_a_pod_that_runs_as_root_keeps_a_proxy_that_does_not() {
    let stored = inject(&pod(
        &json!({"securityContext": {"runAsUser": 0, "runAsNonRoot": false}}),
    ));
    let proxy = &container(&stored, names::PROXY_CONTAINER)["securityContext"];
    assert_eq!(
        (&proxy["runAsUser"], &proxy["runAsNonRoot"]),
        (&json!(names::PROXY_UID), &json!(true))
    );
}

#[test]
fn d07_the_redirect_exempts_the_uid_that_the_proxy_has() {
    let stored = inject(&pod(&json!({"securityContext": {"runAsUser": 1000}})));
    let uid = &container(&stored, names::PROXY_CONTAINER)["securityContext"]["runAsUser"];
    let arguments = &container(&stored, names::INIT_CONTAINER)["args"];
    assert!(
        arguments
            .as_array()
            .unwrap()
            .contains(&json!(format!("--exempt-uid={uid}"))),
        "{arguments}"
    );
}

#[test]
fn d08_redirect_then_proxy_then_the_pods_own_init_containers() {
    let own = json!({"initContainers": [{"name": "first"}, {"name": "second"}]});
    let stored = inject(&pod(&own));
    assert_eq!(
        names_of(&stored, "initContainers"),
        [
            names::INIT_CONTAINER,
            names::PROXY_CONTAINER,
            "first",
            "second"
        ]
    );
    let (classic, _) = inject_by(&pod(&own), &defaults(&["--native-sidecar=never"]));
    assert_eq!(
        names_of(&classic, "initContainers"),
        [names::INIT_CONTAINER, "first", "second"]
    );
    assert_eq!(
        names_of(&classic, "containers"),
        [names::PROXY_CONTAINER, "app"]
    );
}

#[test]
fn d17_a_service_account_is_held_by_our_annotations_alone() {
    let large = "x".repeat(100_000);
    let annotations: Annotations = [
        (
            "kubectl.kubernetes.io/last-applied-configuration",
            large.as_str(),
        ),
        (names::CLIENT_ID, "id"),
        ("helm.sh/chart", "chart"),
    ]
    .into_iter()
    .collect();
    assert_eq!(annotations.keys().collect::<Vec<_>>(), [names::CLIENT_ID]);
}

#[test]
fn d27_kubectl_picks_the_application() {
    let classic = defaults(&["--native-sidecar=never"]);
    let (stored, _) = inject_by(&pod(&json!({})), &classic);
    assert_eq!(
        stored["metadata"]["annotations"][names::DEFAULT_CONTAINER],
        "app"
    );
    let mut said = pod(&json!({}));
    said["metadata"]["annotations"][names::DEFAULT_CONTAINER] = json!("other");
    assert_eq!(
        inject_by(&said, &classic).0["metadata"]["annotations"][names::DEFAULT_CONTAINER],
        "other"
    );
    assert!(
        inject(&pod(&json!({})))["metadata"]["annotations"][names::DEFAULT_CONTAINER].is_null(),
        "native needs none"
    );
}

#[test]
fn d28_a_job_ends_or_is_warned_of() {
    let job = pod(&json!({"restartPolicy": "Never"}));
    let (native, classic) = (defaults(&[]), defaults(&["--native-sidecar=never"]));
    assert_eq!(
        container(&inject_by(&job, &native).0, names::PROXY_CONTAINER)["restartPolicy"],
        "Always"
    );
    assert!(
        !verdict(&job, &native)
            .warnings
            .contains(&Warning::ClassicSidecar)
    );
    assert!(
        verdict(&job, &classic)
            .warnings
            .contains(&Warning::ClassicSidecar)
    );
}

/// The reference's own vectors that still apply (reference-behaviour A16).
#[test]
fn token_expiration_vectors() {
    let table = [
        (
            "pod over ServiceAccount",
            Some("4000"),
            Some("4800"),
            Ok(4000),
        ),
        ("ServiceAccount", None, Some("4800"), Ok(4800)),
        (
            "an empty one falls through",
            Some(""),
            Some("4800"),
            Ok(4800),
        ),
        ("default", None, None, Ok(3600)),
        ("lower end", Some("3600"), None, Ok(3600)),
        ("upper end", Some("86400"), None, Ok(86400)),
        (
            "below",
            Some("3599"),
            None,
            Err("token expiration 3599 not valid. Expected value to be between 3600 and 86400"),
        ),
        (
            "above",
            None,
            Some("86401"),
            Err("token expiration 86401 not valid. Expected value to be between 3600 and 86400"),
        ),
        (
            "with a unit",
            Some("3600s"),
            Some("4800"),
            Err("azure.workload.identity/service-account-token-expiration: \"3600s\""),
        ),
        (
            "with a unit, ServiceAccount",
            None,
            Some("3600s"),
            Err(
                "azure.workload.identity/service-account-token-expiration on the ServiceAccount: \"3600s\"",
            ),
        ),
    ];
    for (case, of_pod, of_account, expected) in table {
        let mut pod = pod(&json!({}));
        if let Some(value) = of_pod {
            pod["metadata"]["annotations"][names::TOKEN_EXPIRATION] = json!(value);
        }
        let account: Annotations = of_account
            .map(|value| (names::TOKEN_EXPIRATION, value))
            .into_iter()
            .collect();
        let namespace = Annotations::default();
        let input = Input {
            pod: &pod,
            service_account: Some(&account),
            namespace: &namespace,
            defaults: &defaults(&[]),
        };
        match (decide(&input).decision, expected) {
            (Decision::Inject(plan), Ok(seconds)) => {
                assert_eq!(plan.settings.token_expiration, seconds, "{case}");
            }
            (Decision::Refuse(refusal), Err(start)) => {
                assert!(refusal.to_string().starts_with(start), "{case}: {refusal}");
            }
            (decision, _) => panic!("{case}: {decision:?}"),
        }
    }
}

#[test]
fn environment_vectors() {
    let own = json!({"containers": [{"name": "app", "env": [{"name": "AZURE_CLIENT_ID", "value": "own"}, {"name": "AZURE_TENANT_ID", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}]});
    let stored = inject(&pod(&own));
    let env = container(&stored, "app")["env"].clone();
    assert_eq!(env[0], json!({"name": "AZURE_CLIENT_ID", "value": "own"}));
    assert_eq!(env[1]["valueFrom"]["secretKeyRef"]["name"], "s");
    let names: Vec<_> = env
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    let added = [
        names::AZURE_FEDERATED_TOKEN_FILE,
        names::AZURE_AUTHORITY_HOST,
    ];
    assert_eq!(
        names[2..4],
        added,
        "each name once, in the reference's order"
    );
}

/// What common pods do right is not warned of.
#[test]
fn no_false_warnings() {
    let own = |name: &str, value: &str| json!({"containers": [{"name": "app", "env": [{"name": name, "value": value}]}]});
    let id = "ABCDEF11-2222-3333-4444-555555555555";
    let account: Annotations = [(names::CLIENT_ID, id.to_lowercase())]
        .into_iter()
        .collect();
    let table = [
        ("the same GUID in capitals", own("AZURE_CLIENT_ID", id)),
        (
            "a value the kubelet fills in",
            own("AZURE_CLIENT_ID", "$(ID)"),
        ),
        (
            "the authority without its slash",
            own("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com"),
        ),
        ("a Namespace's skip list", json!({})),
    ];
    let namespace: Annotations = [(names::SKIP_CONTAINERS, "istio-proxy; istio-init")]
        .into_iter()
        .collect();
    for (case, spec) in table {
        let pod = pod(&spec);
        let defaults = defaults(&[]);
        let input = Input {
            pod: &pod,
            service_account: Some(&account),
            namespace: &namespace,
            defaults: &defaults,
        };
        assert_eq!(decide(&input).warnings, [], "{case}");
    }
}

/// An answer with more would be cut by the API server, at a place that it chooses.
#[test]
fn of_many_warnings_five_are_given() {
    let sets =
        |name: &str| json!({"name": name, "env": [{"name": "AZURE_CLIENT_ID", "value": "own"}]});
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    for count in [4, 5, 6, 7] {
        let containers: Vec<Value> = names[..count].iter().map(|name| sets(name)).collect();
        let warnings = verdict(&pod(&json!({"containers": containers})), &defaults(&[])).warnings;
        assert_eq!(warnings.len(), count.min(5), "{warnings:?}");
    }
}

#[test]
fn a_native_proxy_stays_native_beside_a_server_without() {
    let native = inject(&pod(&json!({"restartPolicy": "Never"})));
    let classic = defaults(&["--native-sidecar=never"]);
    assert_eq!(inject_by(&native, &classic).1, json!([]));
    assert_eq!(verdict(&native, &classic).warnings, []);
}
