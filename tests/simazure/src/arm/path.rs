//! From a path to the resource it names. Every fixed segment is case-insensitive; names are percent-decoded.

use percent_encoding::percent_decode_str;

use super::error::Refusal;
use crate::SUBSCRIPTION;

const MANAGED_IDENTITY: &str = "microsoft.managedidentity";
const IDENTITIES: &str = "userassignedidentities";
const CREDENTIALS: &str = "federatedidentitycredentials";
const CONTAINER_SERVICE: &str = "microsoft.containerservice";
const CLUSTERS: &str = "managedclusters";

/// What a request is about. Names keep the case they were asked in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The list of subscriptions.
    Subscriptions,
    /// A resource group.
    Group(String),
    /// The identities of a group, or of the subscription.
    Identities(Option<String>),
    /// A user-assigned identity.
    Identity(IdentityName),
    /// The federated credentials of an identity.
    Credentials(IdentityName),
    /// A federated credential.
    Credential(IdentityName, String),
    /// An AKS cluster.
    Cluster {
        /// Its resource group.
        group: String,
        /// Its name.
        name: String,
    },
}

/// Where a user-assigned identity stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdentityName {
    pub(crate) group: String,
    pub(crate) name: String,
}

impl Target {
    pub(crate) fn parse(path: &str) -> Result<Self, Refusal> {
        let names: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let name = |index: usize| names[index].clone();
        let identity = || IdentityName {
            group: name(3),
            name: name(7),
        };
        if let ["subscriptions", subscription, ..] = lower[..]
            && subscription != SUBSCRIPTION
        {
            return Err(Refusal::SubscriptionNotFound(name(1)));
        }
        let (group, resource) = match &lower[..] {
            ["subscriptions"] => return Ok(Target::Subscriptions),
            ["subscriptions", _, "resourcegroups", _] => return Ok(Target::Group(name(3))),
            [
                "subscriptions",
                _,
                "resourcegroups",
                _,
                "providers",
                rest @ ..,
            ] => (Some(name(3)), rest),
            ["subscriptions", _, "providers", rest @ ..] => (None, rest),
            _ => return Err(Refusal::NotServed(path.to_owned())),
        };
        match (group, resource) {
            (group, [MANAGED_IDENTITY, IDENTITIES]) => Ok(Target::Identities(group)),
            (Some(_), [MANAGED_IDENTITY, IDENTITIES, _]) => Ok(Target::Identity(identity())),
            (Some(_), [MANAGED_IDENTITY, IDENTITIES, _, CREDENTIALS]) => {
                Ok(Target::Credentials(identity()))
            }
            (Some(_), [MANAGED_IDENTITY, IDENTITIES, _, CREDENTIALS, _]) => {
                Ok(Target::Credential(identity(), name(9)))
            }
            (Some(group), [CONTAINER_SERVICE, CLUSTERS, _]) => Ok(Target::Cluster {
                group,
                name: name(7),
            }),
            _ => Err(Refusal::NotServed(path.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IdentityName, SUBSCRIPTION, Target};

    #[test]
    fn paths() {
        let identity = || IdentityName {
            group: "RG-1".to_owned(),
            name: "Me".to_owned(),
        };
        let mi = "resourcegroups/RG-1/providers/MICROSOFT.managedidentity/userAssignedIdentities";
        let table = [
            (
                "".to_owned(),
                Some(Target::Group("a(b)".to_owned())),
                "resourceGroups/a%28b%29",
            ),
            (
                "".to_owned(),
                Some(Target::Identities(Some("RG-1".to_owned()))),
                mi,
            ),
            ("/Me".to_owned(), Some(Target::Identity(identity())), mi),
            (
                "/Me/federatedIdentityCredentials/".to_owned(),
                Some(Target::Credentials(identity())),
                mi,
            ),
            (
                "/Me/FEDERATEDidentitycredentials/fic".to_owned(),
                Some(Target::Credential(identity(), "fic".to_owned())),
                mi,
            ),
            ("/Me/other".to_owned(), None, mi),
        ];
        for (tail, expected, head) in table {
            let path = format!("/Subscriptions/{SUBSCRIPTION}/{head}{tail}");
            assert_eq!(Target::parse(&path).ok(), expected, "{path}");
        }
    }
}
