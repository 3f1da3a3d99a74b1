//! What holds for every pod, tried on random ones: uninjecting what was injected gives the pod as it came, to the
//! order of its keys; injecting again changes nothing; what others put in between stays.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use identity_injector::inject::{
    Annotations, Capture, Decision, Defaults, Input, Passthrough, Resources, Status, decide,
    explain, patch, uninject,
};
use identity_injector::names;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::{select, subsequence};
use proptest::{option, prop_assert, prop_assert_eq};
use serde_json::{Map, Value, json};

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn uninject_restores_and_inject_is_a_fixpoint(pod in pod(), world in world()) {
        let injected = world.inject(&pod);
        prop_assert_eq!(&world.inject(&injected), &injected);
        prop_assert_eq!(restored(&injected).to_string(), pod.to_string());
    }

    #[test]
    fn explain_says_what_inject_does(pod in pod(), world in world()) {
        let explanation = explain(&world.input(&pod));
        prop_assert_eq!(&explanation.verdict, &decide(&world.input(&pod)));
        let injected = world.inject(&pod);
        let status = &injected["metadata"]["annotations"][names::STATUS];
        let written = status.as_str().filter(|_| injected != pod);
        let written = written.map(|text| serde_json::from_str::<Status>(text).unwrap());
        prop_assert_eq!(explanation.adds, written);
    }

    #[test]
    fn any_json_is_decided_and_its_patch_applies(pod in anything(), world in world()) {
        let injected = world.inject(&pod);
        prop_assert_eq!(world.inject(&injected), injected);
    }

    #[test]
    fn beside_any_other_webhook_two_rounds_converge(pod in pod(), world in world(), rounds in vec(vec(meddling(), 0..4), 1..4)) {
        let mut stored = pod;
        for meddlings in rounds {
            for meddling in meddlings {
                meddle(&mut stored, meddling);
            }
            stored = world.inject(&stored);
            prop_assert_eq!(&world.inject(&stored), &stored);
            for (list, name) in [
                ("initContainers", names::INIT_CONTAINER),
                ("initContainers", names::PROXY_CONTAINER),
                ("containers", names::PROXY_CONTAINER),
                ("volumes", names::TOKEN_VOLUME),
            ] {
                let entries = stored["spec"][list].as_array().into_iter().flatten();
                prop_assert!(entries.filter(|entry| entry["name"] == name).count() <= 1, "{} twice in {}", name, list);
            }
        }
    }

    #[test]
    fn what_others_add_between_two_passes_stays(pod in pod(), first in world(), second in world()) {
        let injected = second.inject(&mutated(first.inject(&pod)));
        prop_assert_eq!(restored(&injected), mutated(pod));
    }
}

/// What is beside a pod.
#[derive(Debug)]
struct World {
    service_account: Option<Annotations>,
    namespace: Annotations,
    defaults: Defaults,
}

impl World {
    fn input<'a>(&'a self, pod: &'a Value) -> Input<'a> {
        Input {
            pod,
            service_account: self.service_account.as_ref(),
            namespace: &self.namespace,
            defaults: &self.defaults,
        }
    }

    fn inject(&self, pod: &Value) -> Value {
        let mut injected = pod.clone();
        if let Decision::Inject(plan) = decide(&self.input(pod)).decision {
            json_patch::patch(&mut injected, &patch(pod, &plan)).unwrap();
        }
        injected
    }
}

/// Where somebody else's status shows that nothing was injected, the pod itself.
fn restored(injected: &Value) -> Value {
    let mut restored = injected.clone();
    if let Ok(patch) = uninject(injected) {
        json_patch::patch(&mut restored, &patch).unwrap();
    }
    restored
}

/// What another webhook may do to a pod's lists.
#[derive(Clone, Copy, Debug)]
enum Meddling {
    PrependContainer(u8),
    PrependInitContainer(u8),
    PrependVolume(u8),
    ReverseVariables,
    Name(u8),
}

fn meddling() -> impl Strategy<Value = Meddling> {
    let number = 0..4_u8;
    prop_oneof![
        number.clone().prop_map(Meddling::PrependContainer),
        number.clone().prop_map(Meddling::PrependInitContainer),
        number.clone().prop_map(Meddling::PrependVolume),
        Just(Meddling::ReverseVariables),
        number.prop_map(Meddling::Name),
    ]
}

