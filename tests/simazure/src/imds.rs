//! The node's own IMDS. It answers as the node, so an answer of it inside a pod shows that the pod was not captured.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::principal::Principal;
use crate::{NODE_CLIENT_ID, NODE_NAME, NODE_OBJECT_ID, SUBSCRIPTION};

/// Seconds a token of the node lives.
const LIFETIME: i64 = 86399;

pub(crate) fn routes() -> Router<Arc<Azure>> {
    Router::new().fallback(handle)
}

async fn handle(
    State(azure): State<Arc<Azure>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    query: Query<HashMap<String, String>>,
) -> Response {
    let place = place(uri.path());
    if place != Place::Token {
        return Json(node(place, uri.path())).into_response();
    }
    if method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "Only GET is allowed");
    }
    match token(&azure, &headers, &query, azure.clock.now()) {
        Ok(body) => Json(body).into_response(),
        Err(why) => refuse(StatusCode::BAD_REQUEST, &why),
    }
}

fn refuse(status: StatusCode, why: &str) -> Response {
    let body = json!({"error": "invalid_request", "error_description": why});
    (status, Json(body)).into_response()
}

/// What the real service takes a path for: it decodes, resolves dots and forgives slashes and the case of `/metadata`,
/// which is what makes a careless pass-through hand out the node's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Token,
    /// The two calls by which an SDK gets a certificate of the node's identity.
    Credential,
    Elsewhere,
}

fn place(path: &str) -> Place {
    let mut path = path.to_owned();
    loop {
        let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
        if decoded == path {
            break;
        }
        path = decoded;
    }
    let path = path.replace('\\', "/");
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment.split_once(';').map_or(segment, |(name, _)| name) {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    match segments[..] {
        [metadata, "identity", ref rest @ ..] if metadata.eq_ignore_ascii_case("metadata") => {
            match rest {
                ["oauth2", "token"] => Place::Token,
                ["getplatformmetadata" | "issuecredential"] => Place::Credential,
                _ => Place::Elsewhere,
            }
        }
        _ => Place::Elsewhere,
    }
}

/// The node's token, every value a string (azure-protocols 3.2).
fn token(
    azure: &Azure,
    headers: &HeaderMap,
    query: &HashMap<String, String>,
    now: Timestamp,
) -> Result<Value, String> {
    if headers.contains_key("x-forwarded-for") {
        return Err("The request must not carry X-Forwarded-For".to_owned());
    }
    if !headers
        .get("metadata")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
    {
        return Err("Required metadata header not specified".to_owned());
    }
    let parameter = |name: &str| {
        query
            .get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("Required query variable '{name}' is missing"))
    };
    parameter("api-version")?;
    let resource = parameter("resource")?;
    let node = Principal {
        client_id: NODE_CLIENT_ID.to_owned(),
        object_id: NODE_OBJECT_ID.to_owned(),
        lifetime: LIFETIME,
        node: true,
    };
    let now = now.as_second();
    let token = azure
        .key
        .sign(&node.claims(&azure.origin, resource, now))
        .map_err(|error| error.to_string())?;
    Ok(json!({
        "access_token": token,
        "client_id": NODE_CLIENT_ID,
        "expires_in": LIFETIME.to_string(),
        "expires_on": (now + LIFETIME).to_string(),
        "ext_expires_in": LIFETIME.to_string(),
        "not_before": now.to_string(),
        "resource": resource,
        "token_type": "Bearer",
    }))
}

/// What every other path answers: the node's name and the path that was asked, and whose identity it is where one is.
fn node(place: Place, path: &str) -> Value {
    if place == Place::Credential {
        return json!({"clientId": NODE_CLIENT_ID, "client_id": NODE_CLIENT_ID, "path": path});
    }
    json!({
        "compute": {
            "name": NODE_NAME,
            "azEnvironment": "AzurePublicCloud",
            "location": "westus2",
            "osType": "Linux",
            "subscriptionId": SUBSCRIPTION,
        },
        "path": path,
    })
}

#[cfg(test)]
mod tests {
    use super::{Place, place};

    #[test]
    fn places() {
        let table: [(Place, &[&str]); 3] = [
            (
                Place::Token,
                &[
                    "/metadata/identity/oauth2/token",
                    "/Metadata/identity/oauth2/token/",
                    "//metadata//identity/oauth2/token",
                    "/metadata/identity%2Foauth2/token",
                    "/metadata/identity%252Foauth2/token",
                    "/metadata/identity\\oauth2\\token",
                    "/metadata/./identity/oauth2/token",
                    "/metadata/instance/../identity/oauth2/token",
                    "/metadata/instance/%2e%2e/identity/oauth2/token",
                    "/metadata;a=b/identity/oauth2;/token",
                ],
            ),
            (
                Place::Credential,
                &[
                    "/metadata/identity/getplatformmetadata",
                    "/metadata/identity/issuecredential/",
                ],
            ),
            (
                Place::Elsewhere,
                &["/metadata/identity/info", "/metadata/instance", "/../.."],
            ),
        ];
        for (expected, paths) in table {
            for path in paths {
                assert_eq!(place(path), expected, "{path}");
            }
        }
    }
}
