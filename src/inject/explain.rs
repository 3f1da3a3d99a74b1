//! How a verdict came about, for the person who asks why a pod was or was not injected. The verdict is `decide`'s own,
//! and the rule it stopped at is read off it; the rules before that one were passed.

use serde::Serialize;

use super::rule::{ASKING, FITTING, Look, Rule};
use super::sources::Sources;
use super::{Annotations, Decision, Input, Plan, Status, Verdict, decide, patch};
use crate::names;

/// A verdict and what led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The rules that were asked, in their order.
    pub steps: Vec<Step>,
    /// What `decide` says.
    pub verdict: Verdict,
    /// What the patch would add, by name; nothing where the pod lacks nothing.
    pub adds: Option<Status>,
}

/// A rule that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name.
    pub rule: &'static str,
    /// What it says: yes or no; the value a setting came to, or ok; `refused`.
    pub outcome: String,
    /// What it looked at.
    #[serde(flatten)]
    pub look: Look,
}

/// Decides, and says how.
#[must_use]
pub fn explain(input: &Input<'_>) -> Explanation {
    let none = Annotations::default();
    let sources = Sources::of(input, &none);
    let verdict = decide(input);
    let steps = path(&verdict.decision, asker(sources)).into_iter();
    let steps = steps.map(|rule| Step {
        rule: rule.name(),
        outcome: outcome(rule, &verdict.decision, sources),
        look: rule.look(sources),
    });
    let steps = steps.collect();
    let adds = match &verdict.decision {
        Decision::Inject(plan) => patch::added(input.pod, plan),
        Decision::Skip(_) | Decision::Refuse(_) => None,
    };
    Explanation {
        steps,
        verdict,
        adds,
    }
}

/// The rule by which a pod asks, where it does.
fn asker(sources: Sources<'_>) -> Rule {
    if sources.proxy_requested() == Ok(true) {
        Rule::Proxy
    } else if sources.pod.label(names::USE).is_some() {
        Rule::Identity
    } else {
        Rule::Selection
    }
}

/// The rules up to the one that the decision stopped at.
fn path(decision: &Decision, asker: Rule) -> Vec<Rule> {
    let until = |rules: &[Rule], last: Rule| -> Vec<Rule> {
        let before = rules.iter().copied().take_while(|rule| *rule != last);
        before.chain([last]).collect()
    };
    let stop = Rule::stopping(decision);
    if let Some(stop) = stop.filter(|stop| ASKING.contains(stop)) {
        return until(&ASKING, stop);
    }
    let mut rules = until(&ASKING, asker);
    let mut fitting = match stop {
        Some(stop) => until(&FITTING, stop),
        None => FITTING.to_vec(),
    };
    fitting.retain(|rule| asker == Rule::Proxy || rule.of_identity());
    rules.extend(fitting);
    rules
}

fn outcome(rule: Rule, decision: &Decision, sources: Sources<'_>) -> String {
    let stop = Rule::stopping(decision);
    let word = match (rule, decision) {
        (_, Decision::Refuse(_)) if stop == Some(rule) => "refused",
        (Rule::Setting(key), Decision::Inject(plan)) => return setting(key, plan),
        (rule, _) if FITTING.contains(&rule) => "ok",
        // The last one to ask: stopping here means that it does not.
        (Rule::Selection, Decision::Skip(_)) => match sources.selects_by_service_account() {
            Ok(true) => "no client-id",
            _ => "no",
        },
        _ if stop == Some(rule) || asker(sources) == rule => "yes",
        _ => "no",
    };
    word.to_owned()
}