fn meddle(pod: &mut Value, meddling: Meddling) {
    let prepend = |pod: &mut Value, list: &str, element: Value| {
        if let Some(list) = pod
            .pointer_mut(&format!("/spec/{list}"))
            .and_then(Value::as_array_mut)
            && list.iter().all(|other| other["name"] != element["name"])
        {
            list.insert(0, element);
        }
    };
    match meddling {
        Meddling::PrependContainer(number) => {
            let env =
                json!([{"name": names::IDENTITY_HEADER, "value": format!("header-{number}")}]);
            prepend(
                pod,
                "containers",
                json!({"name": format!("late-{number}"), "env": env}),
            );
        }
        Meddling::PrependInitContainer(number) => {
            prepend(
                pod,
                "initContainers",
                json!({"name": format!("early-{number}")}),
            );
        }
        Meddling::PrependVolume(number) => {
            prepend(
                pod,
                "volumes",
                json!({"name": format!("v-{number}"), "emptyDir": {}}),
            );
        }
        Meddling::ReverseVariables => {
            let containers = pod
                .pointer_mut("/spec/containers")
                .and_then(Value::as_array_mut);
            for env in containers
                .into_iter()
                .flatten()
                .filter_map(|container| container.get_mut("env"))
            {
                env.as_array_mut().into_iter().for_each(|env| env.reverse());
            }
        }
        Meddling::Name(number) => {
            if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("name".to_owned(), json!(format!("name-{number}")));
            }
        }
    }
}

/// Any JSON, with the keys that we read in any place and of any type.
fn anything() -> impl Strategy<Value = Value> {
    let keys = [
        "metadata",
        "spec",
        "annotations",
        "labels",
        "containers",
        "initContainers",
        "volumes",
        "env",
        "volumeMounts",
        "name",
        "value",
        "valueFrom",
        "ports",
        "nodeSelector",
        names::INJECT_PROXY,
        names::USE,
        names::STATUS,
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        select(
            &[
                "",
                "true",
                "azwi-proxy",
                "azwi-proxy-init",
                "azure-identity-token",
                "IDENTITY_HEADER",
                "\u{0}~1/"
            ][..]
        )
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 96, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((select(keys.to_vec()), inner), 0..6).prop_map(|members| Value::Object(
                members
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            )),
        ]
    })
}

/// Another webhook: a container, a volume, an annotation; variables and a mount in the pod's first container.
fn mutated(mut pod: Value) -> Value {
    fn push(object: &mut Value, key: &str, element: Value) {
        match object.get_mut(key).and_then(Value::as_array_mut) {
            Some(list) => list.push(element),
            None => object[key] = json!([element]),
        }
    }
    for root in ["metadata", "spec"] {
        if !pod[root].is_object() {
            pod[root] = json!({});
        }
    }
    if !pod["metadata"]["annotations"].is_object() {
        pod["metadata"]["annotations"] = json!({});
    }
    pod["metadata"]["annotations"]["other.example/annotation"] = json!("theirs");
    let containers = pod["spec"]
        .get_mut("containers")
        .and_then(Value::as_array_mut);
    let own = |container: &&mut Value| container["name"] == "c0";
    if let Some(container) = containers.into_iter().flatten().find(own) {
        push(container, "env", json!({"name": "THEIRS", "value": "1"}));
        push(
            container,
            "env",
            json!({"name": names::IMDS_ENDPOINT, "value": "theirs"}),
        );
        push(
            container,
            "volumeMounts",
            json!({"name": "theirs", "mountPath": "/theirs"}),
        );
    }
    push(&mut pod["spec"], "containers", json!({"name": "theirs"}));
    push(
        &mut pod["spec"],
        "volumes",
        json!({"name": "theirs", "emptyDir": {}}),
    );
    pod
}

fn world() -> impl Strategy<Value = World> {
    let annotations = |pairs: &'static [(&'static str, &'static str)]| {
        subsequence(pairs, 0..=pairs.len())
            .prop_map(|some| some.into_iter().collect::<Annotations>())
    };
    let service_account = annotations(&[
        (names::CLIENT_ID, "11111111-2222-3333-4444-555555555555"),
        (names::TENANT_ID, "of-the-service-account"),
        (names::RESOURCE_IDS, "{}"),
    ]);
    let namespace = annotations(&[
        (names::INJECT_PROXY, "true"),
        (names::SELECT, "service-account"),
        (names::CAPTURE, "env"),
    ]);
    (option::of(service_account), namespace, any::<bool>()).prop_map(
        |(service_account, namespace, native_sidecar)| {
            let defaults = Defaults {
                tenant_id: Some("tenant".to_owned()),
                authority_host: "https://login.microsoftonline.com/".to_owned(),
                audience: names::DEFAULT_AUDIENCE.to_owned(),
                proxy_image: "identity-injector".to_owned(),
                native_sidecar,
                capture: Capture::Redirect,
                imds_passthrough: Passthrough::Allow,
                token_expiration: names::DEFAULT_TOKEN_EXPIRATION,
                resources: Resources {
                    cpu_request: "10m".parse().unwrap(),
                    cpu_limit: "100m".parse().unwrap(),
                    memory_request: "16Mi".parse().unwrap(),
                    memory_limit: "64Mi".parse().unwrap(),
                },
            };
            World {
                service_account,
                namespace,
                defaults,
            }
        },
    )
}

