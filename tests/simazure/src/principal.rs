//! Who a token is for, and what the token then says.

use serde_json::{Value, json};

use crate::TENANT;

/// An application or managed identity that can hold an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// Application (client) id.
    pub(crate) client_id: String,
    /// Object id of the service principal.
    pub(crate) object_id: String,
    /// Seconds its tokens live.
    pub(crate) lifetime: i64,
    /// Whether it is the node itself, whose tokens no pod should ever hold.
    pub(crate) node: bool,
}

/// Issuer of every access token.
pub(crate) fn issuer(origin: &str) -> String {
    format!("{origin}/{TENANT}/v2.0")
}

impl Principal {
    /// The claims of an access token made now (Unix seconds).
    pub(crate) fn claims(&self, origin: &str, audience: &str, now: i64) -> Value {
        let mut claims = json!({
            "aud": audience,
            "iss": issuer(origin),
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime,
            "appid": self.client_id,
            "azp": self.client_id,
            "idtyp": "app",
            "oid": self.object_id,
            "sub": self.object_id,
            "tid": TENANT,
            "ver": "2.0",
        });
        if self.node {
            claims["xms_node"] = Value::Bool(true);
        }
        claims
    }
}
