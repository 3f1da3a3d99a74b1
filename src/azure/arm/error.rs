//! What can go wrong with a call, told apart by what helps.

use std::fmt;
use std::time::Duration;

use super::answer::ErrorDetail;
use crate::azure::sign_in::SignInError;

/// A call that brought no resource.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    /// No token for ARM.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// No answer came: connection, TLS, time-out.
    #[error("{operation}: no answer: {reason}")]
    NoAnswer {
        /// The call.
        operation: String,
        /// Why.
        reason: String,
    },
    /// ARM refused.
    #[error("{}; {}", .0, .0.kind.advice())]
    Refused(Box<Failure>),
    /// ARM agreed, but its answer does not read as it should.
    #[error("{operation}: unreadable answer: {reason} (correlation id {correlation_id})")]
    Unreadable {
        /// The call.
        operation: String,
        /// Why.
        reason: String,
        /// The id by which Azure's support finds the call.
        correlation_id: String,
    },
    /// A list names another host for its next page; the token is not sent there.
    #[error("{operation}: the next page is on another host, {next_link}: not followed")]
    ForeignPage {
        /// The call.
        operation: String,
        /// The page's URL.
        next_link: String,
    },
    /// A list goes on and on, as one does whose page names itself as the next.
    #[error("{operation}: the list does not end after {pages} pages")]
    EndlessList {
        /// The call.
        operation: String,
        /// How many were read.
        pages: usize,
    },
}

/// An answer that refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The call.
    pub operation: String,
    /// What the refusal means.
    pub kind: FailureKind,
    /// The HTTP status.
    pub status: u16,
    /// ARM's `error.code`; empty if the body was none of ARM's.
    pub code: String,
    /// ARM's `error.message`.
    pub message: String,
    /// The id by which Azure's support finds the call.
    pub correlation_id: String,
    /// How long ARM asks to wait.
    pub retry_after: Option<Duration>,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Too many calls: wait and send again.
    Throttled,
    /// Another write to this identity's credentials is under way: wait and send again.
    ConcurrentWrites,
    /// A new identity is not visible everywhere yet, or there is none: wait and send again, for a while.
    ParentNotFound,
    /// A new identity's principal is not in the directory yet: wait and send again, for a while.
    PrincipalNotFound,
    /// ARM or the provider behind it is unwell: a few more tries.
    Unavailable,
    /// The resource is not there.
    NotFound,
    /// The subscription is not there, or not to be seen.
    SubscriptionNotFound,
    /// The token was not taken.
    Unauthenticated,
    /// A permission is missing.
    Forbidden,
    /// The permission to give roles is missing.
    RolesForbidden,
    /// The principal has the role at this scope, by an assignment of another name.
    AlreadyAssigned,
    /// An Azure Policy forbids it.
    PolicyDenied,
    /// The identity has a credential with this issuer and subject under another name.
    AlreadyTrusted,
    /// The region has no federated credentials.
    RegionUnsupported,
    /// The subscription never used the resource provider.
    ProviderNotRegistered,
    /// A lock forbids it.
    Locked,
    /// It, or what it is in, is being deleted.
    BeingDeleted,
    /// It is there, in another location.
    Elsewhere,
    /// The resource's state forbids it.
    Conflict,
    /// Azure took the write on, but answered before it was done.
    Unfinished,
    /// The request itself is at fault.
    Invalid,
}

/// The codes that say what is meant, whatever the status.
const BY_CODE: [(&str, FailureKind); 12] = [
    (
        "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
        FailureKind::ConcurrentWrites,
    ),
    ("InvalidResourceGroupLocation", FailureKind::Elsewhere),
    ("InvalidResourceLocation", FailureKind::Elsewhere),
    (
        "MissingSubscriptionRegistration",
        FailureKind::ProviderNotRegistered,
    ),
    ("ParentResourceNotFound", FailureKind::ParentNotFound),
    ("PrincipalNotFound", FailureKind::PrincipalNotFound),
    ("RequestDisallowedByPolicy", FailureKind::PolicyDenied),
    ("ResourceGroupBeingDeleted", FailureKind::BeingDeleted),
    ("RoleAssignmentExists", FailureKind::AlreadyAssigned),
    ("RoleDefinitionDoesNotExist", FailureKind::NotFound),
    ("ScopeLocked", FailureKind::Locked),
    ("SubscriptionNotFound", FailureKind::SubscriptionNotFound),
];

