//! Azure Resource Manager: typed requests and answers, and the one client that sends them.
//!
//! ```text
//! request (pure) -> client::send -> answer (pure) -> resource
//!                                \-> error: what was refused, and what a person can do about it
//! ```

mod answer;
mod client;
mod error;
pub mod request;
mod resource;
mod role;
mod transport;

pub use answer::{Answer, Deleted, Page};
pub use client::Client;
pub use error::{ArmError, Failure, FailureKind};
pub use request::{GroupId, Request};
pub use resource::{
    FederatedCredential, ManagedCluster, ManagedIdentity, Resource, ResourceGroup, RoleAssignment,
    RoleDefinition, Trust,
};
pub use role::{assignment_name, role_guid};
pub use transport::Transport;

/// Whether two Azure names or locations are the same: ARM keeps no case, and locations no spaces (`West US 2` is `westus2`).
#[must_use]
pub fn same_name(a: &str, b: &str) -> bool {
    let plain = |name: &str| name.replace(' ', "").to_lowercase();
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use super::same_name;

    #[test]
    fn names() {
        assert!(same_name("West US 2", "westus2"));
        assert!(same_name("userAssignedIdentityA", "USERASSIGNEDIDENTITYA"));
        assert!(!same_name("westus", "westus2"));
    }
}
