//! Requests: who may ask, what each verb does to the store, and what it answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Request;
use crate::issuer::{Grant, Issuer};
use crate::kind::{Key, Kind, Target};
use crate::managed::{self, Writer};
use crate::object::{self, Form};
use crate::refusal::Refusal;
use crate::store::Store;
use crate::watch::{Scope, Start};

const APPLY_TYPE: &str = "application/apply-patch+yaml";
/// The shortest life of a token, in seconds.
const SHORTEST: i64 = 600;

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
struct Call {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
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

    /// Creates or replaces, whatever the state of its namespace, as `manager`.
    pub(crate) fn put(&self, key: Key, mut object: Value, manager: &str) -> Arc<Value> {
        let now = now().to_string();
        let mut store = self.store();
        let live = store.get(&key);
        object::stamp(
            &key,
            live.as_deref(),
            &mut object,
            &Uuid::new_v4().to_string(),
            &now,
        );
        let object = managed::update(live.as_deref(), object, Writer { manager, now: &now });
        store.write(key, object)
    }

    /// A token of the ServiceAccount and when it expires.
    pub(crate) fn issue(
        &self,
        key: &Key,
        audiences: &[String],
        lifetime: i64,
    ) -> Result<(String, Timestamp), Refusal> {
        let account = self.live(key)?;
        let issued = now().as_second();
        let grant = Grant {
            namespace: &key.namespace,
            name: &key.name,
            uid: object::metadata(&account, "uid"),
            audiences,
            issued,
            lifetime,
            id: &Uuid::new_v4().to_string(),
        };
        let expires = Timestamp::from_second(issued + lifetime).map_err(|error| {
            Refusal::Invalid(format!("spec.expirationSeconds: Invalid value: {error}"))
        })?;
        Ok((self.issuer.sign(grant)?, expires))
    }

    fn live(&self, key: &Key) -> Result<Arc<Value>, Refusal> {
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
            list_or_watch(server, call, kind, namespace)
        }
        ("POST", Target::Collection(kind, namespace)) => create(server, call, kind, namespace),
        ("GET", Target::Object(key)) => {
            call.parameters(&["resourceVersion"])?;
            ok(call.form().of(&*server.live(&key)?))
        }
        ("PATCH", Target::Object(key)) => apply(server, call, &key),
        ("DELETE", Target::Object(key)) => delete(server, call, &key),
        ("POST", Target::Token(key)) => token_request(server, call, &key),
        _ => Err(Refusal::MethodNotAllowed),
    }
}

/// A watch is a list with `watch=true`. Limits are not kept, which the API allows a server.
fn list_or_watch(
    server: &Arc<Server>,
    call: &Call,
    kind: Kind,
    namespace: Option<String>,
) -> Result<Response, Refusal> {
    let query = call.parameters(&[
        "watch",
        "timeoutSeconds",
        "allowWatchBookmarks",
        "sendInitialEvents",
        "resourceVersion",
        "resourceVersionMatch",
        "limit",
    ])?;
    let set = |name: &str| query.get(name).is_some_and(|it| it == "true" || it == "1");
    let number = |name: &str| match query.get(name).map(|it| it.parse::<u64>()) {
        None => Ok(0),
        Some(Ok(number)) => Ok(number),
        Some(Err(_)) => Err(Refusal::BadRequest(format!(
            "invalid {name}: {:?}, must be a number",
            query[name]
        ))),
    };
    let version = number("resourceVersion")?;
    let form = call.form();
    if !set("watch") {
        let store = server.store();
        let objects = store.list(kind, namespace.as_deref());
        let list = form.of_list(kind, store.version(), objects.iter().map(|it| &**it));
        return Ok(Json(list).into_response());
    }
    let start = match version {
        _ if set("sendInitialEvents") => Start::NowMarked,
        0 => Start::Now,
        version => Start::After(version),
    };
    // The real server picks a time of its own, 30 to 60 minutes, when the client names none.
    let seconds = number("timeoutSeconds")?;
    let life = Duration::from_secs(if seconds == 0 { 1800 } else { seconds });
    let until = Instant::now() + life;
    let scope = Scope {
        kind,
        namespace,
        form,
        bookmarks: set("allowWatchBookmarks"),
        until,
    };
    let lines = crate::watch::lines(Arc::clone(server), scope, start);
    Ok((
        [(header::CONTENT_TYPE, "application/json")],
        Body::from_stream(lines),
    )
        .into_response())
}

fn create(
    server: &Server,
    call: &Call,
    kind: Kind,
    namespace: Option<String>,
) -> Result<Response, Refusal> {
    let query = call.parameters(&["fieldManager", "fieldValidation"])?;
    if namespace.is_none() && kind != Kind::Namespace {
        return Err(Refusal::MethodNotAllowed);
    }
    let (key, object) = object::read(&call.body, kind, &namespace.unwrap_or_default(), None)?;
    in_namespace(&server.store(), &key)?;
    if server.store().get(&key).is_some() {
        return Err(Refusal::AlreadyExists {
            resource: kind.plural(),
            name: key.name,
        });
    }
    let manager = query
        .get("fieldManager")
        .map_or_else(|| call.agent(), String::as_str);
    let created = server.put(key, object, manager);
    Ok((StatusCode::CREATED, Json(call.form().of(&created))).into_response())
}

