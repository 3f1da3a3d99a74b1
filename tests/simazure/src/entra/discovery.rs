//! What a client reads before it asks for a token: the cloud's hosts, the tenant's endpoints, the signing keys.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::error::Aadsts;
use super::is_own;
use crate::TENANT;
use crate::arm::Query;
use crate::azure::Azure;
use crate::jwt::Jwks;

pub(super) fn routes() -> Router<Arc<Azure>> {
    Router::new()
        .route("/{tenant}/discovery/instance", get(instance))
        .route(
            "/{tenant}/v2.0/.well-known/openid-configuration",
            get(metadata),
        )
        .route("/{tenant}/discovery/v2.0/keys", get(keys))
}

/// Whether an authority's host is one of this cloud, and where its metadata is.
async fn instance(State(azure): State<Arc<Azure>>, RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(query.as_deref().unwrap_or_default());
    let asked = query.get("authorization_endpoint").unwrap_or_default();
    let Some(tenant) = asked
        .strip_prefix(&format!("{}/", azure.origin))
        .and_then(|path| path.split('/').next())
    else {
        let body = json!({
            "error": "invalid_instance",
            "error_description": "AADSTS50049: Unknown or invalid instance.",
            "error_codes": [50049],
        });
        return (StatusCode::BAD_REQUEST, Json(body)).into_response();
    };
    let host = azure.origin.trim_start_matches("https://");
    Json(json!({
        "tenant_discovery_endpoint":
            format!("{}/{tenant}/v2.0/.well-known/openid-configuration", azure.origin),
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }))
    .into_response()
}

async fn metadata(
    State(azure): State<Arc<Azure>>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Response {
    // For these two the issuer is not known yet, so Entra answers a template that clients fill in.
    let issuer = match tenant.as_str() {
        "organizations" | "common" => "{tenantid}",
        tenant if is_own(tenant) => TENANT,
        _ => return Aadsts::TenantNotFound(tenant).answer(&headers, azure.clock.now()),
    };
    let origin = &azure.origin;
    Json(json!({
        "issuer": format!("{origin}/{issuer}/v2.0"),
        "authorization_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{origin}/{tenant}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_types_supported": ["code", "id_token", "token"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nbf", "tid", "ver"],
    }))
    .into_response()
}

async fn keys(State(azure): State<Arc<Azure>>) -> Json<Jwks> {
    Json(azure.key.jwks())
}
