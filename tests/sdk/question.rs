//! One client asking for one token: what it got, by which way, and whether that is as it should be.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use simazure::journal::Listener;

use crate::client::{Client, Source};
use crate::support::claims;
use crate::world::{Capture, Life, World};

/// What a client asks for when nothing else is said.
pub const RESOURCE: &str = "https://vault.azure.net";
/// How much longer than for a token a client may take to say that it was refused for good.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// A client's question.
pub struct Question<'a> {
    pub client: &'a Client,
    pub capture: Capture,
    pub source: Source,
    pub resource: &'a str,
    /// None: system-assigned, as the client sees it.
    pub client_id: Option<&'a str>,
    /// When the proxy is asked.
    pub life: Life,
}

/// What came of it.
pub struct Answer {
    /// The client's version, as it told it.
    pub version: String,
    /// The token, or what the client's exception says.
    pub token: Result<String, String>,
    /// As the client measured it.
    pub took: Duration,
    /// Requests that the proxy got.
    pub requests: usize,
    /// The ways by which tokens were asked for, first seen first.
    sources: Vec<Source>,
    /// Identity requests that the node's IMDS got.
    leaks: Vec<String>,
}

impl Answer {
    /// The token's `appid`; empty without a token.
    pub fn appid(&self) -> String {
        let claims = self.token.as_deref().map(claims).unwrap_or_default();
        claims["appid"].as_str().unwrap_or_default().to_owned()
    }
}

impl Question<'_> {
    /// Asks, with a proxy that has no token yet.
    pub async fn ask(&self, world: &World, pod: &Value) -> Result<Answer, String> {
        let mut proxy = world.proxy(pod, self.life).await;
        world.azure.clear_journal();
        let mut command = self.command(world, pod);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .map_err(|error| error.to_string())?;
        proxy.stop();
        let printed = String::from_utf8_lossy(&output.stdout);
        let told = || {
            let errors = String::from_utf8_lossy(&output.stderr);
            format!("{} {printed:?} {errors}", output.status)
        };
        let last = printed.lines().last().unwrap_or_default();
        let answer: Value = serde_json::from_str(last).map_err(|_| told())?;
        let took = answer["milliseconds"].as_u64().ok_or_else(told)?;
        let token = [&answer["token"], &answer["reply"]["access_token"]];
        let error = [&answer["error"], &answer["reply"]["error_description"]];
        let text = |of: [&Value; 2]| {
            of.into_iter()
                .find_map(|value| value.as_str().map(str::to_owned))
        };
        let token = match (text(token), text(error)) {
            (Some(token), _) => Ok(token),
            (None, Some(error)) => Err(error),
            (None, None) => return Err(told()),
        };
        let log = proxy.printed();
        Ok(Answer {
            version: answer["version"].as_str().unwrap_or_default().to_owned(),
            token,
            took: Duration::from_millis(took),
            requests: requests(&log),
            sources: sources(&log, world),
            leaks: leaks(world),
        })
    }

    /// The client with the container's environment and what a machine gives besides.
    fn command(&self, world: &World, pod: &Value) -> Command {
        let (container, without) = self.client.steered(self.capture, self.source);
        let mut variables = world.environment(pod, container);
        variables.retain(|(name, _)| !without.contains(&name.as_str()));
        let home = world.path(&self.client.package.replace(['/', ' '], "-"));
        std::fs::create_dir_all(&home).unwrap();
        let trust = world.path("ca.pem");
        let java = format!(
            "-Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStorePassword=changeit",
            world.path("trust.p12").display()
        );
        let mut command = self.client.command();
        command
            .arg(self.resource)
            .args(self.client_id)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("SSL_CERT_FILE", &trust)
            .env("REQUESTS_CA_BUNDLE", &trust)
            .env("NODE_EXTRA_CA_CERTS", &trust)
            .env("JDK_JAVA_OPTIONS", java)
            .env("ARM_URL", &world.azure.arm)
            .envs(variables);
        command
    }

    /// What is wrong with a token that was asked for.
    pub fn check(&self, answer: &Answer, world: &World) -> Result<(), String> {
        let token = answer.token.as_ref().map_err(Clone::clone)?;
        let claims = claims(token);
        let expected = self.client_id.unwrap_or(&world.identities.own);
        if answer.appid() != *expected {
            return Err(format!("appid {}, expected {expected}", answer.appid()));
        }
        if claims["aud"] != self.resource {
            return Err(format!("aud {}, expected {}", claims["aud"], self.resource));
        }
        if answer.sources != [self.source] {
            return Err(format!(
                "by {:?}, expected {:?}",
                answer.sources, self.source
            ));
        }
        self.check_leaks(answer)
    }

    /// What is wrong with the refusal of a request that never gets a token. `sentence` is ours; the cost is that of a
    /// token: a client's own start is no fault of the refusal, and a second try of it would be.
    pub fn check_refusal(
        &self,
        answer: &Answer,
        sentence: &str,
        (time, requests): (Duration, usize),
    ) -> Result<(), String> {
        let Err(shown) = &answer.token else {
            return Err("a token".to_owned());
        };
        // Python prints the reply as a literal of its own, quotes escaped.
        let visible = shown.replace('\\', "").contains(sentence);
        if visible != self.client.shows_refusals(self.source) {
            return Err(format!("shows {shown:?}"));
        }
        if answer.took >= time + PATIENCE || answer.requests > requests {
            let Answer { took, requests, .. } = answer;
            return Err(format!("took {took:?} and {requests} requests"));
        }
        self.check_leaks(answer)
    }

    fn check_leaks(&self, answer: &Answer) -> Result<(), String> {
        if answer.leaks.is_empty() {
            Ok(())
        } else {
            Err(format!("the node's IMDS was asked for {:?}", answer.leaks))
        }
    }
}

/// Requests in the proxy's log, probes among them.
fn requests(log: &str) -> usize {
    log.lines()
        .filter(|line| line.contains("token request") || line.contains("request refused"))
        .count()
}

fn sources(log: &str, world: &World) -> Vec<Source> {
    let mut sources: Vec<Source> = log
        .lines()
        .filter(|line| line.contains("token request"))
        .filter_map(|line| {
            let (_, after) = line.split_once("protocol=")?;
            match after.split(' ').next()? {
                "Imds" => Some(Source::Imds),
                "AppService" => Some(Source::AppService),
                "AppService2017" => Some(Source::AppService2017),
                _ => None,
            }
        })
        .collect();
    sources.dedup();
    let entra = world.azure.journal().into_iter().any(|entry| {
        entry.listener == Listener::Azure
            && entry.details.grant.as_deref() == Some("client_assertion")
    });
    if sources.is_empty() && entra {
        sources.push(Source::WorkloadIdentity);
    }
    sources
}

/// The identity requests that the node's IMDS got.
pub fn leaks(world: &World) -> Vec<String> {
    world
        .azure
        .journal()
        .into_iter()
        .filter(|entry| entry.listener == Listener::Imds)
        .filter(|entry| entry.path.to_ascii_lowercase().contains("identity"))
        .map(|entry| entry.path)
        .collect()
}
