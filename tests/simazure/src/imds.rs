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

pub(crate) fn routes(azure: Arc<Azure>) -> Router {
    Router::new().fallback(handle).with_state(azure)
}

async fn handle(
    State(azure): State<Arc<Azure>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    query: Query<HashMap<String, String>>,
) -> Response {
    if !is_token_path(uri.path()) {
        return Json(node(uri.path())).into_response();
    }
    if method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "Only GET is allowed");
    }
    match token(&azure, &headers, &query, Timestamp::now()) {
        Ok(body) => Json(body).into_response(),
        Err(why) => refuse(StatusCode::BAD_REQUEST, &why),
    }
}

fn refuse(status: StatusCode, why: &str) -> Response {
    let body = json!({"error": "invalid_request", "error_description": why});
    (status, Json(body)).into_response()
}

/// Whether the real service takes the path for a token request: it decodes, and forgives slashes and the case of
/// `/metadata`, which is what makes a careless pass-through hand out the node's token.
fn is_token_path(path: &str) -> bool {
    let decoded = percent_decode_str(path)
        .decode_utf8_lossy()
        .replace('\\', "/");
    let segments: Vec<&str> = decoded
        .split('/')
        .filter(|segment| !segment.is_empty() && *segment != ".")
        .collect();
    matches!(segments[..], [metadata, "identity", "oauth2", "token"] if metadata.eq_ignore_ascii_case("metadata"))
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

/// What every other path answers: the node's name, and the path that was asked.
fn node(path: &str) -> Value {
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
    use super::is_token_path;

    #[test]
    fn token_paths() {
        let table = [
            ("/metadata/identity/oauth2/token", true),
            ("/Metadata/identity/oauth2/token/", true),
            ("//metadata//identity/oauth2/token", true),
            ("/metadata/identity%2Foauth2/token", true),
            ("/metadata/identity\\oauth2\\token", true),
            ("/metadata/./identity/oauth2/token", true),
            ("/metadata/identity/info", false),
            ("/metadata/instance", false),
        ];
        for (path, expected) in table {
            assert_eq!(is_token_path(path), expected, "{path}");
        }
    }
}
