//! What is asked of every client, and the two controls that show that the cases could fail.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use identity_injector::azure::aadsts::fault;
use serde_json::Value;
use simazure::{NODE_CLIENT_ID, NODE_NAME, UNKNOWN_RESOURCE};

use crate::client::{CLIENTS, Client, Source};
use crate::question::{Answer, Question, RESOURCE, leaks};
use crate::support::claims;
use crate::table::Table;
use crate::world::{Capture, Life, World};

/// The world, and what came of the cases in it.
pub struct Run {
    pub world: World,
    /// Parts of names of packages; none means all.
    only: Vec<String>,
    tokens: Table,
    refusals: Table,
    /// What a token costs each client, by its title: the least time, the most requests.
    costs: HashMap<String, (Duration, usize)>,
    passed: usize,
    failed: Vec<String>,
    start: Instant,
}

/// A reason to be refused for good.
#[derive(Clone, Copy)]
enum Fault {
    UnknownResource,
    ForeignIdentity,
}

impl Run {
    pub fn new(world: World, only: Vec<String>) -> Self {
        Run {
            world,
            only,
            tokens: Table::default(),
            refusals: Table::default(),
            costs: HashMap::new(),
            passed: 0,
            failed: Vec::new(),
            start: Instant::now(),
        }
    }

    pub async fn all(&mut self) {
        let clients = CLIENTS.iter().filter(|client| {
            self.only.is_empty() || self.only.iter().any(|part| client.package.contains(part))
        });
        let clients: Vec<&Client> = clients.collect();
        for capture in [Capture::Env, Capture::Redirect] {
            let pod = self.world.pod(capture);
            if capture == Capture::Redirect {
                self.world.redirect(&pod);
            }
            self.node(capture, &pod).await;
            for client in &clients {
                for source in client.sources(capture) {
                    self.tokens(client, capture, source, &pod).await;
                }
            }
        }
        // Redirect is still on: here every client can be steered to every source.
        let pod = self.world.pod(Capture::Redirect);
        for client in &clients {
            for source in client.sources(Capture::Redirect) {
                if source != Source::WorkloadIdentity {
                    self.refusals(client, source, &pod).await;
                }
            }
        }
        self.late(&clients, &pod).await;
    }

    /// Prints what came of it; true if a case failed.
    pub fn report(self) -> bool {
        println!(
            "\nwhose tokens, milliseconds to the slower one, requests to the proxy for each:\n\n{}",
            self.tokens
        );
        println!(
            "milliseconds to an exception that shows our sentence:\n\n{}",
            self.refusals
        );
        for failure in &self.failed {
            println!("FAILED {failure}");
        }
        println!("in {:.0} s", self.start.elapsed().as_secs_f64());
        println!("sdk: {} passed, {} failed", self.passed, self.failed.len());
        !self.failed.is_empty()
    }

    /// Who answers at 169.254.169.254: a leak would be seen, and what is no identity request reaches the node.
    async fn node(&mut self, capture: Capture, pod: &Value) {
        let proxy = self.world.proxy(pod, Life::Start).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let get = async |path: &str| -> Value {
            let url = format!("http://169.254.169.254/metadata/{path}");
            let request = client.get(url).header("metadata", "true");
            request.send().await.unwrap().json().await.unwrap()
        };
        self.world.azure.clear_journal();
        let query = format!("api-version=2018-02-01&resource={RESOURCE}");
        let reply = get(&format!("identity/oauth2/token?{query}")).await;
        let appid = claims(reply["access_token"].as_str().unwrap())["appid"].clone();
        let (expected, leaked) = match capture {
            Capture::Env => (NODE_CLIENT_ID, true),
            Capture::Redirect => (self.world.identities.own.as_str(), false),
        };
        let seen = leaks(&self.world);
        let name = get("instance?api-version=2021-02-01").await["compute"]["name"].clone();
        drop(proxy);
        let outcome = if appid != expected {
            Err(format!("a token of {appid}"))
        } else if seen.is_empty() == leaked {
            Err(format!("the node's IMDS saw {seen:?}"))
        } else if name != NODE_NAME {
            Err(format!("instance named {name}"))
        } else {
            Ok(())
        };
        let what = match capture {
            Capture::Env => "169.254.169.254 is the node",
            Capture::Redirect => "169.254.169.254 is the proxy, and the node behind it",
        };
        self.note(&format!("{}: {what}", capture.name()), outcome);
    }

