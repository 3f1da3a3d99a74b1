//! Requests: who may ask, what a request carries, and which verb it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::Request;
use crate::issuer::Issuer;
use crate::kind::{Key, Target};
use crate::object::Form;
use crate::refusal::Refusal;
use crate::store::Store;
use crate::verbs;

/// Everything that requests share.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) token: String,
    /// The answer to GET /version.
    pub(crate) version: Value,
    pub(crate) issuer: Issuer,
    store: Mutex<Store>,
    journal: Mutex<Vec<Request>>,
    paused: watch::Sender<bool>,
}

/// One request, body read.
pub(crate) struct Call {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Server {
    pub(crate) fn new(url: String, token: String, version: Value, issuer: Issuer) -> Self {
        Self {
            url,
            token,
            version,
            issuer,
            store: Mutex::new(Store::new()),
            journal: Mutex::default(),
            paused: watch::Sender::new(false),
        }
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Vec<Request>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    pub(crate) fn paused(&self) -> watch::Receiver<bool> {
        self.paused.subscribe()
    }

    pub(crate) fn live(&self, key: &Key) -> Result<Arc<Value>, Refusal> {
        self.store().get(key).ok_or_else(|| not_found(key))
    }
}

/// Serves any request.
pub(crate) async fn answer(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri
        .path_and_query()
        .map_or_else(|| uri.path(), |it| it.as_str())
        .to_owned();
    server.journal().push(Request {
        method: method.to_string(),
        path,
    });
    let call = Call {
        method,
        uri,
        headers,
        body,
    };
    respond(&server, &call).unwrap_or_else(Refusal::into_response)
}

fn respond(server: &Arc<Server>, call: &Call) -> Result<Response, Refusal> {
    if *server.paused.borrow() {
        return Err(Refusal::Unavailable);
    }
    let target = Target::of(call.uri.path());
    if !matches!(target, Some(Target::Discovery | Target::Jwks)) {
        call.authenticate(&server.token)?;
    }
    let ok = |answer: Value| Ok(Json(answer).into_response());
    match (call.method.as_str(), target.ok_or(Refusal::NoSuchPath)?) {
        ("GET", Target::Version) => ok(server.version.clone()),
        ("GET", Target::Discovery) => ok(server.issuer.discovery(&server.url)),
        ("GET", Target::Jwks) => ok(server.issuer.jwks()),
        ("GET", Target::Collection(kind, namespace)) => {
            verbs::list_or_watch(server, call, kind, namespace)
        }
        ("POST", Target::Collection(kind, namespace)) => {
            verbs::create(server, call, kind, namespace)
        }
        ("GET", Target::Object(key)) => {
            call.parameters(&["resourceVersion"])?;
            ok(call.form().of(&*server.live(&key)?))
        }
        ("PATCH", Target::Object(key)) => verbs::apply(server, call, &key),
        ("DELETE", Target::Object(key)) => verbs::delete(server, call, &key),
        ("POST", Target::Token(key)) => verbs::token_request(server, call, &key),
        _ => Err(Refusal::MethodNotAllowed),
    }
}

impl Call {
    fn authenticate(&self, token: &str) -> Result<(), Refusal> {
        let bearer = self.header(header::AUTHORIZATION).strip_prefix("Bearer ");
        if bearer == Some(token) {
            Ok(())
        } else {
            Err(Refusal::Unauthorized)
        }
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|it| it.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn form(&self) -> Form {
        Form::accepted(self.header(header::ACCEPT))
    }

    /// The field manager of a request that names none: what the client calls itself.
    pub(crate) fn agent(&self) -> &str {
        let name = self
            .header(header::USER_AGENT)
            .split('/')
            .next()
            .unwrap_or_default();
        if name.is_empty() { "unknown" } else { name }
    }

    /// The body, an empty object when there is none.
    pub(crate) fn json(&self) -> Result<Value, Refusal> {
        if self.body.is_empty() {
            return Ok(json!({}));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::BadRequest(format!("the body is no JSON object: {error}")))
    }

    /// The query. A parameter that is not simulated is refused, since to ignore it would be to lie.
    pub(crate) fn parameters(&self, known: &[&str]) -> Result<BTreeMap<String, String>, Refusal> {
        let Query(query) = Query::<BTreeMap<String, String>>::try_from_uri(&self.uri)
            .map_err(|error| Refusal::BadRequest(error.to_string()))?;
        match query.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(query),
            Some(name) => Err(Refusal::BadRequest(format!(
                "simkube has no query parameter {name:?} here; it has {}",
                known.join(", ")
            ))),
        }
    }
}

pub(crate) fn not_found(key: &Key) -> Refusal {
    Refusal::NotFound {
        resource: key.kind.plural(),
        name: key.name.clone(),
    }
}

/// Now, to the second, as the API writes times.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
