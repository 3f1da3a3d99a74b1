//! The TLS port's route: reviews.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{self, DefaultBodyLimit, FromRequest, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;
use url::form_urlencoded;

use super::api_server::ApiServer;
use super::directory::{Directory, LookupError};
use super::metrics::Metrics;
use super::outcome::Outcome;
use super::review::{Answer, Denial, Request, Review};
use crate::inject::{
    Annotations, Decision, Flags, Input, Pod, Verdict, additions, decide, needs_namespace,
    needs_service_account,
};
use crate::names;

/// Largest body that is read, in bytes; a pod is at most 1.5 MiB, a review holds it up to twice.
const BODY_LIMIT: usize = 7 * 1024 * 1024;
/// What the API server waits unless it says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest an API server can be told to wait; whoever says more is none.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);

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

/// The review routes, and a sentence for whoever misses them.
pub fn reviews(webhook: Webhook) -> Router {
    Router::new()
        .route(names::MUTATE_PATH, post(mutate).fallback(other_method))
        .route(names::WARN_PATH, post(warn).fallback(other_method))
        .fallback(other_path)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Arc::new(webhook))
}

async fn other_path(uri: Uri) -> (StatusCode, String) {
    let sentence = format!(
        "nothing is at {}: AdmissionReviews are posted to {} or {}",
        uri.path(),
        names::MUTATE_PATH,
        names::WARN_PATH
    );
    (StatusCode::NOT_FOUND, sentence)
}

async fn other_method(method: Method) -> (StatusCode, String) {
    let sentence = format!("method {method}: AdmissionReviews are sent by POST");
    (StatusCode::METHOD_NOT_ALLOWED, sentence)
}

/// What is left for look-ups: 80 % of what the API server waits, which it says as `?timeout=10s`.
fn budget(query: &str) -> Duration {
    let timeout = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "timeout");
    let seconds = timeout.and_then(|(_, text)| text.strip_suffix('s')?.parse().ok());
    seconds
        .map_or(DEFAULT_TIMEOUT, Duration::from_secs)
        .min(LONGEST_TIMEOUT)
        .mul_f64(0.8)
}

async fn mutate(State(webhook): State<Arc<Webhook>>, request: extract::Request) -> Response {
    respond(&webhook, Asked::Pod, request).await
}

async fn warn(State(webhook): State<Arc<Webhook>>, request: extract::Request) -> Response {
    respond(&webhook, Asked::Workload, request).await
}

/// What a route is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A new pod, to be patched or refused.
    Pod,
    /// What makes pods, to be warned of.
    Workload,
}

async fn respond(webhook: &Webhook, asked: Asked, request: extract::Request) -> Response {
    let start = Instant::now();
    let deadline = start + budget(request.uri().query().unwrap_or_default());
    let read = tokio::time::timeout_at(deadline.into(), read(request)).await;
    let review = match read.unwrap_or_else(|_| Err(too_slow())) {
        Ok(review) => review,
        Err(refused) => {
            webhook.refused(&refused);
            return refused.into_response();
        }
    };
    let answer = match asked {
        Asked::Pod => webhook.answer(&review.request, deadline).await,
        Asked::Workload => webhook.advise(&review.request, deadline).await,
    };
    let body = review.answer(&answer);
    webhook.answered(asked, &review.request, &answer, start.elapsed());
    match body {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn too_slow() -> (StatusCode, String) {
    let sentence = "request body did not come within the time the API server waits for an answer";
    (StatusCode::REQUEST_TIMEOUT, sentence.to_owned())
}

async fn read(request: extract::Request) -> Result<Review, (StatusCode, String)> {
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case("application/json") {
        let sentence = format!("content type {content_type:?}: application/json is expected");
        return Err((StatusCode::BAD_REQUEST, sentence));
    }
    let body = Bytes::from_request(request, &()).await;
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
    async fn answer(&self, request: &Request, deadline: Instant) -> Answer {
        if let Some(sentence) = not_ours(request) {
            return Answer {
                warnings: vec![sentence],
                outcome: Outcome::NotANewPod,
                ..Answer::default()
            };
        }
        match self
            .verdict(&request.object, &request.namespace, deadline)
            .await
        {
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

    /// Decides on a pod, looking up no more than the decision needs.
    pub async fn verdict(
        &self,
        pod: &Value,
        namespace: &str,
        deadline: Instant,
    ) -> Result<Verdict, LookupError> {
        let annotations = match needs_namespace(pod) {
            true => self
                .directory
                .namespace(namespace, deadline)
                .await?
                .unwrap_or_default(),
            false => Annotations::default(),
        };
        let name = Pod(pod).service_account_name();
        let service_account = match needs_service_account(pod, &annotations) {
            true => {
                self.directory
                    .service_account(namespace, name, deadline)
                    .await?
            }
            // It can only make a warning better, and that is worth no call.
            false => Some(
                self.directory
                    .cached_service_account(namespace, name)
                    .unwrap_or_default(),
            ),
        };
        Ok(decide(&Input {
            pod,
            service_account: service_account.as_ref(),
            namespace: &annotations,
            defaults: &self.flags.defaults(self.api_server.native_sidecars()),
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

fn answer(pod: &Value, verdict: Verdict) -> Answer {
    let warnings = verdict
        .warnings
        .iter()
        .map(crate::inject::Warning::text)
        .collect();
    match verdict.decision {
        Decision::Inject(plan) => {
            let additions = additions(pod, &plan);
            if additions.is_empty() {
                let outcome = Outcome::Unchanged;
                return Answer {
                    warnings,
                    outcome,
                    ..Answer::default()
                };
            }
            Answer {
                // Plain values always serialise.
                patch: serde_json::to_vec(&additions).ok(),
                warnings,
                outcome: Outcome::Injected,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets() {
        let table = [
            ("", 8_000),
            ("timeout=5s", 4_000),
            ("timeout=30s", 24_000),
            ("dryRun=All&timeout=5s&timeout=30s", 4_000),
            ("timeout=soon", 8_000),
            ("timeout=18446744073709551615s", 24_000),
            ("timeout=99999999999999999999s", 8_000),
        ];
        for (query, millis) in table {
            assert_eq!(budget(query), Duration::from_millis(millis), "{query}");
        }
    }
}
