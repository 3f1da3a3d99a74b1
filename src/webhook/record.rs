//! What is counted and logged of each request.

use std::time::Duration;

use axum::http::StatusCode;

use super::handler::{Asked, Webhook};
use super::outcome::Outcome;
use super::review::{Answer, Request};
use crate::inject::Pod;

impl Webhook {
    /// Counts and logs an answer.
    pub fn answered(&self, asked: Asked, request: &Request, answer: &Answer, took: Duration) {
        let dry_run = request.dry_run == Some(true);
        self.metrics.admitted(answer.outcome, dry_run);
        // The reference, whose histogram it is, is not asked about what makes pods.
        if asked == Asked::Pod {
            self.metrics.answered(&request.namespace, took, |name| {
                self.directory.knows_namespace(name)
            });
        }
        let metadata = |key| Pod(&request.object).metadata(key)?.as_str();
        let name = metadata("name").or_else(|| metadata("generateName"));
        let (pod, workload) = match asked {
            Asked::Pod => (name, None),
            Asked::Workload => (
                None,
                name.map(|name| format!("{}/{name}", request.kind.kind)),
            ),
        };
        let reason = answer.outcome.reason();
        tracing::info!(
            uid = request.uid,
            namespace = request.namespace,
            pod,
            workload,
            decision = answer.outcome.result(),
            reason = (!reason.is_empty()).then_some(reason),
            denial = answer.denial.as_ref().map(|denial| denial.message.as_str()),
            dry_run = dry_run.then_some(true),
            // A u128 would be a text in JSON.
            micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "admission"
        );
    }

    /// Counts and logs what is no review. The sentence holds nothing that may be a secret.
    pub fn refused(&self, (status, sentence): &(StatusCode, String)) {
        self.metrics.admitted(Outcome::Unreadable, false);
        tracing::warn!(status = status.as_u16(), reason = sentence, "no review");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use axum::body::Body;
    use axum::http;
    use clap::Parser;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::inject::Flags;
    use crate::names;
    use crate::webhook::api_server::ApiServer;
    use crate::webhook::directory::Directory;
    use crate::webhook::handler;
    use crate::webhook::metrics::Metrics;

    #[derive(Parser)]
    struct Server {
        #[command(flatten)]
        flags: Flags,
    }

    /// Log lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        /// The lines since the last call, without what differs each time.
        fn take(&self) -> Vec<Value> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            let lines = serde_json::Deserializer::from_slice(&bytes).into_iter();
            let lines = lines.map(|line| {
                let mut line: Value = line.unwrap();
                let fields = line.as_object_mut().unwrap();
                for field in ["timestamp", "target", "micros"] {
                    fields.shift_remove(field);
                }
                line
            });
            lines.collect()
        }
    }

    /// A webhook that knows no API server; none of what is sent here needs one.
    fn webhook() -> Webhook {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = kube::Config::new("http://localhost:1".parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let metrics = Arc::new(Metrics::default());
        Webhook {
            flags: Server::parse_from(["server"]).flags,
            directory: Directory::new(client, metrics.lookups.clone()),
            api_server: ApiServer::default(),
            metrics,
        }
    }

    fn review(kind: &Value, object: &Value) -> String {
        let request = json!({"uid": "u", "kind": kind, "operation": "CREATE", "namespace": "shop", "object": object});
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
            .to_string()
    }

    #[tokio::test]
    async fn each_request_is_a_line() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true);
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let webhook = webhook();
        let router = handler::reviews(webhook);
        let opted_out =
            json!({"metadata": {"generateName": "web-", "labels": {names::USE: "false"}}});
        let deployment = json!({"metadata": {"name": "web"}, "spec": {"template": opted_out}});
        let bad = |status: u16, sentence: &str| json!({"level": "WARN", "message": "no review", "status": status, "reason": sentence});
        let line = |field: &str, name, reason| {
            json!({"level": "INFO", "message": "admission", "uid": "u", "namespace": "shop", field: name,
                "decision": "skipped", "reason": reason})
        };
        let table = [
            (
                "a pod",
                names::MUTATE_PATH,
                review(&json!({"version": "v1", "kind": "Pod"}), &opted_out),
                line("pod", "web-", "opted_out"),
            ),
            (
                "a workload",
                names::WARN_PATH,
                review(
                    &json!({"group": "apps", "version": "v1", "kind": "Deployment"}),
                    &deployment,
                ),
                line("workload", "Deployment/web", "workload"),
            ),
            (
                "two time-outs",
                "/mutate-v1-pod?timeout=5s&timeout=6s",
                review(&json!({"version": "v1", "kind": "Pod"}), &opted_out),
                line("pod", "web-", "opted_out"),
            ),
            (
                "another query",
                "/mutate-v1-pod?timeout&%ff=%zz",
                review(&json!({"version": "v1", "kind": "Pod"}), &opted_out),
                line("pod", "web-", "opted_out"),
            ),
            (
                "no JSON",
                names::MUTATE_PATH,
                r#"{"apiVersion": "hidden", hidden}"#.to_owned(),
                bad(
                    400,
                    "request body is no AdmissionReview: key must be a string at line 1 column 26",
                ),
            ),
            (
                "no review",
                names::MUTATE_PATH,
                r#"{"apiVersion": "v1", "kind": "x", "request": "hidden, expected not"}"#
                    .to_owned(),
                bad(
                    400,
                    "request body is no AdmissionReview: expected a JSON object at line 1 column 67",
                ),
            ),
            (
                "another kind, with a long name",
                names::MUTATE_PATH,
                json!({"apiVersion": "v1", "kind": "long ".repeat(1000), "request": {"uid": ""}})
                    .to_string(),
                bad(
                    400,
                    &format!(
                        "request body is v1 {}: an admission.k8s.io/v1 or admission.k8s.io/v1beta1 AdmissionReview is expected",
                        "long ".repeat(12)
                    ),
                ),
            ),
            (
                "too large",
                names::WARN_PATH,
                " ".repeat(8 << 20),
                bad(
                    413,
                    "request body is larger than 7340032 bytes (7 MiB), the most an AdmissionReview may have",
                ),
            ),
        ];
        for (case, path, body, expected) in table {
            let request = http::Request::post(path).header("content-type", "application/json");
            let request = request.body(Body::from(body)).unwrap();
            router.clone().oneshot(request).await.unwrap();
            assert_eq!(lines.take(), [expected], "{case}");
        }
    }
}
