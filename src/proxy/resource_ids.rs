//! The client ids behind resource ids and object ids, which Entra does not resolve for a pod.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

/// Client ids by resource id or object id. Neither has a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceIds(HashMap<String, Arc<str>>);

/// Text that is no such map.
#[derive(Debug, thiserror::Error)]
pub enum BadResourceIds {
    /// No JSON object of texts.
    #[error("{0}; expected is a JSON object of resource id or object id to client id")]
    NoMap(#[from] serde_json::Error),
    /// A key or client id is empty.
    #[error("{0:?}: neither id nor client id may be empty")]
    Empty(String),
}

impl ResourceIds {
    /// The client id behind `id`.
    #[must_use]
    pub fn client_id(&self, id: &str) -> Option<Arc<str>> {
        self.0.get(&key(id)).cloned()
    }
}

impl FromStr for ResourceIds {
    type Err = BadResourceIds;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        let map: BTreeMap<String, String> = serde_json::from_str(json)?;
        map.into_iter()
            .map(|(id, client_id)| match (key(&id), client_id.trim()) {
                (key, client_id) if key.is_empty() || client_id.is_empty() => {
                    Err(BadResourceIds::Empty(id))
                }
                (key, client_id) => Ok((key, Arc::from(client_id))),
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn key(id: &str) -> String {
    id.trim().trim_end_matches('/').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::ResourceIds;

    #[test]
    fn look_ups() {
        let ids: ResourceIds =
            r#"{"/subscriptions/S/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a":"client-a",
                "0A00-object":"client-b"}"#
                .parse()
                .unwrap();
        let table = [
            (
                "/subscriptions/s/resourcegroups/RG/providers/microsoft.managedidentity/userassignedidentities/A",
                Some("client-a"),
            ),
            ("0a00-OBJECT", Some("client-b")),
            ("client-a", None),
            ("", None),
        ];
        for (id, client_id) in table {
            assert_eq!(ids.client_id(id).as_deref(), client_id, "{id}");
        }
    }

    #[test]
    fn texts() {
        for (json, message) in [
            ("[]", "JSON object"),
            (r#"{"a":1}"#, "JSON object"),
            (r#"{"a":""}"#, "empty"),
            (r#"{"":"a"}"#, "empty"),
        ] {
            let error = json.parse::<ResourceIds>().unwrap_err().to_string();
            assert!(error.contains(message), "{json}: {error}");
        }
    }
}
