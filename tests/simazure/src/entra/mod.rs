//! Microsoft Entra: OpenID Connect metadata, the signing key, and the token endpoint for client credentials.

mod error;
mod federation;
pub(crate) mod issuers;
mod request;

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::journal::Details;
use crate::jwt::{Jwks, Jwt};
use crate::principal::Principal;
use crate::{CLIENT_ID, CLIENT_OBJECT_ID, CLIENT_SECRET, TENANT};
use error::Aadsts;
use request::{Proof, TokenRequest, known_resource};

/// Seconds a service principal's token lives. One less than an hour, as Entra counts.
const SERVICE_PRINCIPAL_LIFETIME: i64 = 3599;
/// Seconds a managed identity's token lives.
const MANAGED_IDENTITY_LIFETIME: i64 = 86399;

pub(crate) fn routes() -> Router<Arc<Azure>> {
    Router::new()
        .route(
            "/{tenant}/v2.0/.well-known/openid-configuration",
            get(metadata),
        )
        .route("/{tenant}/discovery/v2.0/keys", get(keys))
        .route("/{tenant}/oauth2/v2.0/token", post(token))
}

fn is_own(tenant: &str) -> bool {
    tenant.eq_ignore_ascii_case(TENANT)
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
        _ => return Aadsts::TenantNotFound(tenant).answer(&headers, Timestamp::now()),
    };
    let origin = &azure.origin;
    Json(json!({
        "issuer": format!("{origin}/{issuer}/v2.0"),
        "authorization_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/token"),
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

async fn token(
    State(azure): State<Arc<Azure>>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    form: Result<Form<TokenRequest>, FormRejection>,
) -> Response {
    // A body that is no form is one without parameters.
    let request = form.map(|Form(request)| request).unwrap_or_default();
    let now = Timestamp::now();
    let mut response = match issue(&azure, &tenant, &request, now).await {
        Ok(body) => ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response(),
        Err(refusal) => refusal.answer(&headers, now),
    };
    let error = response
        .extensions_mut()
        .remove::<Details>()
        .and_then(|details| details.error);
    response.extensions_mut().insert(Details {
        grant: request.grant().map(str::to_owned),
        client_id: request.client_id,
        scope: request.scope,
        error,
    });
    response
}

async fn issue(
    azure: &Azure,
    tenant: &str,
    request: &TokenRequest,
    now: Timestamp,
) -> Result<Value, Aadsts> {
    if !is_own(tenant) {
        return Err(Aadsts::TenantNotFound(tenant.to_owned()));
    }
    let demand = request.demand()?;
    let principal = match demand.proof {
        Proof::Secret(secret) => by_secret(azure, demand.client_id, secret)?,
        Proof::Assertion(assertion) => {
            by_assertion(azure, demand.client_id, assertion, now).await?
        }
    };
    known_resource(demand.audience, &azure.denied_resources)?;
    let claims = principal.claims(&azure.origin, demand.audience, now.as_second());
    let token = azure
        .key
        .sign(&claims)
        .map_err(|error| Aadsts::Transient(error.to_string()))?;
    Ok(json!({
        "token_type": "Bearer",
        "expires_in": principal.lifetime,
        "ext_expires_in": principal.lifetime,
        "access_token": token,
    }))
}

fn service_principal() -> Principal {
    Principal {
        client_id: CLIENT_ID.to_owned(),
        object_id: CLIENT_OBJECT_ID.to_owned(),
        lifetime: SERVICE_PRINCIPAL_LIFETIME,
        node: false,
    }
}

fn not_found(client_id: &str) -> Aadsts {
    Aadsts::ApplicationNotFound {
        client_id: client_id.to_owned(),
        tenant: TENANT,
    }
}

fn by_secret(azure: &Azure, client_id: &str, secret: &str) -> Result<Principal, Aadsts> {
    if !client_id.eq_ignore_ascii_case(CLIENT_ID) {
        // A managed identity exists as an application but has no secret.
        return Err(match azure.resources().identity_of(client_id) {
            Some(_) => Aadsts::InvalidSecret(client_id.to_owned()),
            None => not_found(client_id),
        });
    }
    if secret != CLIENT_SECRET {
        return Err(Aadsts::InvalidSecret(client_id.to_owned()));
    }
    Ok(service_principal())
}

async fn by_assertion(
    azure: &Azure,
    client_id: &str,
    assertion: &str,
    now: Timestamp,
) -> Result<Principal, Aadsts> {
    let (principal, name, credentials) = if client_id.eq_ignore_ascii_case(CLIENT_ID) {
        (service_principal(), "admin".to_owned(), Vec::new())
    } else {
        let resources = azure.resources();
        let identity = resources
            .identity_of(client_id)
            .ok_or_else(|| not_found(client_id))?;
        let principal = Principal {
            client_id: identity.client_id.to_string(),
            object_id: identity.principal_id.to_string(),
            lifetime: MANAGED_IDENTITY_LIFETIME,
            node: false,
        };
        let credentials = identity.credentials.values().cloned().collect();
        (principal, identity.name.clone(), credentials)
    };
    let assertion =
        Jwt::parse(assertion).map_err(|error| Aadsts::MalformedAssertion(error.to_string()))?;
    federation::matching(&assertion, &credentials, client_id, &name)?;
    let keys = azure
        .issuers
        .keys(assertion.text("iss"), &assertion.kid)
        .await
        .map_err(|error| Aadsts::IssuerUnreachable(error.to_string()))?;
    assertion
        .verify(&keys)
        .map_err(|error| Aadsts::BadSignature(error.to_string()))?;
    federation::in_time(&assertion, now)?;
    Ok(principal)
}
