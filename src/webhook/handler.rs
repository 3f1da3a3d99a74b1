//! The routes: reviews on the TLS port, health on the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::api_server::ApiServer;
use super::directory::{Directory, LookupError};
use super::ready::Readiness;
use super::review::{Answer, Denial, Request, Review};
use crate::inject::{
    Annotations, Decision, Flags, Input, Pod, Verdict, decide, needs_service_account, patch,
};
use crate::names;

/// Largest body that is read, in bytes; a pod is at most 1.5 MiB, a review holds it up to twice.
const BODY_LIMIT: usize = 7 * 1024 * 1024;
/// What the API server waits unless it says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the routes work with.
pub struct Webhook {
    /// The flags behind the defaults.
    pub flags: Flags,
    /// ServiceAccounts and Namespaces.
    pub directory: Directory,
    /// What the API server can.
    pub api_server: ApiServer,
}

/// The review route.
pub fn reviews(webhook: Webhook) -> Router {
    Router::new()
        .route(names::MUTATE_PATH, post(mutate))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Arc::new(webhook))
}

/// Liveness and readiness.
pub fn health(readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz))
        .with_state(readiness)
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    match readiness.missing().as_slice() {
        [] => "ok".into_response(),
        missing => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready, pending: {}", missing.join(", ")),
        )
            .into_response(),
    }
}

/// The API server's `?timeout=10s`.
#[derive(Debug, Default, Deserialize)]
struct Timeout {
    #[serde(default)]
    timeout: Option<String>,
}

impl Timeout {
    /// What is left for look-ups: 80 % of what the API server waits.
    fn budget(&self) -> Duration {
        let seconds = self
            .timeout
            .as_deref()
            .and_then(|text| text.strip_suffix('s'))
            .and_then(|text| text.parse().ok());
        seconds
            .map_or(DEFAULT_TIMEOUT, Duration::from_secs)
            .mul_f64(0.8)
    }
}

async fn mutate(
    State(webhook): State<Arc<Webhook>>,
    Query(timeout): Query<Timeout>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if !json.is_some_and(|value| {
        value
            .split(';')
            .next()
            .is_some_and(|kind| kind.trim() == "application/json")
    }) {
        let sentence = format!(
            "content type {:?}: application/json is expected",
            json.unwrap_or_default()
        );
        return (StatusCode::BAD_REQUEST, sentence).into_response();
    }
    let review = match Review::read(&body) {
        Ok(review) => review,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let start = Instant::now();
    let answer = webhook.answer(&review.request, timeout.budget()).await;
    log(&review.request, &answer, start.elapsed());
    match review.answer(&answer) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

impl Webhook {
    async fn answer(&self, request: &Request, within: Duration) -> Answer {
        if let Some(sentence) = not_ours(request) {
            return Answer {
                warnings: vec![sentence],
                decision: "skipped",
                reason: "not_a_new_pod",
                ..Answer::default()
            };
        }
        match self.verdict(request, within).await {
            Ok(verdict) => answer(&request.object, verdict),
            Err(error) => Answer {
                denial: Some(Denial {
                    code: 500,
                    message: format!("{error}; create the pod again"),
                }),
                decision: "error",
                reason: "lookup_failed",
                ..Answer::default()
            },
        }
    }

    async fn verdict(&self, request: &Request, within: Duration) -> Result<Verdict, LookupError> {
        let pod = &request.object;
        let namespace = self
            .directory
            .namespace(&request.namespace, within)
            .await?
            .unwrap_or_default();
        let name = Pod(pod).service_account_name();
        let service_account = match self
            .directory
            .service_account(&request.namespace, name, within)
            .await
        {
            Ok(service_account) => service_account,
            Err(error) if needs_service_account(pod, &namespace) => return Err(error),
            Err(_) => Some(Annotations::default()),
        };
        let defaults = self.flags.defaults(self.api_server.native_sidecars());
        let service_account = service_account.as_ref();
        Ok(decide(&Input {
            pod,
            service_account,
            namespace: &namespace,
            defaults: &defaults,
        }))
    }
}

/// A sentence for what the webhook's rules should not have sent.
fn not_ours(request: &Request) -> Option<String> {
    let pod = request.kind.group.is_empty()
        && request.kind.kind == "Pod"
        && request.sub_resource.is_empty();
    let new_pod = pod && request.operation == "CREATE" && request.object.is_object();
    (!new_pod).then(|| {
        let slash = if request.sub_resource.is_empty() { "" } else { "/" };
        format!(
            "identity-injector changes pods on CREATE only, not {}{slash}{} on {}; check the webhook's rules",
            request.kind.kind, request.sub_resource, request.operation
        )
    })
}

fn answer(pod: &serde_json::Value, verdict: Verdict) -> Answer {
    let warnings = verdict
        .warnings
        .iter()
        .map(crate::inject::Warning::text)
        .collect();
    match verdict.decision {
        Decision::Inject(plan) => {
            let patch = patch(pod, &plan);
            let decision = if patch.0.is_empty() {
                "unchanged"
            } else {
                "injected"
            };
            Answer {
                patch: Some(patch),
                warnings,
                decision,
                ..Answer::default()
            }
        }
        Decision::Skip(reason) => Answer {
            warnings,
            decision: "skipped",
            reason: reason.as_str(),
            ..Answer::default()
        },
        Decision::Refuse(refusal) => Answer {
            denial: Some(Denial {
                code: refusal.code(),
                message: refusal.to_string(),
            }),
            warnings,
            decision: "denied",
            reason: refusal.reason(),
            ..Answer::default()
        },
    }
}

fn log(request: &Request, answer: &Answer, took: Duration) {
    let metadata = |key| {
        request
            .object
            .get("metadata")
            .and_then(|metadata| metadata.get(key)?.as_str())
    };
    tracing::info!(
        uid = request.uid,
        namespace = request.namespace,
        pod = metadata("name").or_else(|| metadata("generateName")),
        decision = answer.decision,
        reason = (!answer.reason.is_empty()).then_some(answer.reason),
        denial = answer.denial.as_ref().map(|denial| denial.message.as_str()),
        dry_run = request.dry_run.filter(|dry_run| *dry_run),
        micros = took.as_micros(),
        "admission"
    );
}
