//! What a person should know although the pod was admitted: why something was not done.

use super::PodSecurity;
use super::keys::Place;
use crate::names;

/// Most warnings an answer carries.
pub const MOST: usize = 5;
/// Most characters of one that an API server shows whole.
pub const LENGTH: usize = 120;

/// Something that was not done, or will not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// The pod's ServiceAccount is not known.
    #[error("ServiceAccount {service_account} not found: AZURE_CLIENT_ID not set")]
    NoServiceAccount {
        /// The ServiceAccount.
        service_account: String,
    },
    /// The pod asks for identity, its ServiceAccount names none.
    #[error(
        "AZURE_CLIENT_ID not set: no {} on ServiceAccount {service_account}",
        names::CLIENT_ID
    )]
    NoClientId {
        /// The ServiceAccount.
        service_account: String,
    },
    /// The ServiceAccount names an identity, the pod asks for none.
    #[error(
        "not injected: pod has no label {}, but ServiceAccount {service_account} has a client-id",
        names::USE
    )]
    NotRequested {
        /// The ServiceAccount.
        service_account: String,
    },
    /// A client id that is no GUID: an object's name, or a resource id.
    #[error(
        "client-id of ServiceAccount {service_account} is not a GUID; set the identity's client id, not its name"
    )]
    ClientIdNotAGuid {
        /// The ServiceAccount.
        service_account: String,
    },
    /// A placeholder that no template engine replaced.
    #[error(
        "{} of ServiceAccount {service_account} holds a placeholder that was not replaced",
        short(key)
    )]
    Unexpanded {
        /// The ServiceAccount.
        service_account: String,
        /// The annotation.
        key: &'static str,
    },
    /// Neither the ServiceAccount nor the server names a tenant.
    #[error(
        "AZURE_TENANT_ID not set: no {} on the ServiceAccount, no default",
        names::TENANT_ID
    )]
    NoTenant,
    /// A key nobody knows, near to one that is known.
    #[error("{place} {key} is not known; is {} meant?", shown(key, meant))]
    Misspelt {
        /// As it was written.
        key: String,
        /// Where it stands.
        place: Place,
        /// The known key.
        meant: &'static str,
    },
    /// A key nobody knows, under a prefix of ours.
    #[error("{place} {key} is not a key of identity-injector")]
    UnknownKey {
        /// As it was written.
        key: String,
        /// Where it stands.
        place: Place,
    },
    /// A known key where it means nothing.
    #[error("{key} does nothing as {place}; it is a {}", kind_of(*place, *belongs))]
    WrongObject {
        /// The key.
        key: String,
        /// Where it stands.
        place: Place,
        /// Where it belongs.
        belongs: Place,
    },
    /// A key on a workload rather than on its pod template.
    #[error("{key} does nothing here; set it on the pod template")]
    AboveTemplate {
        /// The key.
        key: &'static str,
    },
    /// A comma in the list that semicolons part.
    #[error("skip-containers: {entry:?} has a comma; names are separated by semicolons")]
    CommaInSkipList {
        /// The entry that has it.
        entry: String,
    },
    /// A container to be skipped that the pod does not have.
    #[error("skip-containers: the pod has no container {container:?}")]
    UnknownSkipped {
        /// The name.
        container: String,
    },
    /// A container's own value of a variable, other than ours; it keeps it.
    #[error("container {container} sets {variable} itself to another value, and keeps it")]
    OwnValue {
        /// The container.
        container: String,
        /// The variable.
        variable: &'static str,
    },
    /// A container mounts something else where the token belongs.
    #[error(
        "container {container} mounts its own volume at {}: token not mounted",
        names::TOKEN_MOUNT
    )]
    MountInUse {
        /// The container.
        container: String,
    },
    /// A header that can't be handed to the proxy: by reference to what it does not have, or more than a line.
    #[error(
        "container {container}: IDENTITY_HEADER holds line ends or $(VARIABLES); the proxy won't accept it"
    )]
    HeaderNotHandedOn {
        /// The container.
        container: String,
    },
    /// An init container that starts before the proxy.
    #[error("init container {container} starts before azwi-proxy, which can't answer it yet")]
    BeforeProxy {
        /// The container.
        container: String,
    },
    /// The API server will refuse the pod, for the init container that we add.
    #[error(
        "Pod Security {} of the Namespace forbids azwi-proxy-init; set {}: env",
        level.as_str(),
        names::CAPTURE
    )]
    PodSecurity {
        /// The level.
        level: PodSecurity,
    },
    /// The redirect exempts the proxy by its user, and would exempt the container with it.
    #[error(
        "container {container} runs as uid {}, as azwi-proxy does: IMDS passthrough is off for this pod",
        names::PROXY_UID
    )]
    ProxysUser {
        /// The container.
        container: String,
    },
    /// Without native sidecars a pod that should end, or that has init containers, is served badly.
    #[error("no native sidecars here: init containers get no token, a Job would not end by itself")]
    ClassicSidecar,
}

