//! Azure Resource Manager: api-version and token are checked, then the resource answers.

pub(crate) mod credentials;
mod documents;
mod error;
mod path;
mod reply;
pub(crate) mod resources;

use std::sync::Arc;

use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::azure::Azure;
use crate::journal::Details;
use crate::jwt::Jwt;
use crate::principal;
use error::Refusal;
use path::Target;
use reply::Reply;

/// Largest request body, bytes. Resource Manager's own limit is 4 MB.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// Audiences whose tokens Resource Manager takes, with or without slashes at the end.
const AUDIENCES: [&str; 2] = [
    "https://management.azure.com",
    "https://management.core.windows.net",
];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");

/// Answers every path that is neither Entra's nor the simulation's own.
pub(crate) async fn handle(State(azure): State<Arc<Azure>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut details = Details::default();
    let result = match to_bytes(body, BODY_LIMIT).await {
        Ok(body) => answer(&azure, &parts, &body, Timestamp::now(), &mut details),
        Err(error) => Err(Refusal::InvalidContent(error.to_string())),
    };
    let mut response = match result {
        Ok(Reply {
            status,
            body: Some(body),
        }) => (status, Json(body)).into_response(),
        Ok(Reply { status, body: None }) => status.into_response(),
        Err(refusal) => {
            details.error = Some(refusal.code().to_owned());
            refuse(&refusal)
        }
    };
    correlate(&parts.headers, response.headers_mut());
    response.extensions_mut().insert(details);
    response
}

fn answer(
    azure: &Azure,
    parts: &Parts,
    body: &Bytes,
    now: Timestamp,
    details: &mut Details,
) -> Result<Reply, Refusal> {
    if !has_api_version(parts.uri.query().unwrap_or_default()) {
        return Err(Refusal::MissingApiVersion);
    }
    // The one page before sign-in: it says where to sign in.
    if parts
        .uri
        .path()
        .trim_end_matches('/')
        .eq_ignore_ascii_case("/metadata/endpoints")
    {
        return Ok(Reply {
            status: StatusCode::OK,
            body: Some(endpoints(&azure.origin)),
        });
    }
    details.client_id = Some(authenticate(azure, &parts.headers, now)?);
    let target = Target::parse(parts.uri.path())?;
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(body).map_err(|error| Refusal::InvalidContent(error.to_string()))?
    };
    azure.resources().answer(&parts.method, &target, &body)
}

fn has_api_version(query: &str) -> bool {
    query.split('&').any(|pair| {
        pair.split_once('=').is_some_and(|(key, value)| {
            key.eq_ignore_ascii_case("api-version") && !value.is_empty()
        })
    })
}

/// The client id of the bearer token, once the token is proven to be this simulation's and for Resource Manager.
fn authenticate(azure: &Azure, headers: &HeaderMap, now: Timestamp) -> Result<String, Refusal> {
    let invalid = |why: &str| Refusal::InvalidToken(why.to_owned());
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| invalid("the 'Authorization' header with a bearer token is missing"))?;
    let token = Jwt::parse(token).map_err(|error| invalid(&error.to_string()))?;
    token
        .verify(&azure.key.jwks())
        .map_err(|error| invalid(&error.to_string()))?;
    if token.text("iss") != principal::issuer(&azure.origin) {
        return Err(invalid("wrong issuer"));
    }
    if !token
        .audiences()
        .iter()
        .any(|audience| AUDIENCES.contains(&audience.trim_end_matches('/')))
    {
        return Err(invalid(&format!(
            "its audience is '{}', not Resource Manager's",
            token.text("aud")
        )));
    }
    if token
        .seconds("exp")
        .is_none_or(|until| until <= now.as_second())
    {
        return Err(Refusal::ExpiredToken);
    }
    Ok(token.text("appid").to_owned())
}

fn refuse(refusal: &Refusal) -> Response {
    let mut response = (refusal.status(), Json(refusal.body())).into_response();
    if refusal.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer error=\"invalid_token\""),
        );
    }
    response
}

/// A fresh request id, and the caller's correlation id or else the request's.
fn correlate(asked: &HeaderMap, answered: &mut HeaderMap) {
    let Ok(id) = HeaderValue::try_from(Uuid::new_v4().to_string()) else {
        return;
    };
    let correlation = asked.get(CORRELATION_ID).unwrap_or(&id).clone();
    answered.insert(CORRELATION_ID, correlation);
    answered.insert(REQUEST_ID, id);
}

/// What `az cloud register` reads (shape of api-version 2022-09-01).
fn endpoints(origin: &str) -> Value {
    json!({
        "name": "Simulated",
        "portal": origin,
        "resourceManager": format!("{origin}/"),
        "authentication": {
            "loginEndpoint": origin,
            "audiences": AUDIENCES
                .iter()
                .rev()
                .map(|audience| format!("{audience}/"))
                .collect::<Vec<_>>(),
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "graph": origin,
        "graphAudience": origin,
        "microsoftGraphResourceId": format!("{origin}/"),
        "suffixes": {
            "acrLoginServer": "azurecr.invalid",
            "keyVaultDns": "vault.azure.invalid",
            "sqlServerHostname": "database.windows.invalid",
            "storage": "core.windows.invalid",
        },
    })
}