fn apply(server: &Server, call: &Call, key: &Key) -> Result<Response, Refusal> {
    if call.header(header::CONTENT_TYPE) != APPLY_TYPE {
        return Err(Refusal::UnsupportedMediaType {
            accepted: APPLY_TYPE,
        });
    }
    let query = call.parameters(&["fieldManager", "force", "fieldValidation"])?;
    let Some(manager) = query
        .get("fieldManager")
        .filter(|manager| !manager.is_empty())
    else {
        return Err(Refusal::Invalid(
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch".to_owned(),
        ));
    };
    let (_, applied) = object::read(&call.body, key.kind, &key.namespace, Some(&key.name))?;
    let now = now().to_string();
    let force = query.get("force").is_some_and(|force| force == "true");
    let mut store = server.store();
    in_namespace(&store, key)?;
    let live = store.get(key);
    let mut object = managed::apply(
        key,
        live.as_deref(),
        &applied,
        Writer { manager, now: &now },
        force,
    )?;
    object::stamp(
        key,
        live.as_deref(),
        &mut object,
        &Uuid::new_v4().to_string(),
        &now,
    );
    let object = store.write(key.clone(), object);
    let code = if live.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((code, Json(call.form().of(&object))).into_response())
}

fn delete(server: &Server, call: &Call, key: &Key) -> Result<Response, Refusal> {
    call.parameters(&["propagationPolicy", "gracePeriodSeconds"])?;
    let options = call.json()?;
    if options.get("dryRun").is_some() {
        return Err(Refusal::BadRequest("simkube has no dry run".to_owned()));
    }
    let mut store = server.store();
    let live = store.get(key).ok_or_else(|| not_found(key))?;
    for field in ["uid", "resourceVersion"] {
        let (asked, is) = (&options["preconditions"][field], &live["metadata"][field]);
        if !asked.is_null() && asked != is {
            return Err(Refusal::Precondition {
                resource: key.kind.plural(),
                name: key.name.clone(),
                why: format!(
                    "Precondition failed: {field} in precondition: {asked}, in object meta: {is}"
                ),
            });
        }
    }
    store.remove(key);
    let details =
        json!({"name": key.name, "kind": key.kind.plural(), "uid": live["metadata"]["uid"]});
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
    Ok(Json(status).into_response())
}

fn token_request(server: &Server, call: &Call, key: &Key) -> Result<Response, Refusal> {
    call.parameters(&["fieldManager", "fieldValidation"])?;
    let body = call.json()?;
    let spec = &body["spec"];
    if !spec["boundObjectRef"].is_null() {
        return Err(Refusal::BadRequest(
            "simkube binds tokens to no object: spec.boundObjectRef".to_owned(),
        ));
    }
    let named = spec["audiences"].as_array().into_iter().flatten();
    let mut audiences: Vec<String> = named
        .filter_map(|it| it.as_str().map(str::to_owned))
        .collect();
    if audiences.is_empty() {
        audiences.push(server.issuer.url().to_owned());
    }
    let lifetime = spec["expirationSeconds"].as_i64().unwrap_or(3600);
    if lifetime < SHORTEST {
        return Err(Refusal::Invalid(format!(
            "spec.expirationSeconds: Invalid value: {lifetime}: may not specify a duration less than 10 minutes"
        )));
    }
    let (token, expires) = server.issue(key, &audiences, lifetime)?;
    let answer = json!({
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": key.name, "namespace": key.namespace, "creationTimestamp": now().to_string()},
        "spec": {"audiences": audiences, "expirationSeconds": lifetime, "boundObjectRef": null},
        "status": {"token": token, "expirationTimestamp": expires.to_string()},
    });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
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

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|it| it.to_str().ok())
            .unwrap_or_default()
    }

    fn form(&self) -> Form {
        Form::accepted(self.header(header::ACCEPT))
    }

    /// The field manager of a request that names none: what the client calls itself.
    fn agent(&self) -> &str {
        let name = self
            .header(header::USER_AGENT)
            .split('/')
            .next()
            .unwrap_or_default();
        if name.is_empty() { "unknown" } else { name }
    }

    /// The body, an empty object when there is none.
    fn json(&self) -> Result<Value, Refusal> {
        if self.body.is_empty() {
            return Ok(json!({}));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::BadRequest(format!("the body is no JSON object: {error}")))
    }

    /// The query. A parameter that is not simulated is refused, since to ignore it would be to lie.
    fn parameters(&self, known: &[&str]) -> Result<BTreeMap<String, String>, Refusal> {
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

fn in_namespace(store: &Store, key: &Key) -> Result<(), Refusal> {
    let namespace = Key::new(Kind::Namespace, "", &key.namespace);
    if key.kind == Kind::Namespace || store.get(&namespace).is_some() {
        return Ok(());
    }
    Err(not_found(&namespace))
}

fn not_found(key: &Key) -> Refusal {
    Refusal::NotFound {
        resource: key.kind.plural(),
        name: key.name.clone(),
    }
}

/// Now, to the second, as the API writes times.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