impl Warning {
    /// Every [`Warning::reason`].
    pub const REASONS: [&str; 19] = [
        "no_service_account",
        "no_client_id",
        "not_requested",
        "client_id_not_a_guid",
        "unexpanded",
        "no_tenant",
        "misspelt",
        "unknown_key",
        "wrong_object",
        "above_template",
        "comma_in_skip_list",
        "unknown_skipped",
        "own_value",
        "mount_in_use",
        "header_not_handed_on",
        "before_proxy",
        "pod_security",
        "proxys_user",
        "classic_sidecar",
    ];

    /// A short name for metrics; never changes.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Warning::NoServiceAccount { .. } => "no_service_account",
            Warning::NoClientId { .. } => "no_client_id",
            Warning::NotRequested { .. } => "not_requested",
            Warning::ClientIdNotAGuid { .. } => "client_id_not_a_guid",
            Warning::Unexpanded { .. } => "unexpanded",
            Warning::NoTenant => "no_tenant",
            Warning::Misspelt { .. } => "misspelt",
            Warning::UnknownKey { .. } => "unknown_key",
            Warning::WrongObject { .. } => "wrong_object",
            Warning::AboveTemplate { .. } => "above_template",
            Warning::CommaInSkipList { .. } => "comma_in_skip_list",
            Warning::UnknownSkipped { .. } => "unknown_skipped",
            Warning::OwnValue { .. } => "own_value",
            Warning::MountInUse { .. } => "mount_in_use",
            Warning::HeaderNotHandedOn { .. } => "header_not_handed_on",
            Warning::BeforeProxy { .. } => "before_proxy",
            Warning::PodSecurity { .. } => "pod_security",
            Warning::ProxysUser { .. } => "proxys_user",
            Warning::ClassicSidecar => "classic_sidecar",
        }
    }

    /// The sentence, cut to the length an API server shows whole.
    #[must_use]
    pub fn text(&self) -> String {
        let sentence = self.to_string();
        match sentence.char_indices().nth(LENGTH) {
            None => sentence,
            Some(_) => sentence.chars().take(LENGTH - 1).chain(['…']).collect(),
        }
    }
}

/// A known key as the sentence about a misspelt one names it.
fn shown(key: &str, meant: &'static str) -> &'static str {
    if key.starts_with(prefix(meant)) {
        short(meant)
    } else {
        meant
    }
}

/// What a key is that stands at the wrong place. By its own label of that name a Namespace opts in.
fn kind_of(place: Place, belongs: Place) -> String {
    match (place, belongs) {
        (Place::Namespace, Place::PodLabel) => "Namespace label".to_owned(),
        _ => belongs.to_string(),
    }
}

fn prefix(key: &str) -> &str {
    key.find('/').map_or("", |slash| &key[..=slash])
}

fn short(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every variant with names as long as they come in practice: no sentence is cut.
    #[test]
    fn sentences_fit() {
        let service_account = "workload-identity-sa".to_owned();
        let container = "application-server".to_owned();
        let key = "azure.workload.identity/service-account-token-expirations".to_owned();
        let table = [
            Warning::NoServiceAccount {
                service_account: service_account.clone(),
            },
            Warning::NoClientId {
                service_account: service_account.clone(),
            },
            Warning::NotRequested {
                service_account: service_account.clone(),
            },
            Warning::ClientIdNotAGuid {
                service_account: service_account.clone(),
            },
            Warning::Unexpanded {
                service_account,
                key: names::TENANT_ID,
            },
            Warning::NoTenant,
            Warning::Misspelt {
                key: key.clone(),
                place: Place::PodAnnotation,
                meant: names::PROXY_PORT,
            },
            Warning::UnknownKey {
                key,
                place: Place::ServiceAccount,
            },
            Warning::WrongObject {
                key: names::PROXY_PORT.to_owned(),
                place: Place::ServiceAccount,
                belongs: Place::PodAnnotation,
            },
            Warning::AboveTemplate {
                key: names::TOKEN_EXPIRATION,
            },
            Warning::CommaInSkipList {
                entry: "istio-proxy,fluent-bit".to_owned(),
            },
            Warning::UnknownSkipped {
                container: container.clone(),
            },
            Warning::OwnValue {
                container: container.clone(),
                variable: names::AZURE_AUTHORITY_HOST,
            },
            Warning::MountInUse {
                container: container.clone(),
            },
            Warning::HeaderNotHandedOn {
                container: container.clone(),
            },
            Warning::BeforeProxy {
                container: container.clone(),
            },
            Warning::PodSecurity {
                level: PodSecurity::Restricted,
            },
            Warning::ProxysUser { container },
            Warning::ClassicSidecar,
        ];
        assert_eq!(table.each_ref().map(Warning::reason), Warning::REASONS);
        for warning in table {
            let sentence = warning.to_string();
            assert!(
                sentence.chars().count() <= LENGTH,
                "{} characters: {sentence}",
                sentence.chars().count()
            );
            assert_eq!(warning.text(), sentence);
        }
        let long = Warning::UnknownSkipped {
            container: "x".repeat(200),
        }
        .text();
        assert_eq!((long.chars().count(), long.ends_with('…')), (LENGTH, true));
    }
}
