//! The TLS port's route: reviews.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;

use super::api_server::ApiServer;
use super::directory::{Directory, LookupError};
use super::metrics::Metrics;
use super::outcome::Outcome;
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
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The review route, and a sentence for whoever misses it.
pub fn reviews(webhook: Webhook) -> Router {
    Router::new()
        .route(names::MUTATE_PATH, post(mutate).fallback(other_method))
        .fallback(other_path)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Arc::new(webhook))
}

async fn other_path(uri: Uri) -> (StatusCode, String) {
    let sentence = format!(
        "nothing is at {}: AdmissionReviews are posted to {}",
        uri.path(),
        names::MUTATE_PATH
    );
    (StatusCode::NOT_FOUND, sentence)
}

async fn other_method(method: Method) -> (StatusCode, String) {
    let sentence = format!(
        "method {method}: AdmissionReviews are posted to {}, by POST",
        names::MUTATE_PATH
    );
    (StatusCode::METHOD_NOT_ALLOWED, sentence)
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
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let start = Instant::now();
    let review = match read(&headers, body) {
        Ok(review) => review,
        Err(refused) => {
            webhook.metrics.admitted(Outcome::Unreadable, false);
            return refused.into_response();
        }
    };
    let answer = webhook.answer(&review.request, timeout.budget()).await;
    let body = review.answer(&answer);
    let took = start.elapsed();
    webhook.count(&review.request, answer.outcome, took);
    log(&review.request, &answer, took);
    match body {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn read(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Review, (StatusCode, String)> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if content_type.split(';').next().map(str::trim) != Some("application/json") {
        let sentence = format!("content type {content_type:?}: application/json is expected");
        return Err((StatusCode::BAD_REQUEST, sentence));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let sentence = format!(
                "request body is larger than {BODY_LIMIT} bytes (7 MiB), the most an AdmissionReview may have"
            );
            (StatusCode::PAYLOAD_TOO_LARGE, sentence)
        }
        status => (status, rejection.body_text()),
    })?;
    Review::read(&body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

impl Webhook {
    async fn answer(&self, request: &Request, within: Duration) -> Answer {
        if let Some(sentence) = not_ours(request) {
            return Answer {
                warnings: vec![sentence],
                outcome: Outcome::NotANewPod,
                ..Answer::default()
            };
        }
        match self.verdict(request, within).await {
            Ok(verdict) => {
                self.metrics.warned(&verdict.warnings);
                answer(&request.object, verdict)
            }
            Err(error) => Answer {
                denial: Some(Denial {
                    code: 500,
                    message: format!("{error}; create the pod again"),
                }),
                outcome: Outcome::LookupFailed,
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

    fn count(&self, request: &Request, outcome: Outcome, took: Duration) {
        let dry_run = request.dry_run == Some(true);
        self.metrics.admitted(outcome, dry_run);
        self.metrics.answered(&request.namespace, took, |name| {
            self.directory.knows_namespace(name)
        });
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
            let outcome = if patch.0.is_empty() {
                Outcome::Unchanged
            } else {
                Outcome::Injected
            };
            Answer {
                patch: Some(patch),
                warnings,
                outcome,
                ..Answer::default()
            }
        }
        Decision::Skip(reason) => Answer {
            warnings,
            outcome: Outcome::Skipped(reason),
            ..Answer::default()
        },
        Decision::Refuse(refusal) => Answer {
            denial: Some(Denial {
                code: refusal.code(),
                message: refusal.to_string(),
            }),
            warnings,
            outcome: Outcome::Denied(refusal.reason()),
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
    let reason = answer.outcome.reason();
    tracing::info!(
        uid = request.uid,
        namespace = request.namespace,
        pod = metadata("name").or_else(|| metadata("generateName")),
        decision = answer.outcome.result(),
        reason = (!reason.is_empty()).then_some(reason),
        denial = answer.denial.as_ref().map(|denial| denial.message.as_str()),
        dry_run = request.dry_run.filter(|dry_run| *dry_run),
        micros = took.as_micros(),
        "admission"
    );
}