/// The value that a setting came to.
fn setting(key: &str, plan: &Plan) -> String {
    let settings = &plan.settings;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    match (key, &settings.proxy) {
        (names::TOKEN_EXPIRATION, _) => settings.token_expiration.to_string(),
        (names::SKIP_CONTAINERS, _) if settings.skip_containers.is_empty() => "none".to_owned(),
        (names::SKIP_CONTAINERS, _) => settings.skip_containers.join(";"),
        (names::CLIENT_ID, _) => text(&plan.identity.client_id),
        (names::TENANT_ID, _) => text(&plan.identity.tenant_id),
        (names::PROXY_PORT, Some(proxy)) => proxy.port.to_string(),
        (names::CAPTURE, Some(proxy)) => proxy.capture.to_string(),
        (names::IMDS_PASSTHROUGH, Some(proxy)) => proxy.imds_passthrough.to_string(),
        (names::PROXY_LOG_LEVEL, Some(proxy)) => proxy.log_level.clone(),
        (names::PROXY_CPU_REQUEST, Some(proxy)) => proxy.resources.cpu_request.to_string(),
        (names::PROXY_CPU_LIMIT, Some(proxy)) => proxy.resources.cpu_limit.to_string(),
        (names::PROXY_MEMORY_REQUEST, Some(proxy)) => proxy.resources.memory_request.to_string(),
        (names::PROXY_MEMORY_LIMIT, Some(proxy)) => proxy.resources.memory_limit.to_string(),
        (names::RESOURCE_IDS, Some(proxy)) if proxy.resource_ids.is_none() => "none".to_owned(),
        // A map, too long for a word.
        _ => "ok".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::inject::{Capture, Defaults, Passthrough, Resources};

    /// A pod and what stands beside it.
    struct World {
        pod: Value,
        service_account: Vec<(&'static str, &'static str)>,
        namespace: Vec<(&'static str, &'static str)>,
    }

    impl World {
        fn new(metadata: &Value) -> Self {
            World {
                pod: json!({"metadata": metadata, "spec": {"containers": [{"name": "app"}]}}),
                service_account: vec![(names::CLIENT_ID, "id"), (names::RESOURCE_IDS, "{}")],
                namespace: Vec::new(),
            }
        }

        fn proxy() -> Self {
            World::new(&json!({"labels": {}, "annotations": {names::INJECT_PROXY: "true"}}))
        }

        fn identity() -> Self {
            World::new(&json!({"labels": {names::USE: "true"}, "annotations": {}}))
        }

        fn broken(mut self, rule: Rule) -> Self {
            let spec = match rule {
                Rule::Mirror => return self.annotated(names::MIRROR_POD),
                Rule::Text => {
                    self.pod["metadata"]["labels"]["azure.workload.identity/x"] = json!(5);
                    return self;
                }
                Rule::Proxy => return self.annotated(names::INJECT_PROXY),
                Rule::Setting(names::RESOURCE_IDS) => {
                    self.service_account.insert(0, (names::RESOURCE_IDS, "x"));
                    return self;
                }
                Rule::Setting(key) => return self.annotated(key),
                Rule::Selection => {
                    self.namespace.push((names::SELECT, "x"));
                    return self;
                }
                Rule::OptOut | Rule::Identity => {
                    self.pod["metadata"]["labels"][names::USE] = json!("false");
                    return self;
                }
                Rule::Windows => ("os", json!({"name": "windows"})),
                Rule::HostNetwork => ("hostNetwork", json!(true)),
                Rule::Port => {
                    self.pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8000}]);
                    return self;
                }
                Rule::Volume => ("volumes", json!([{"name": names::TOKEN_VOLUME}])),
            };
            self.pod["spec"][spec.0] = spec.1;
            self
        }

        fn annotated(mut self, key: &str) -> Self {
            self.pod["metadata"]["annotations"][key] = json!("x");
            self
        }

        fn explained(self) -> Explanation {
            let quantity = |text: &str| text.parse().unwrap();
            explain(&Input {
                pod: &self.pod,
                service_account: Some(&self.service_account.into_iter().collect()),
                namespace: &self.namespace.into_iter().collect(),
                defaults: &Defaults {
                    tenant_id: Some("tenant".to_owned()),
                    authority_host: "https://login.microsoftonline.com/".to_owned(),
                    audience: names::DEFAULT_AUDIENCE.to_owned(),
                    proxy_image: "image".to_owned(),
                    native_sidecar: true,
                    capture: Capture::Redirect,
                    imds_passthrough: Passthrough::Allow,
                    token_expiration: 3600,
                    resources: Resources {
                        cpu_request: quantity("10m"),
                        cpu_limit: quantity("100m"),
                        memory_request: quantity("16Mi"),
                        memory_limit: quantity("64Mi"),
                    },
                },
            })
        }
    }

    /// The rules that can stop a pod, in their order.
    fn stopping() -> Vec<Rule> {
        let never = [names::SKIP_CONTAINERS, names::CLIENT_ID, names::TENANT_ID].map(Rule::Setting);
        let asking = [Rule::Mirror, Rule::Text, Rule::OptOut, Rule::Proxy];
        let fitting = FITTING.into_iter().filter(|rule| !never.contains(rule));
        asking.into_iter().chain(fitting).collect()
    }

    #[test]
    fn rules_stand_in_the_order_in_which_they_are_decided() {
        for (place, first) in stopping().into_iter().enumerate() {
            let alone = World::proxy().broken(first).explained();
            assert!(alone.adds.is_none(), "{first:?}");
            for second in stopping().into_iter().skip(place) {
                let both = World::proxy().broken(second).broken(first).explained();
                assert_eq!(both.verdict, alone.verdict, "{first:?} before {second:?}");
                let last = both.steps.last().unwrap();
                assert_eq!(last.rule, first.name(), "{first:?} before {second:?}");
                assert!(["refused", "yes"].contains(&&*last.outcome), "{last:?}");
            }
        }
    }

    #[test]
    fn identity_alone_is_asked_only_what_concerns_it() {
        for rule in FITTING.into_iter().filter(|rule| stopping().contains(rule)) {
            let explanation = World::identity().broken(rule).explained();
            let refused = matches!(explanation.verdict.decision, Decision::Refuse(_));
            assert_eq!(refused, rule.of_identity(), "{rule:?}");
            let asked = explanation
                .steps
                .iter()
                .any(|step| step.rule == rule.name());
            assert_eq!(asked, rule.of_identity(), "{rule:?}");
        }
    }

    #[test]
    fn who_asks() {
        let selecting = |client_id| {
            let mut world = World::new(&json!({}));
            world.namespace.push((names::SELECT, "service-account"));
            world.service_account = vec![(names::CLIENT_ID, client_id)];
            world
        };
        let table = [
            (World::proxy(), "proxy-requested", "yes"),
            (World::identity(), "identity-requested", "yes"),
            (selecting("id"), "selected", "yes"),
            (selecting(""), "selected", "no client-id"),
            (World::new(&json!({})), "selected", "no"),
            (
                World::new(&json!({})).broken(Rule::Selection),
                "selected",
                "refused",
            ),
        ];
        for (world, rule, outcome) in table {
            let steps = world.explained().steps;
            let mut asking = steps
                .iter()
                .filter(|step| ASKING.iter().any(|rule| rule.name() == step.rule));
            let last = asking.next_back().unwrap();
            assert_eq!((last.rule, &*last.outcome), (rule, outcome));
        }
    }

    #[test]
    fn every_setting_has_its_value() {
        let steps = World::proxy().explained().steps;
        let settings = FITTING
            .into_iter()
            .filter(|rule| matches!(rule, Rule::Setting(_)));
        for rule in settings.filter(|rule| *rule != Rule::Setting(names::RESOURCE_IDS)) {
            let step = steps.iter().find(|step| step.rule == rule.name()).unwrap();
            assert_ne!(step.outcome, "ok", "{rule:?}");
        }
    }
}