impl FailureKind {
    /// Tells what a refusal means. The code decides where there is one: ARM's statuses for the same thing vary.
    #[must_use]
    pub fn of(status: u16, code: &str, message: &str) -> Self {
        if let Some((_, kind)) = BY_CODE.iter().find(|(known, _)| *known == code) {
            return *kind;
        }
        let says = |text: &str| message.to_lowercase().contains(text);
        match status {
            400 | 409 if says("issuer and subject combination already exists") => {
                Self::AlreadyTrusted
            }
            404 if says("parent user-assigned identity") || says("ms graph resource not found") => {
                Self::ParentNotFound
            }
            // A 404 with any other code comes from a wrong address, not from an absent resource.
            404 if matches!(
                code,
                "ResourceNotFound" | "ResourceGroupNotFound" | "NotFound"
            ) =>
            {
                Self::NotFound
            }
            202 | 204 => Self::Unfinished,
            401 => Self::Unauthenticated,
            // The message names the action that is missing.
            403 if says("microsoft.authorization/role") => Self::RolesForbidden,
            403 => Self::Forbidden,
            405 => Self::RegionUnsupported,
            409 => Self::Conflict,
            429 => Self::Throttled,
            408 | 500..=599 => Self::Unavailable,
            _ => Self::Invalid,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Throttled => "others use up the limit: run again later",
            Self::ConcurrentWrites => {
                "another writer is at this identity's credentials: run again when it is done"
            }
            Self::ParentNotFound => {
                "the identity is not visible to Azure yet: run again in some minutes"
            }
            Self::PrincipalNotFound => {
                "the identity's principal is not in the directory yet: run again in some minutes"
            }
            Self::Unavailable => "Azure is unwell: run again later",
            Self::NotFound => "it is not there (any more): run again",
            Self::SubscriptionNotFound => {
                "check `subscription`, and that the signed-in identity has a role in it"
            }
            Self::Unauthenticated => "sign in again, in the subscription's tenant and cloud",
            Self::Forbidden => {
                "the signed-in identity needs Managed Identity Contributor on the resource group, \
                 and Contributor on the subscription if the group is to be made"
            }
            Self::RolesForbidden => {
                "to give roles the signed-in identity needs Role Based Access Control Administrator \
                 at that scope; or remove `roleAssignments` and have them given by who may"
            }
            Self::AlreadyAssigned => "the identity has the role there already",
            Self::PolicyDenied => "an Azure Policy forbids it: ask its owner for an exemption",
            Self::AlreadyTrusted => {
                "it was made under another name meanwhile: run again and it is adopted"
            }
            Self::RegionUnsupported => {
                "the identity's region has no federated credentials: choose another `resourceGroup.location`"
            }
            Self::ProviderNotRegistered => {
                "register it: az provider register --namespace Microsoft.ManagedIdentity"
            }
            Self::Locked => {
                "a lock forbids it: remove the lock, or have its owner do so, and run again"
            }
            Self::BeingDeleted => "it is being deleted: wait for the deletion and run again",
            Self::Elsewhere => {
                "it was made in another location meanwhile: run again and it is used as it is"
            }
            Self::Conflict => "its present state forbids it: change what Azure names and run again",
            Self::Unfinished => "Azure accepted it, but has not finished: run again",
            Self::Invalid => "the request is at fault: check the config and --arm-url",
        }
    }
}

impl Failure {
    pub(super) fn new(
        operation: String,
        status: u16,
        detail: ErrorDetail,
        correlation_id: String,
        retry_after: Option<Duration>,
    ) -> Self {
        Self {
            operation,
            kind: FailureKind::of(status, &detail.code, &detail.message),
            status,
            code: detail.code,
            message: detail.message,
            correlation_id,
            retry_after,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &str, other: &'static str| match text {
            "" => other.to_owned(),
            _ => text.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        write!(
            f,
            "{}: {} {}: {} (correlation id {})",
            self.operation,
            self.status,
            or(&self.code, "no error code"),
            or(&self.message, "no message"),
            self.correlation_id,
        )
    }
}

impl ArmError {
    /// What the refusal means, if it is one.
    #[must_use]
    pub fn kind(&self) -> Option<FailureKind> {
        match self {
            Self::Refused(failure) => Some(failure.kind),
            Self::SignIn(_)
            | Self::NoAnswer { .. }
            | Self::Unreadable { .. }
            | Self::ForeignPage { .. }
            | Self::EndlessList { .. } => None,
        }
    }

    /// The id by which Azure's support finds the call, if Azure answered it.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        match self {
            Self::Refused(failure) => Some(&failure.correlation_id),
            Self::Unreadable { correlation_id, .. } => Some(correlation_id),
            Self::SignIn(_)
            | Self::NoAnswer { .. }
            | Self::ForeignPage { .. }
            | Self::EndlessList { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BY_CODE;
    use super::FailureKind::{self, *};

    #[test]
    fn a_code_tells_the_kind_whatever_the_status() {
        for (code, kind) in BY_CODE {
            for status in [400, 403, 404, 409] {
                assert_eq!(FailureKind::of(status, code, ""), kind, "{status} {code}");
            }
        }
    }

    #[test]
    fn else_status_and_message_do() {
        let exists = "Issuer and subject combination already exists for this Managed Identity.";
        let parent = "The parent user-assigned identity doesn't exist.";
        let region = "Support for federated identity credentials not enabled.";
        let roles =
            "... to perform action 'Microsoft.Authorization/roleAssignments/write' over ...";
        let table = [
            (202, "", "", Unfinished),
            (204, "", "", Unfinished),
            (307, "", "", Invalid),
            (400, "BadRequest", "", Invalid),
            (400, "BadRequest", exists, AlreadyTrusted),
            (401, "ExpiredAuthenticationToken", "", Unauthenticated),
            (403, "AuthorizationFailed", "", Forbidden),
            (403, "AuthorizationFailed", roles, RolesForbidden),
            (404, "", "", Invalid),
            (
                404,
                "NotFound",
                "MS Graph resource not found",
                ParentNotFound,
            ),
            (404, "NotFound", parent, ParentNotFound),
            (404, "ResourceNotFound", "", NotFound),
            (404, "ResourceGroupNotFound", "", NotFound),
            (405, "MethodNotAllowed", region, RegionUnsupported),
            (408, "", "", Unavailable),
            (409, "Conflict", "", Conflict),
            (409, "Conflict", exists, AlreadyTrusted),
            (429, "TooManyRequests", "", Throttled),
            (503, "", "", Unavailable),
        ];
        for (status, code, message, kind) in table {
            let told = FailureKind::of(status, code, message);
            assert_eq!(told, kind, "{status} {code} {message}");
        }
    }
}