fn pod() -> impl Strategy<Value = Value> {
    object(vec![
        ("apiVersion", Just(Some(json!("v1"))).boxed()),
        ("metadata", sometimes(metadata())),
        ("spec", sometimes(spec())),
        (
            "fieldOfTomorrow",
            sometimes(Just(json!({"deep": [1, null]}))),
        ),
    ])
}

fn metadata() -> impl Strategy<Value = Value> {
    let of =
        |values: &'static [&'static str]| sometimes(select(values).prop_map(|text| json!(text)));
    let labels = object(vec![(names::USE, of(&["true", "true", "true", "false"]))]);
    let annotations = object(vec![
        (names::INJECT_PROXY, of(&["true", "yes", "", "no"])),
        (names::CAPTURE, of(&["env", "redirect"])),
        (names::SKIP_CONTAINERS, of(&["c0", "c1;i0", "azwi-proxy"])),
        (names::DEFAULT_CONTAINER, of(&["c1", ""])),
        (names::STATUS, of(&["theirs", "", "{}"])),
        ("a.example/other", of(&["kept"])),
    ]);
    object(vec![
        ("name", of(&["app"])),
        ("labels", sometimes(labels)),
        ("annotations", sometimes(annotations)),
        ("creationTimestamp", Just(Some(Value::Null)).boxed()),
    ])
}

fn spec() -> impl Strategy<Value = Value> {
    object(vec![
        ("serviceAccountName", sometimes(Just(json!("workload")))),
        (
            "initContainers",
            sometimes(containers(&[
                "i0",
                "i1",
                names::INIT_CONTAINER,
                names::PROXY_CONTAINER,
            ])),
        ),
        ("containers", sometimes(containers(&["c0", "c1", "c2", ""]))),
        ("volumes", sometimes(list(volumes()))),
        ("restartPolicy", sometimes(Just(json!("Never")))),
    ])
}

/// At most three, with different names, as the API server demands.
fn containers(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    subsequence(names, 0..=3).prop_flat_map(|names| {
        let containers: Vec<_> = names.into_iter().map(container).collect();
        containers.prop_map(Value::Array)
    })
}

fn container(name: &'static str) -> impl Strategy<Value = Value> {
    object(vec![
        ("name", Just(Some(json!(name))).boxed()),
        ("env", sometimes(list(variables()))),
        ("volumeMounts", sometimes(list(mounts()))),
        ("ports", sometimes(Just(json!([{"containerPort": 80}])))),
        ("fieldOfTomorrow", sometimes(Just(json!(2.5)))),
    ])
}

fn variables() -> Vec<Value> {
    vec![
        json!({"name": "OWN", "value": "1"}),
        json!({"name": names::AZURE_CLIENT_ID, "value": "own"}),
        json!({"name": names::AZURE_FEDERATED_TOKEN_FILE, "value": "/elsewhere"}),
        json!({"name": names::IDENTITY_HEADER, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
        json!({"name": "OWN", "value": "twice"}),
        json!("no variable"),
    ]
}

fn mounts() -> Vec<Value> {
    vec![
        json!({"name": "data", "mountPath": "/data"}),
        json!({"name": "data", "mountPath": "/var/run/secrets/azure/tokens/"}),
        json!({"name": names::TOKEN_VOLUME, "mountPath": names::TOKEN_MOUNT}),
    ]
}

fn volumes() -> Vec<Value> {
    let token = json!({"audience": names::DEFAULT_AUDIENCE, "path": names::TOKEN_FILE});
    vec![
        json!({"name": "data", "emptyDir": {}}),
        json!({"name": "tokens", "projected": {"sources": [{"serviceAccountToken": token}]}}),
    ]
}

fn list(elements: Vec<Value>) -> impl Strategy<Value = Value> {
    let most = elements.len();
    subsequence(elements, 0..=most).prop_map(Value::Array)
}

/// Mostly the value; else nothing, null, or what does not belong there.
fn sometimes(
    value: impl Strategy<Value = Value> + 'static,
) -> proptest::strategy::BoxedStrategy<Option<Value>> {
    prop_oneof![
        6 => value.prop_map(Some),
        3 => Just(None),
        2 => Just(Some(Value::Null)),
        1 => Just(Some(json!("of another type"))),
    ]
    .boxed()
}

/// An object with some of these keys, in any order.
fn object(
    fields: Vec<(
        &'static str,
        proptest::strategy::BoxedStrategy<Option<Value>>,
    )>,
) -> impl Strategy<Value = Value> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(key, value)| value.prop_map(move |value| (key, value)))
        .collect();
    fields.prop_shuffle().prop_map(|fields| {
        let present = fields
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Value::Object(present.collect::<Map<_, _>>())
    })
}
