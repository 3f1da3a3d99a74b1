//! Microsoft Entra: OpenID Connect metadata, the signing key, and the token endpoint for client credentials.

pub(crate) mod directory;
mod discovery;
mod error;
mod federation;
mod graph;
pub(crate) mod issuers;
mod request;

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Form, Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::azure::Azure;
use crate::journal::Details;
use crate::jwt::Jwt;
use crate::principal::Principal;
use crate::{CLIENT_ID, CLIENT_OBJECT_ID, CLIENT_SECRET, TENANT};
use directory::Application;
use error::Aadsts;
use request::{Proof, TokenRequest, known_resource};

/// Seconds a service principal's token lives. One less than an hour, as Entra counts.
const SERVICE_PRINCIPAL_LIFETIME: i64 = 3599;
/// Seconds a managed identity's token lives.
const MANAGED_IDENTITY_LIFETIME: i64 = 86399;
/// Seconds from which on a token's answer says when to ask for the next.
const LONG_LIVED: i64 = 7200;

pub(crate) fn routes() -> Router<Arc<Azure>> {
    Router::new()
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .merge(discovery::routes())
        .merge(graph::routes())
}

fn is_own(tenant: &str) -> bool {
    tenant.eq_ignore_ascii_case(TENANT)
}

async fn token(
    State(azure): State<Arc<Azure>>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    form: Result<Form<TokenRequest>, FormRejection>,
) -> Response {
    // A body that is no form is one without parameters.
    let request = form.map(|Form(request)| request).unwrap_or_default();
    let now = azure.clock.now();
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
        ..Details::default()
    });
    response
}

async fn issue(
    azure: &Azure,
    tenant: &str,
    request: &TokenRequest,
    now: Timestamp,
) -> Result<Value, Aadsts> {
    if ["common", "consumers"].contains(&tenant) {
        return Err(Aadsts::CommonTenant);
    }
    if !is_own(tenant) {
        return Err(Aadsts::TenantNotFound(tenant.to_owned()));
    }
    let demand = request.demand()?;
    let principal = match demand.proof {
        Proof::Secret(secret) => by_secret(azure, demand.client_id, secret, now)?,
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
    let mut body = json!({
        "token_type": "Bearer",
        "expires_in": principal.lifetime,
        "ext_expires_in": principal.lifetime,
        "access_token": token,
    });
    if principal.lifetime >= LONG_LIVED {
        body["refresh_in"] = json!(principal.lifetime / 2);
    }
    Ok(body)
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

fn by_secret(
    azure: &Azure,
    client_id: &str,
    secret: &str,
    now: Timestamp,
) -> Result<Principal, Aadsts> {
    if !client_id.eq_ignore_ascii_case(CLIENT_ID) {
        // A managed identity exists as an application but has no secret.
        let application = azure.resources().directory.believed(id(client_id), now);
        return Err(match application {
            Some(_) => Aadsts::InvalidSecret(client_id.to_owned()),
            None => not_found(client_id),
        });
    }
    if secret != CLIENT_SECRET {
        return Err(Aadsts::InvalidSecret(client_id.to_owned()));
    }
    Ok(service_principal())
}

/// The client id as a GUID. What is none is the nil one, which nobody has.
fn id(client_id: &str) -> Uuid {
    client_id.parse().unwrap_or_default()
}

async fn by_assertion(
    azure: &Azure,
    client_id: &str,
    assertion: &str,
    now: Timestamp,
) -> Result<Principal, Aadsts> {
    let believed = azure.resources().directory.believed(id(client_id), now);
    let principal = by_credential(client_id, believed.as_ref(), assertion);
    if principal.as_ref().is_err_and(Aadsts::is_remembered) {
        let directory = &mut azure.resources().directory;
        directory.missed(id(client_id), believed, now);
    }
    let (principal, assertion) = principal?;
    let keys = azure
        .issuers
        .keys(assertion.text("iss"), &assertion.kid, now)
        .await
        .map_err(|error| Aadsts::IssuerUnreachable(error.to_string()))?;
    assertion
        .verify(&keys)
        .map_err(|error| Aadsts::BadSignature(error.to_string()))?;
    federation::in_time(&assertion, now)?;
    Ok(principal)
}

/// The client whose federated credential the assertion fits, and the assertion, not verified yet.
fn by_credential(
    client_id: &str,
    application: Option<&Application>,
    assertion: &str,
) -> Result<(Principal, Jwt), Aadsts> {
    let (principal, name, credentials) = match application {
        _ if client_id.eq_ignore_ascii_case(CLIENT_ID) => {
            (service_principal(), "admin", Vec::new())
        }
        None => return Err(not_found(client_id)),
        Some(application) => {
            let principal = Principal {
                client_id: application.client_id.to_string(),
                object_id: application.principal_id.to_string(),
                lifetime: MANAGED_IDENTITY_LIFETIME,
                node: false,
            };
            let credentials = application.credentials.values().cloned().collect();
            (principal, application.name.as_str(), credentials)
        }
    };
    let assertion =
        Jwt::parse(assertion).map_err(|error| Aadsts::MalformedAssertion(error.to_string()))?;
    federation::matching(&assertion, &credentials, client_id, name)?;
    Ok((principal, assertion))
}
