//! The one page before sign-in: where the cloud's services are.

use serde_json::{Value, json};

use super::bearer::AUDIENCES;

/// What `az cloud register` reads: one cloud, or by the api-version of 2019 a list of clouds.
pub(super) fn endpoints(origin: &str, api_version: &str) -> Value {
    let audiences: Vec<_> = AUDIENCES
        .iter()
        .rev()
        .map(|audience| format!("{audience}/"))
        .collect();
    let cloud = json!({
        "name": "Simulated",
        "portal": origin,
        "resourceManager": format!("{origin}/"),
        "authentication": {
            "loginEndpoint": origin,
            "audiences": audiences,
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
    });
    if api_version < "2020" {
        json!([cloud])
    } else {
        cloud
    }
}
