//! Microsoft Graph, as far as a role's assignee is looked up: service principals by client id or object id.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::arm::Query;
use crate::arm::bearer::Caller;
use crate::azure::Azure;
use crate::{CLIENT_ID, CLIENT_OBJECT_ID, TENANT};

pub(super) fn routes() -> Router<Arc<Azure>> {
    Router::new()
        .route("/v1.0/servicePrincipals", get(by_name))
        .route("/v1.0/directoryObjects/getByIds", post(by_ids))
}

/// Those that `$filter` names by `servicePrincipalNames/any(c:c eq 'ID')` or `appId eq 'ID'`; all without one.
async fn by_name(
    State(azure): State<Arc<Azure>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = Query::parse(query.as_deref().unwrap_or_default());
    let name = query.filtered("c:c").or_else(|| query.filtered("appId"));
    answer(&azure, &headers, |one| {
        name.is_none_or(|name| one["appId"] == name.to_lowercase())
    })
}

async fn by_ids(
    State(azure): State<Arc<Azure>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let ids = body["ids"].as_array().cloned().unwrap_or_default();
    answer(&azure, &headers, |one| ids.contains(&one["id"]))
}

fn answer(azure: &Azure, headers: &HeaderMap, wanted: impl Fn(&Value) -> bool) -> Response {
    let now = azure.clock.now();
    if let Err(refusal) = Caller::of(azure, headers, &[&azure.origin], now) {
        let body = json!({
            "error": {"code": "InvalidAuthenticationToken", "message": refusal.to_string()},
        });
        return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
    }
    let mut found = vec![service_principal(CLIENT_ID, CLIENT_OBJECT_ID, "admin")];
    found.extend(azure.resources().directory.all(now).map(|one| {
        let (client_id, id) = (one.client_id.to_string(), one.principal_id.to_string());
        service_principal(&client_id, &id, &one.name)
    }));
    found.retain(wanted);
    Json(json!({"value": found})).into_response()
}

fn service_principal(client_id: &str, id: &str, name: &str) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.servicePrincipal",
        "id": id,
        "appId": client_id,
        "displayName": name,
        "appOwnerOrganizationId": TENANT,
        "servicePrincipalNames": [client_id],
    })
}
