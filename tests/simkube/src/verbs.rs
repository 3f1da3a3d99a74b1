//! What each verb does to the store, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::issuer::Grant;
use crate::kind::{Key, Kind};
use crate::managed::{self, Writer};
use crate::object;
use crate::page::Page;
use crate::refusal::Refusal;
use crate::server::{Call, Server, not_found, now};
use crate::store::Store;
use crate::watch::{self, Scope, Start};

const APPLY_TYPE: &str = "application/apply-patch+yaml";

/// A watch is a list with `watch=true`.
pub(crate) fn list_or_watch(
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
        "continue",
        "fieldSelector",
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
    let name = match query.get("fieldSelector") {
        None => None,
        Some(selector) => Some(selector.strip_prefix("metadata.name=").ok_or_else(|| {
            let why =
                format!("simkube has no field selector {selector:?}; it has metadata.name=NAME");
            Refusal::BadRequest(why)
        })?),
    };
    let version = number("resourceVersion")?;
    let form = call.form();
    if !set("watch") {
        let token = query.get("continue").map_or("", String::as_str);
        let limit = usize::try_from(number("limit")?).unwrap_or(usize::MAX);
        let page = Page::after(token, limit)?;
        let list = page.of(&server.store(), kind, namespace.as_deref(), name, form);
        return Ok(Json(list).into_response());
    }
    let start = match version {
        _ if set("sendInitialEvents") => Start::NowMarked,
        0 => Start::Now,
        version => Start::After(version),
    };
    // The real server picks a time of its own, 30 to 60 minutes, when the client names none.
    let seconds = number("timeoutSeconds")?;
    let life = if seconds == 0 {
        1800
    } else {
        seconds.min(86_400)
    };
    let until = Instant::now() + Duration::from_secs(life);
    let scope = Scope {
        kind,
        namespace,
        name: name.map(str::to_owned),
        form,
        bookmarks: set("allowWatchBookmarks"),
        until,
    };
    let lines = watch::lines(Arc::clone(server), scope, start);
    Ok((
        [(header::CONTENT_TYPE, "application/json")],
        Body::from_stream(lines),
    )
        .into_response())
}

pub(crate) fn create(
    server: &Server,
    call: &Call,
    kind: Kind,
    namespace: Option<String>,
) -> Result<Response, Refusal> {
    let query = call.parameters(&["fieldManager", "fieldValidation"])?;
    if namespace.is_none() && kind.is_namespaced() {
        return Err(Refusal::MethodNotAllowed);
    }
    let (key, object) = object::read(&call.body, kind, &namespace.unwrap_or_default(), None)?;
    let mut store = server.store();
    in_namespace(&store, &key)?;
    if store.get(&key).is_some() {
        return Err(Refusal::AlreadyExists {
            resource: kind.plural(),
            name: key.name,
        });
    }
    let manager = query
        .get("fieldManager")
        .map_or_else(|| call.agent(), String::as_str);
    let created = put(&mut store, key, object, manager);
    Ok((StatusCode::CREATED, Json(call.form().of(&created))).into_response())
}

pub(crate) fn apply(server: &Server, call: &Call, key: &Key) -> Result<Response, Refusal> {
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
    let (_, mut applied) = object::read(&call.body, key.kind, &key.namespace, Some(&key.name))?;
    let version = applied["metadata"]["resourceVersion"].take();
    let uid = applied["metadata"]["uid"].take();
    let now = now().to_string();
    let force = query.get("force").is_some_and(|force| force == "true");
    let mut store = server.store();
    in_namespace(&store, key)?;
    let live = store.get(key);
    let is = |field: &str| live.as_deref().map(|live| &live["metadata"][field]);
    // A version that is asked for keeps no absent object from being made; a uid does.
    let other_version =
        !version.is_null() && is("resourceVersion").is_some_and(|it| *it != version);
    if other_version || !uid.is_null() && is("uid") != Some(&uid) {
        return Err(Refusal::Modified {
            resource: key.kind.plural(),
            name: key.name.clone(),
        });
    }
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

pub(crate) fn delete(server: &Server, call: &Call, key: &Key) -> Result<Response, Refusal> {
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

pub(crate) fn token_request(server: &Server, call: &Call, key: &Key) -> Result<Response, Refusal> {
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
    let (token, expires) = issue(server, key, &audiences, lifetime)?;
    let answer = json!({
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": key.name, "namespace": key.namespace, "creationTimestamp": now().to_string()},
        "spec": {"audiences": audiences, "expirationSeconds": lifetime, "boundObjectRef": null},
        "status": {"token": token, "expirationTimestamp": expires.to_string()},
    });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Creates or replaces, whatever the state of its namespace, as `manager`.
pub(crate) fn put(store: &mut Store, key: Key, mut object: Value, manager: &str) -> Arc<Value> {
    let now = now().to_string();
    let uid = Uuid::new_v4().to_string();
    let live = store.get(&key);
    object::stamp(&key, live.as_deref(), &mut object, &uid, &now);
    let object = managed::update(live.as_deref(), object, Writer { manager, now: &now });
    store.write(key, object)
}

/// A token of the ServiceAccount and when it expires. `lifetime` is in seconds.
pub(crate) fn issue(
    server: &Server,
    key: &Key,
    audiences: &[String],
    lifetime: i64,
) -> Result<(String, Timestamp), Refusal> {
    let refused = |why: &str| {
        Err(Refusal::Invalid(format!(
            "spec.expirationSeconds: Invalid value: {lifetime}: may not specify a duration {why}"
        )))
    };
    if lifetime < 600 {
        return refused("less than 10 minutes");
    }
    if lifetime > 1 << 32 {
        return refused("larger than 2^32 seconds");
    }
    let issued = now();
    let expires = issued + SignedDuration::from_secs(lifetime);
    let account = server.live(key)?;
    let token = server.issuer.sign(Grant {
        namespace: &key.namespace,
        name: &key.name,
        uid: object::metadata(&account, "uid"),
        audiences,
        issued: issued.as_second(),
        expires: expires.as_second(),
        id: &Uuid::new_v4().to_string(),
    })?;
    Ok((token, expires))
}

fn in_namespace(store: &Store, key: &Key) -> Result<(), Refusal> {
    let namespace = Key::new(Kind::Namespace, "", &key.namespace);
    if !key.kind.is_namespaced() || store.get(&namespace).is_some() {
        return Ok(());
    }
    Err(not_found(&namespace))
}
