//! Azure Resource Manager: api-version and token are checked, then the resource answers.

pub(crate) mod bearer;
mod call;
mod cloud;
mod clusters;
pub(crate) mod credentials;
pub(crate) mod error;
mod expression;
mod groups;
mod identities;
mod limits;
mod managed_cluster;
mod operations;
mod path;
mod providers;
mod reply;
pub(crate) mod resources;
mod role_definitions;
mod roles;

use std::sync::Arc;

use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::azure::Azure;
use crate::journal::Details;
use bearer::{AUDIENCES, Caller};
use call::Call;
pub(crate) use call::Query;
use error::Refusal;
use reply::Reply;

/// Largest request body, bytes. Resource Manager's own limit is 4 MB.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
const ROUTING_ID: HeaderName = HeaderName::from_static("x-ms-routing-request-id");
const CLIENT_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const RETURN_CLIENT_ID: HeaderName = HeaderName::from_static("x-ms-return-client-request-id");

/// Answers every path that is neither Entra's nor the simulation's own.
pub(crate) async fn handle(State(azure): State<Arc<Azure>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut details = Details::default();
    let result = match to_bytes(body, BODY_LIMIT).await {
        Ok(body) => answer(&azure, &parts, &body, &mut details),
        Err(error) => Err(Refusal::InvalidContent(error.to_string())),
    };
    let mut response = match result {
        Ok(reply) => {
            azure.clock.wait(reply.after).await;
            send(reply)
        }
        Err(refusal) => {
            details.error = Some(refusal.code().to_owned());
            refuse(&refusal)
        }
    };
    details.correlation_id = correlate(&parts.headers, response.headers_mut());
    response.extensions_mut().insert(details);
    response
}

fn answer(
    azure: &Azure,
    parts: &Parts,
    body: &Bytes,
    details: &mut Details,
) -> Result<Reply, Refusal> {
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let api_version = query.get("api-version").ok_or(Refusal::MissingApiVersion)?;
    let path = parts.uri.path().trim_matches('/');
    if path.eq_ignore_ascii_case("metadata/endpoints") {
        return Ok(Reply::ok(cloud::endpoints(&azure.origin, api_version)));
    }
    let now = azure.clock.now();
    // Its own address is one too: azurerm asks for tokens of that in any cloud.
    let [own, known] = AUDIENCES;
    let audiences = [own, known, &azure.origin];
    let caller = Caller::of(azure, &parts.headers, &audiences, now)?;
    details.client_id = Some(caller.client_id);
    let call = Call::parse(parts, body, caller.object_id, now)?;
    azure.resources().answer(&call)
}

fn send(reply: Reply) -> Response {
    let mut response = match reply.body {
        Some(body) => (reply.status, Json(body)).into_response(),
        None => reply.status.into_response(),
    };
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn refuse(refusal: &Refusal) -> Response {
    let mut response = (refusal.status(), Json(refusal.body())).into_response();
    let headers = response.headers_mut();
    if refusal.status() == StatusCode::UNAUTHORIZED {
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer error=\"invalid_token\""),
        );
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A fresh request id, and the caller's correlation id or else the request's, which is also returned.
fn correlate(asked: &HeaderMap, answered: &mut HeaderMap) -> Option<String> {
    let id = Uuid::new_v4().to_string();
    let own = HeaderValue::try_from(&id).ok()?;
    let correlation = asked.get(CORRELATION_ID).unwrap_or(&own).clone();
    let text = correlation.to_str().unwrap_or_default().to_owned();
    let routing = format!("SIMULATED:{id}");
    answered.insert(CORRELATION_ID, correlation);
    answered.insert(ROUTING_ID, HeaderValue::try_from(routing).ok()?);
    answered.insert(REQUEST_ID, own);
    let wanted = asked
        .get(RETURN_CLIENT_ID)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if let (true, Some(client)) = (wanted, asked.get(CLIENT_ID)) {
        answered.insert(CLIENT_ID, client.clone());
    }
    Some(text)
}
