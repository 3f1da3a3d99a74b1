//! What a person should know although the pod was admitted: why something was not done.

use std::fmt;

/// Most warnings an answer carries.
pub const MOST: usize = 5;
/// Most characters of one.
pub const LENGTH: usize = 120;

/// Something that was not done, or will not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The pod asks for identity, its ServiceAccount names none.
    NoClientId {
        /// The ServiceAccount.
        service_account: String,
    },
    /// The pod's ServiceAccount is not known.
    NoServiceAccount {
        /// The ServiceAccount.
        service_account: String,
    },
    /// Neither the ServiceAccount nor the server names a tenant.
    NoTenant,
    /// The ServiceAccount names an identity, the pod asks for none.
    NotRequested {
        /// The ServiceAccount.
        service_account: String,
    },
    /// Without native sidecars a pod that should end, or that has init containers, is served badly.
    ClassicSidecar,
    /// A container mounts something else where the token belongs.
    MountInUse {
        /// The container.
        container: String,
    },
}

impl Warning {
    /// Every [`Warning::reason`].
    pub const REASONS: [&str; 6] = [
        "no_client_id",
        "no_service_account",
        "no_tenant",
        "not_requested",
        "classic_sidecar",
        "mount_in_use",
    ];

    /// A short name for metrics; never changes.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Warning::NoClientId { .. } => "no_client_id",
            Warning::NoServiceAccount { .. } => "no_service_account",
            Warning::NoTenant => "no_tenant",
            Warning::NotRequested { .. } => "not_requested",
            Warning::ClassicSidecar => "classic_sidecar",
            Warning::MountInUse { .. } => "mount_in_use",
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

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::NoClientId { service_account } => {
                write!(
                    f,
                    "ServiceAccount {service_account} has no azure.workload.identity/client-id: AZURE_CLIENT_ID not set"
                )
            }
            Warning::NoServiceAccount { service_account } => {
                write!(
                    f,
                    "ServiceAccount {service_account} not found: AZURE_CLIENT_ID not set"
                )
            }
            Warning::NoTenant => {
                write!(
                    f,
                    "no tenant: set azure.workload.identity/tenant-id on the ServiceAccount; AZURE_TENANT_ID not set"
                )
            }
            Warning::NotRequested { service_account } => {
                write!(
                    f,
                    "not injected: ServiceAccount {service_account} has a client-id, but the pod has no label azure.workload.identity/use"
                )
            }
            Warning::ClassicSidecar => {
                write!(
                    f,
                    "no native sidecars here: init containers get no token, a Job would not end by itself"
                )
            }
            Warning::MountInUse { container } => {
                write!(
                    f,
                    "container {container} mounts its own volume at /var/run/secrets/azure/tokens: token not mounted"
                )
            }
        }
    }
}
