//! From a path to the resource it names. Every fixed segment is case-insensitive; names are percent-decoded.

use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::error::Refusal;
use crate::SUBSCRIPTION;

const AUTHORIZATION: &str = "microsoft.authorization";
const MANAGED_IDENTITY: &str = "microsoft.managedidentity";
const IDENTITIES: &str = "userassignedidentities";
const CREDENTIALS: &str = "federatedidentitycredentials";
const CONTAINER_SERVICE: &str = "microsoft.containerservice";
const CLUSTERS: &str = "managedclusters";

/// What a request is about. Names keep the case they were asked in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The list of tenants.
    Tenants,
    /// The list of subscriptions.
    Subscriptions,
    /// The subscription.
    Subscription,
    /// The subscription's locations.
    Locations,
    /// The resource providers.
    Providers,
    /// A resource provider.
    Provider(String),
    /// The registration of a resource provider.
    Registration(String),
    /// The operations that a resource provider offers.
    Offers(String),
    /// How a long-running operation stands, told as a document.
    OperationStatus(Uuid),
    /// How a long-running operation stands, told by the status code.
    OperationResult(Uuid),
    /// The resource groups.
    Groups,
    /// A resource group.
    Group(String),
    /// The resources of any type, of a group or of the subscription.
    Everything(Option<String>),
    /// The identities of a group, or of the subscription.
    Identities(Option<String>),
    /// A user-assigned identity.
    Identity(Place),
    /// The federated credentials of an identity.
    Credentials(Place),
    /// A federated credential.
    Credential(Place, String),
    /// The AKS clusters of a group, or of the subscription.
    Clusters(Option<String>),
    /// An AKS cluster.
    Cluster(Place),
    /// The kubeconfig of an AKS cluster.
    Kubeconfig(Place),
    /// The role assignments at a scope.
    Assignments(String),
    /// A role assignment at a scope.
    Assignment(String, String),
    /// The role definitions at a scope.
    Definitions(String),
    /// A role definition.
    Definition(String),
}

/// Where a resource stands in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) group: String,
    pub(crate) name: String,
}

impl Target {
    pub(crate) fn parse(path: &str) -> Result<Self, Refusal> {
        let names: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        if let ["subscriptions", subscription, ..] = lower[..]
            && subscription != SUBSCRIPTION
        {
            return Err(Refusal::SubscriptionNotFound(names[1].clone()));
        }
        Self::authorization(&names, &lower)
            .or_else(|| Self::anywhere(&names, &lower))
            .or_else(|| Self::in_group(&names, &lower))
            .ok_or_else(|| Refusal::NotServed(path.to_owned()))
    }

    /// What hangs on any scope: the last `providers` says so.
    fn authorization(names: &[String], lower: &[&str]) -> Option<Self> {
        let at = lower.iter().rposition(|segment| *segment == "providers")?;
        let scope = || {
            let path: String = names[..at].iter().map(|name| format!("/{name}")).collect();
            path
        };
        match &lower[at + 1..] {
            [AUTHORIZATION, "roleassignments"] => Some(Target::Assignments(scope())),
            [AUTHORIZATION, "roleassignments", _] => {
                Some(Target::Assignment(scope(), names[at + 3].clone()))
            }
            [AUTHORIZATION, "roledefinitions"] => Some(Target::Definitions(scope())),
            [AUTHORIZATION, "roledefinitions", _] => {
                Some(Target::Definition(names[at + 3].clone()))
            }
            _ => None,
        }
    }

    fn anywhere(names: &[String], lower: &[&str]) -> Option<Self> {
        let ["subscriptions", _, rest @ ..] = lower else {
            return match lower {
                ["tenants"] => Some(Target::Tenants),
                ["subscriptions"] => Some(Target::Subscriptions),
                ["providers", _, "operations"] => Some(Target::Offers(names[1].clone())),
                _ => None,
            };
        };
        match rest {
            [] => Some(Target::Subscription),
            ["locations"] => Some(Target::Locations),
            ["providers"] => Some(Target::Providers),
            ["providers", _] => Some(Target::Provider(names[3].clone())),
            ["providers", _, "register"] => Some(Target::Registration(names[3].clone())),
            ["operationresults", id] => id.parse().ok().map(Target::OperationResult),
            ["providers", _, "locations", _, "operations", id] => {
                id.parse().ok().map(Target::OperationStatus)
            }
            ["resourcegroups"] => Some(Target::Groups),
            ["resourcegroups", _] => Some(Target::Group(names[3].clone())),
            ["resources"] => Some(Target::Everything(None)),
            ["resourcegroups", _, "resources"] => Some(Target::Everything(Some(names[3].clone()))),
            ["providers", MANAGED_IDENTITY, IDENTITIES] => Some(Target::Identities(None)),
            ["providers", CONTAINER_SERVICE, CLUSTERS] => Some(Target::Clusters(None)),
            _ => None,
        }
    }

