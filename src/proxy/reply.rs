//! What callers read: token replies and errors in the one form that every SDK's parser takes.

use axum::body::Body;
use axum::response::Response;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use secrecy::ExposeSecret;
use serde::Serialize;
use uuid::Uuid;

use crate::azure::aadsts::Class;
use crate::azure::grant::Token;
use crate::azure::known::NoToken;
use crate::azure::token::Wanted;
use crate::proxy::refusal::Refusal;

/// Seconds after which a caller may come again when Entra names none.
const TRANSIENT_WAIT: u64 = 1;
/// The same when Entra throttles.
const THROTTLED_WAIT: u64 = 5;

/// Every value is text; `expires_on` stands behind `expires_in`, as some parsers let the last of the two win.
/// Times are seconds also for App Service 2017-09-01, whose own are dates: its clients take both, and MSAL for Python takes
/// no date (azure-protocols.md 4.1).
#[derive(Serialize)]
struct Reply<'a> {
    access_token: &'a str,
    refresh_token: &'static str,
    client_id: &'a str,
    expires_in: &'a str,
    ext_expires_in: &'a str,
    not_before: &'a str,
    expires_on: &'a str,
    resource: &'a str,
    token_type: &'static str,
}

/// The fields that IMDS, App Service and their SDKs read, side by side.
#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
    error_description: &'a str,
    #[serde(rename = "statusCode")]
    status_code: u16,
    message: &'a str,
    #[serde(rename = "correlationId")]
    correlation_id: &'a str,
}

#[derive(Serialize)]
struct Info<'a> {
    #[serde(rename = "tenantId")]
    tenant_id: &'a str,
}

/// A token; `now` in Unix seconds.
#[must_use]
pub fn token(token: &Token, wanted: &Wanted, now: u64) -> Response {
    let expires_in = token.expires_on.saturating_sub(now).to_string();
    json(
        StatusCode::OK,
        &Reply {
            access_token: token.secret.expose_secret(),
            refresh_token: "",
            client_id: &wanted.client_id,
            expires_in: &expires_in,
            ext_expires_in: &expires_in,
            not_before: &token.obtained_on.to_string(),
            expires_on: &token.expires_on.to_string(),
            resource: &wanted.resource,
            token_type: "Bearer",
        },
    )
}

/// The tenant.
#[must_use]
pub fn info(tenant_id: &str) -> Response {
    json(StatusCode::OK, &Info { tenant_id })
}

/// A request that is not served.
#[must_use]
pub fn refused(refusal: &Refusal) -> Response {
    let mut response = problem(
        refusal.status(),
        refusal.error(),
        &refusal.to_string(),
        None,
    );
    if *refusal == Refusal::Method {
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

/// No token. What stays is a 400, which no SDK repeats; what passes is a 503 or 429 with Retry-After, which all do.
#[must_use]
pub fn no_token(refusal: &NoToken) -> Response {
    let NoToken { error, wait: asked } = refusal;
    let (status, name, wait) = match error.class() {
        Class::Permanent | Class::Settling | Class::Spreading => {
            (StatusCode::BAD_REQUEST, "invalid_request", None)
        }
        Class::Resource => (StatusCode::BAD_REQUEST, "invalid_resource", None),
        Class::Transient => (
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            Some(TRANSIENT_WAIT),
        ),
        Class::Throttled => (
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            Some(THROTTLED_WAIT),
        ),
    };
    let mut response = problem(status, name, &error.to_string(), error.correlation_id());
    if let Some(wait) = wait {
        // Rounded up, as a caller who comes a moment early is sent away again.
        let asked = asked.map(|asked| asked.as_secs() + u64::from(asked.subsec_nanos() > 0));
        let wait = asked.unwrap_or(wait).max(1);
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(wait));
    }
    response
}

/// The node's IMDS gave no answer.
#[must_use]
pub fn no_passthrough(reason: &str) -> Response {
    problem(StatusCode::GATEWAY_TIMEOUT, "gateway_timeout", reason, None)
}

/// The proxy is ready.
#[must_use]
pub fn ready() -> Response {
    Response::new(Body::from("ok"))
}

fn problem(status: StatusCode, error: &str, text: &str, correlation_id: Option<&str>) -> Response {
    let own_id;
    let correlation_id = match correlation_id {
        Some(id) => id,
        None => {
            own_id = Uuid::new_v4().to_string();
            &own_id
        }
    };
    json(
        status,
        &Problem {
            error,
            error_description: text,
            status_code: status.as_u16(),
            message: text,
            correlation_id,
        },
    )
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    // Serialising texts and numbers to memory has no way to fail; an empty body would be seen by every caller.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::executor::block_on;

    use super::{no_token, token};
    use crate::azure::grant::Token;
    use crate::azure::token::Wanted;
    use crate::azure::token_error::TokenError;

    fn body(response: axum::response::Response) -> String {
        let bytes = block_on(axum::body::to_bytes(response.into_body(), 65536)).unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn token_reply_byte_for_byte() {
        let response = token(
            &Token {
                secret: "secret".into(),
                obtained_on: 1000,
                refresh_on: 2800,
                expires_on: 4600,
            },
            &Wanted {
                tenant_id: Arc::from("tenant"),
                client_id: Arc::from("client"),
                resource: "https://vault.azure.net".to_owned(),
            },
            1100,
        );
        assert_eq!(
            response.headers()["content-type"],
            "application/json; charset=utf-8"
        );
        assert_eq!(
            body(response),
            concat!(
                r#"{"access_token":"secret","refresh_token":"","client_id":"client","expires_in":"3500","#,
                r#""ext_expires_in":"3500","not_before":"1000","expires_on":"4600","#,
                r#""resource":"https://vault.azure.net","token_type":"Bearer"}"#
            )
        );
    }

    #[test]
    fn errors() {
        let failure = |status, retry_after| TokenError::Status {
            authority: "https://login".to_owned(),
            status,
            retry_after,
        };
        let table = [
            (failure(403, Some(9)), 400, "invalid_request", None),
            (
                failure(502, None),
                503,
                "temporarily_unavailable",
                Some("1"),
            ),
            (
                failure(502, Some(9)),
                503,
                "temporarily_unavailable",
                Some("9"),
            ),
            (failure(429, None), 429, "too_many_requests", Some("5")),
            (failure(429, Some(9)), 429, "too_many_requests", Some("9")),
        ];
        for (error, status, name, retry_after) in table {
            let text = error.to_string();
            let response = no_token(&error.into());
            assert_eq!(response.status(), status, "{text}");
            let header = response.headers().get("retry-after").cloned();
            assert_eq!(
                header.as_ref().map(|value| value.to_str().unwrap()),
                retry_after,
                "{text}"
            );
            let problem: serde_json::Value = serde_json::from_str(&body(response)).unwrap();
            assert_eq!(problem["error"], name);
            assert_eq!(problem["statusCode"], status);
            assert_eq!(problem["error_description"], text);
            assert_eq!(problem["message"], text);
            assert_eq!(problem["correlationId"].as_str().unwrap().len(), 36);
        }
    }
}
