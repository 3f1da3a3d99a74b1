//! Entra's refusals: code, OAuth error, status and text of each.

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::journal::Details;

/// A refusal of the token endpoint; the message follows `AADSTS<code>: `.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Aadsts {
    #[error(
        "Tenant '{0}' not found. Check that you have the correct tenant ID and sign in to the correct cloud."
    )]
    TenantNotFound(String),
    #[error(
        "The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint."
    )]
    CommonTenant,
    #[error("The request body must contain the following parameter: '{0}'.")]
    MissingParameter(&'static str),
    #[error("The app requested an unsupported grant type '{0}'.")]
    UnsupportedGrant(String),
    #[error("The 'resource' request parameter is not supported.")]
    ResourceParameter,
    #[error(
        "The provided value for the input parameter 'scope' is not valid. The scope {0} is not valid: client credential flows take one resource identifier with the suffix /.default."
    )]
    InvalidScope(String),
    #[error(
        "Application with identifier '{client_id}' was not found in the directory '{tenant}'. You may have sent your authentication request to the wrong tenant."
    )]
    ApplicationNotFound {
        client_id: String,
        tenant: &'static str,
    },
    #[error(
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
    )]
    MissingCredential,
    #[error("Invalid client secret provided for app '{0}'.")]
    InvalidSecret(String),
    #[error("JWT token is invalid or malformed: {0}.")]
    MalformedAssertion(String),
    #[error("The client '{client_id}'({name}) has no configured federated identity credentials.")]
    NoFederatedCredentials { client_id: String, name: String },
    #[error(
        "No matching federated identity record found for presented assertion issuer '{presented}'. Configured issuers: {expected}. Check the federated credential's Subject, Audience and Issuer against the presented assertion."
    )]
    IssuerMismatch { presented: String, expected: String },
    #[error(
        "No matching federated identity record found for presented assertion subject '{presented}'. Configured subjects: {expected}. Check the federated credential's Subject, Audience and Issuer against the presented assertion."
    )]
    SubjectMismatch { presented: String, expected: String },
    #[error(
        "No matching federated identity record found for presented assertion subject '{presented}'. The subject matches only when case is ignored; configured subjects: {expected}."
    )]
    SubjectCase { presented: String, expected: String },
    #[error(
        "No matching federated identity record found for presented assertion subject '{presented}': neither a subject nor an expression matches."
    )]
    NoExpressionHolds { presented: String },
    #[error(
        "No matching federated identity record found for presented assertion audience '{presented}'. Configured audiences: {expected}. Check the federated credential's Subject, Audience and Issuer against the presented assertion."
    )]
    AudienceMismatch { presented: String, expected: String },
    #[error("Request to External OIDC endpoint failed: {0}.")]
    IssuerUnreachable(String),
    #[error("Client assertion failed signature validation: {0}.")]
    BadSignature(String),
    #[error(
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {from}, expiry time of assertion {until}."
    )]
    OutsideValidity {
        now: String,
        from: String,
        until: String,
    },
    #[error("The resource principal named {resource} was not found in the tenant named {tenant}.")]
    ResourceNotFound {
        resource: String,
        tenant: &'static str,
    },
    #[error("A transient error has occurred: {0}. Please try again.")]
    Transient(String),
}

impl Aadsts {
    /// Code, OAuth 2.0 error and HTTP status.
    pub(crate) fn facts(&self) -> (u32, &'static str, StatusCode) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
        match self {
            Aadsts::TenantNotFound(_) => (90002, "invalid_request", BAD),
            Aadsts::CommonTenant => (9_001_023, "invalid_request", BAD),
            Aadsts::MissingParameter(_) => (900_144, "invalid_request", BAD),
            Aadsts::UnsupportedGrant(_) => (70003, "unsupported_grant_type", BAD),
            Aadsts::ResourceParameter => (901_002, "invalid_request", BAD),
            Aadsts::InvalidScope(_) => (70011, "invalid_scope", BAD),
            Aadsts::ApplicationNotFound { .. } => (700_016, "unauthorized_client", BAD),
            Aadsts::MissingCredential => (7_000_218, "invalid_client", UNAUTHORIZED),
            Aadsts::InvalidSecret(_) => (7_000_215, "invalid_client", UNAUTHORIZED),
            Aadsts::MalformedAssertion(_) => (50027, "invalid_request", BAD),
            Aadsts::NoFederatedCredentials { .. } => (70025, "invalid_client", UNAUTHORIZED),
            Aadsts::IssuerMismatch { .. } => (700_211, "invalid_client", UNAUTHORIZED),
            Aadsts::SubjectMismatch { .. } => (700_213, "invalid_client", UNAUTHORIZED),
            Aadsts::NoExpressionHolds { .. } => (7_002_131, "invalid_client", UNAUTHORIZED),
            Aadsts::SubjectCase { .. } => (7_002_138, "invalid_client", UNAUTHORIZED),
            Aadsts::AudienceMismatch { .. } => (700_212, "invalid_client", UNAUTHORIZED),
            Aadsts::IssuerUnreachable(_) => (90061, "invalid_request", BAD),
            Aadsts::BadSignature(_) => (700_027, "invalid_client", UNAUTHORIZED),
            Aadsts::OutsideValidity { .. } => (700_024, "invalid_client", UNAUTHORIZED),
            Aadsts::ResourceNotFound { .. } => (500_011, "invalid_resource", BAD),
            Aadsts::Transient(_) => (
                90033,
                "temporarily_unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
            ),
        }
    }

    /// Whether Entra remembers for a while that it found nothing.
    pub(crate) fn is_remembered(&self) -> bool {
        matches!(
            self,
            Aadsts::ApplicationNotFound { .. }
                | Aadsts::NoFederatedCredentials { .. }
                | Aadsts::IssuerMismatch { .. }
                | Aadsts::SubjectMismatch { .. }
                | Aadsts::SubjectCase { .. }
                | Aadsts::NoExpressionHolds { .. }
                | Aadsts::AudienceMismatch { .. }
        )
    }

    /// The answer, with the caller's correlation id when it sent one.
    pub(crate) fn answer(&self, headers: &HeaderMap, now: Timestamp) -> Response {
        let (code, error, status) = self.facts();
        let trace = Uuid::new_v4();
        let correlation = headers
            .get("client-request-id")
            .and_then(|id| id.to_str().ok()?.parse().ok())
            .unwrap_or_else(Uuid::new_v4);
        let timestamp = stamp(now);
        let body = json!({
            "error": error,
            "error_description": format!(
                "AADSTS{code}: {self} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}"
            ),
            "error_codes": [code],
            "timestamp": timestamp,
            "trace_id": trace.to_string(),
            "correlation_id": correlation.to_string(),
        });
        let mut response = (status, Json(body)).into_response();
        response.extensions_mut().insert(Details {
            error: Some(format!("AADSTS{code}")),
            ..Details::default()
        });
        response
    }
}

/// A time as Entra's error bodies write it.
pub(crate) fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}