    fn in_group(names: &[String], lower: &[&str]) -> Option<Self> {
        let [
            "subscriptions",
            _,
            "resourcegroups",
            _,
            "providers",
            resource @ ..,
        ] = lower
        else {
            return None;
        };
        let group = || names[3].clone();
        let place = || Place {
            group: group(),
            name: names[7].clone(),
        };
        match resource {
            [MANAGED_IDENTITY, IDENTITIES] => Some(Target::Identities(Some(group()))),
            [MANAGED_IDENTITY, IDENTITIES, _] => Some(Target::Identity(place())),
            [MANAGED_IDENTITY, IDENTITIES, _, CREDENTIALS] => Some(Target::Credentials(place())),
            [MANAGED_IDENTITY, IDENTITIES, _, CREDENTIALS, _] => {
                Some(Target::Credential(place(), names[9].clone()))
            }
            [CONTAINER_SERVICE, CLUSTERS] => Some(Target::Clusters(Some(group()))),
            [CONTAINER_SERVICE, CLUSTERS, _] => Some(Target::Cluster(place())),
            [
                CONTAINER_SERVICE,
                CLUSTERS,
                _,
                "listclusterusercredential" | "listclusteradmincredential",
            ] => Some(Target::Kubeconfig(place())),
            _ => None,
        }
    }

    /// The resource provider that answers, and the group it is asked in.
    pub(crate) fn provider(&self) -> Option<(&'static str, Option<&str>)> {
        match self {
            Target::Identities(group) => Some(("Microsoft.ManagedIdentity", group.as_deref())),
            Target::Identity(place) | Target::Credentials(place) | Target::Credential(place, _) => {
                Some(("Microsoft.ManagedIdentity", Some(&place.group)))
            }
            Target::Clusters(group) => Some(("Microsoft.ContainerService", group.as_deref())),
            Target::Cluster(place) | Target::Kubeconfig(place) => {
                Some(("Microsoft.ContainerService", Some(&place.group)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, SUBSCRIPTION, Target};

    #[test]
    fn paths() {
        let place = || Place {
            group: "RG-1".to_owned(),
            name: "Me".to_owned(),
        };
        let sub = format!("/Subscriptions/{SUBSCRIPTION}");
        let mi = format!(
            "{sub}/resourcegroups/RG-1/providers/MICROSOFT.managedidentity/userAssignedIdentities"
        );
        let roles = "providers/Microsoft.authorization/roleassignments";
        let table = [
            (
                format!("{sub}/resourceGroups/a%28b%29"),
                Some(Target::Group("a(b)".to_owned())),
            ),
            (
                mi.clone(),
                Some(Target::Identities(Some("RG-1".to_owned()))),
            ),
            (format!("{mi}/Me"), Some(Target::Identity(place()))),
            (
                format!("{mi}/Me/federatedIdentityCredentials/"),
                Some(Target::Credentials(place())),
            ),
            (
                format!("/{mi}/Me/FEDERATEDidentitycredentials/fic"),
                Some(Target::Credential(place(), "fic".to_owned())),
            ),
            (format!("{mi}/Me/other"), None),
            (
                format!("{sub}/{roles}"),
                Some(Target::Assignments(sub.clone())),
            ),
            (
                format!("{mi}/Me/{roles}/A"),
                Some(Target::Assignment(format!("{mi}/Me"), "A".to_owned())),
            ),
            (
                "/providers/Microsoft.Authorization/roleDefinitions/r".to_owned(),
                Some(Target::Definition("r".to_owned())),
            ),
            (format!("{sub}/operationresults/none"), None),
            ("/tenants".to_owned(), Some(Target::Tenants)),
        ];
        for (path, expected) in table {
            assert_eq!(Target::parse(&path).ok(), expected, "{path}");
        }
    }
}