    /// System-assigned and user-assigned, as the client sees them.
    async fn tokens(&mut self, client: &Client, capture: Capture, source: Source, pod: &Value) {
        let other = self.world.identities.other.clone();
        let client_ids = [None, Some(other.as_str())];
        let client_ids = &client_ids[..if client.names_identities() { 2 } else { 1 }];
        let mut answers = Vec::new();
        for client_id in client_ids.iter().copied() {
            let question = Question {
                client,
                capture,
                source,
                resource: RESOURCE,
                client_id,
                life: Life::Start,
            };
            let kind = client_id.map_or("system-assigned", |_| "user-assigned");
            answers.extend(
                self.ask(&question, kind, pod, |answer, world| {
                    question.check(answer, world)
                })
                .await,
            );
        }
        let Some(slowest) = answers.iter().max_by_key(|answer| answer.took) else {
            return;
        };
        let title = title(client, slowest);
        let most = answers.iter().map(|answer| answer.requests).max();
        let most = most.unwrap_or_default();
        let identities = &self.world.identities;
        let appids = answers
            .iter()
            .map(|answer| identities.name(&answer.appid()));
        let appids = appids.collect::<Vec<_>>().join(", ");
        let cell = format!("{appids}; {} ms; {most}", slowest.took.as_millis());
        self.tokens
            .put(&title, &column(capture.name(), source), cell);
        let least = answers.iter().map(|answer| answer.took).min();
        let (time, requests) = self.costs.entry(title).or_insert((slowest.took, 0));
        *time = least.unwrap_or_default().min(*time);
        *requests = most.max(*requests);
    }

    async fn refusals(&mut self, client: &Client, source: Source, pod: &Value) {
        for fault in [Fault::UnknownResource, Fault::ForeignIdentity] {
            let foreign = self.world.identities.foreign.clone();
            let (resource, client_id) = match fault {
                Fault::UnknownResource => (UNKNOWN_RESOURCE, None),
                Fault::ForeignIdentity if client.names_identities() => {
                    (RESOURCE, Some(foreign.as_str()))
                }
                Fault::ForeignIdentity => continue,
            };
            let question = Question {
                client,
                capture: Capture::Redirect,
                source,
                resource,
                client_id,
                life: Life::Later,
            };
            let costs = self.costs.clone();
            let check = |answer: &Answer, _: &World| {
                let cost = costs.get(&title(client, answer)).copied();
                question.check_refusal(answer, fault.sentence(), cost.unwrap_or_default())
            };
            let answer = self.ask(&question, fault.name(), pod, check).await;
            if let Some(answer) = answer {
                let silent = if client.shows_refusals(source) {
                    ""
                } else {
                    ", no text"
                };
                let cell = format!("{} ms{silent}", answer.took.as_millis());
                self.refusals
                    .put(&title(client, &answer), &column(fault.name(), source), cell);
            }
        }
    }

    /// The answer, if it is as `check` wants it.
    async fn ask(
        &mut self,
        question: &Question<'_>,
        what: &str,
        pod: &Value,
        check: impl Fn(&Answer, &World) -> Result<(), String>,
    ) -> Option<Answer> {
        let answer = question.ask(&self.world, pod).await;
        let outcome = match &answer {
            Ok(answer) => check(answer, &self.world),
            Err(told) => Err(told.clone()),
        };
        let Question {
            client,
            capture,
            source,
            ..
        } = question;
        let told = answer.as_ref().map_or_else(
            |_| client.package.to_owned(),
            |answer| format!("{}, {:?}", title(client, answer), answer.took),
        );
        let name = format!("{}, {}, {what}: {told}", capture.name(), source.name());
        let answer = answer.ok().filter(|_| outcome.is_ok());
        self.note(&name, outcome);
        answer
    }

    /// Tells how a case ended.
    pub fn note(&mut self, name: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                println!("ok     {name}");
                self.passed += 1;
            }
            Err(why) => {
                println!("FAILED {name}: {why}");
                self.failed.push(format!("{name}: {why}"));
            }
        }
    }
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::UnknownResource => "unknown resource",
            Fault::ForeignIdentity => "another pod's identity",
        }
    }

    /// What the product says of it.
    fn sentence(self) -> &'static str {
        match self {
            Fault::UnknownResource => fault(500_011).sentence,
            Fault::ForeignIdentity => fault(700_213).sentence,
        }
    }
}

pub fn title(client: &Client, answer: &Answer) -> String {
    format!("{} {}, {}", client.package, answer.version, client.call)
}

/// The two App Service protocols share a column: no client here knows both.
fn column(of: &str, source: Source) -> String {
    let source = match source {
        Source::AppService2017 => Source::AppService,
        source => source,
    };
    format!("{of}: {}", source.name())
}
