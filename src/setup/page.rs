//! The ledger as a ConfigMap keeps it: one value for each place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::ledger::{Ledger, Made, Place, State, Thing};

/// One value of the ConfigMap: all entries of a place.
#[derive(Deserialize)]
struct Page {
    #[serde(flatten)]
    place: Place,
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    thing: Thing,
    state: State,
}

impl Place {
    /// The key of its page: legal in a ConfigMap, readable, and one for each place.
    fn key(&self) -> String {
        let whole = format!("{}/{}", self.subscription, self.resource_group);
        let digest = Sha256::digest(whole);
        let suffix: String = digest[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        match &self.identity {
            Some(identity) => format!("identity.{identity}.{suffix}"),
            None => format!("group.{suffix}"),
        }
    }
}

impl Ledger {
    /// Reads the ConfigMap's data.
    ///
    /// # Errors
    /// With the key of a value that is none of setup's.
    pub fn read(data: &BTreeMap<String, String>) -> Result<Self, (String, serde_json::Error)> {
        let mut entries = BTreeMap::new();
        for (key, value) in data {
            let page: Page = serde_json::from_str(value).map_err(|error| (key.clone(), error))?;
            for Entry { thing, state } in page.entries {
                let place = page.place.clone();
                entries.insert(Made { place, thing }, state);
            }
        }
        Ok(Self(entries))
    }

    /// The ConfigMap's data: one value for each place.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, String> {
        let mut pages: BTreeMap<&Place, Vec<Value>> = BTreeMap::new();
        for (made, state) in &self.0 {
            let entry = Entry {
                thing: made.thing.clone(),
                state: state.clone(),
            };
            pages.entry(&made.place).or_default().push(json!(entry));
        }
        let page = |(place, entries): (&Place, Vec<Value>)| {
            let mut page = json!(place);
            page["entries"] = Value::Array(entries);
            (place.key(), page.to_string())
        };
        pages.into_iter().map(page).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::azure::arm::GroupId;
    use crate::setup::desired::ServiceAccountId;
    use crate::setup::ledger::{Ledger, Made, Place, State, Thing};

    #[test]
    fn is_read_as_it_was_written() {
        let group = GroupId {
            subscription: uuid::Uuid::nil(),
            name: "RG".to_owned(),
        };
        let account = ServiceAccountId {
            namespace: "ns".to_owned(),
            name: "sa".to_owned(),
        };
        let name = "c".to_owned();
        let identity = Place::identity(&group, "idA");
        let entries = [
            (Place::group(&group), Thing::ResourceGroup, State::Made),
            (
                identity.clone(),
                Thing::ManagedIdentity,
                State::MadeAs("p".to_owned()),
            ),
            (
                identity.clone(),
                Thing::FederatedCredential { name },
                State::Intended,
            ),
            (identity, Thing::ServiceAccount(account), State::Intended),
        ];
        let entry = |(place, thing, state)| (Made { place, thing }, state);
        let whole = Ledger(entries.into_iter().map(entry).collect());
        let data = whole.data();
        assert_eq!(Ledger::read(&data).unwrap(), whole);
        let keys: Vec<_> = data.keys().map(String::as_str).collect();
        assert!(
            keys.len() == 2
                && keys[0].starts_with("group.")
                && keys[1].starts_with("identity.ida."),
            "{keys:?}"
        );
        let broken = BTreeMap::from([("k".to_owned(), "{}".to_owned())]);
        assert_eq!(Ledger::read(&broken).unwrap_err().0, "k");
    }
}
