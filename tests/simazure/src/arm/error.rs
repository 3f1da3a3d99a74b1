//! Resource Manager's refusals: status, code and text of each.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// A refusal; the message is the error's `message`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    #[error("The api-version query parameter (?api-version=) is required for all requests.")]
    MissingApiVersion,
    #[error("The query parameter '{0}' has the invalid value '{1}'.")]
    InvalidQuery(&'static str, String),
    #[error("The access token is invalid: {0}.")]
    InvalidToken(String),
    #[error("The access token has expired.")]
    ExpiredToken,
    #[error("Number of requests exceeded the limit of {0}. Please try again after {1} seconds.")]
    TooManyRequests(&'static str, u64),
    #[error("The subscription '{0}' could not be found.")]
    SubscriptionNotFound(String),
    #[error("The subscription is not registered to use namespace '{0}'.")]
    NotRegistered(&'static str),
    #[error("The resource namespace '{0}' is invalid.")]
    ProviderNotFound(String),
    #[error("The simulation serves no resource at '{0}'.")]
    NotServed(String),
    #[error("The method '{0}' is not allowed for this resource.")]
    MethodNotAllowed(String),
    #[error("The request content was invalid and could not be deserialized: {0}.")]
    InvalidContent(String),
    #[error("The location property is required for this definition.")]
    LocationRequired,
    #[error("The operation '{0}' could not be found.")]
    OperationNotFound(String),
    #[error("Resource group name '{0}' is invalid: it must have 1 to 90 characters.")]
    InvalidGroupName(String),
    #[error("Resource group '{0}' could not be found.")]
    GroupNotFound(String),
    #[error(
        "The resource group '{0}' is in deprovisioning state and cannot perform this operation."
    )]
    GroupBeingDeleted(String),
    #[error(
        "Invalid resource group location '{asked}'. The Resource group already exists in location '{actual}'."
    )]
    GroupLocation { asked: String, actual: String },
    #[error("The Resource '{resource}' under resource group '{group}' was not found.")]
    ResourceNotFound { resource: String, group: String },
    #[error(
        "The resource '{name}' already exists in location '{actual}' in resource group '{group}'. A resource with the same name cannot be created in location '{asked}'."
    )]
    ResourceLocation {
        name: String,
        group: String,
        asked: String,
        actual: String,
    },
    #[error("The value '{0}' of property '{1}' is invalid: {2}.")]
    InvalidProperty(String, &'static str, &'static str),
    #[error("The parent user-assigned identity doesn't exist: '{0}'.")]
    ParentNotFound(String),
    #[error("{0}")]
    Credential(#[from] super::credentials::Invalid),
    #[error("Issuer and subject combination already exists for this Managed Identity.")]
    DuplicateCredential,
    #[error("Support for federated identity credentials not enabled.")]
    CredentialsNotEnabled,
    #[error(
        "Too many Federated Identity Credentials are written concurrently for the managed identity '{0}'. Concurrent Federated Identity Credentials writes under the same managed identity are not supported."
    )]
    ConcurrentCredentialWrites(String),
    #[error("The etag '{asked}' does not match the resource's, '{actual}'.")]
    EtagMismatch { asked: String, actual: String },
    #[error("Operation is not allowed: another operation on '{0}' is in progress.")]
    ClusterBusy(String),
    #[error("{0}")]
    Role(#[from] super::roles::Invalid),
}

impl Refusal {
    /// The `code` of the error body.
    pub(crate) fn code(&self) -> &'static str {
        self.facts().1
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        self.facts().0
    }

    /// Seconds to wait before the next try, where it says so.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Refusal::TooManyRequests(_, seconds) => Some(*seconds),
            _ => None,
        }
    }

    /// The error body.
    pub(crate) fn body(&self) -> Value {
        json!({"error": {"code": self.code(), "message": self.to_string()}})
    }

    fn facts(&self) -> (StatusCode, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const CONFLICT: StatusCode = StatusCode::CONFLICT;
        const NOT_FOUND: StatusCode = StatusCode::NOT_FOUND;
        const NOT_ALLOWED: StatusCode = StatusCode::METHOD_NOT_ALLOWED;
        const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
        match self {
            Refusal::MissingApiVersion => (BAD, "MissingApiVersionParameter"),
            Refusal::InvalidQuery(..) => (BAD, "InvalidQueryParameter"),
            Refusal::InvalidToken(_) => (UNAUTHORIZED, "InvalidAuthenticationToken"),
            Refusal::ExpiredToken => (UNAUTHORIZED, "ExpiredAuthenticationToken"),
            Refusal::TooManyRequests(..) => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
            Refusal::SubscriptionNotFound(_) => (NOT_FOUND, "SubscriptionNotFound"),
            Refusal::NotRegistered(_) => (CONFLICT, "MissingSubscriptionRegistration"),
            Refusal::ProviderNotFound(_) => (NOT_FOUND, "InvalidResourceNamespace"),
            Refusal::NotServed(_) => (NOT_FOUND, "InvalidResourceType"),
            Refusal::MethodNotAllowed(_) => (NOT_ALLOWED, "MethodNotAllowed"),
            Refusal::InvalidContent(_) => (BAD, "InvalidRequestContent"),
            Refusal::LocationRequired => (BAD, "LocationRequired"),
            Refusal::OperationNotFound(_) => (NOT_FOUND, "OperationNotFound"),
            Refusal::InvalidGroupName(_) => (BAD, "InvalidResourceGroup"),
            Refusal::GroupNotFound(_) => (NOT_FOUND, "ResourceGroupNotFound"),
            Refusal::GroupBeingDeleted(_) => (CONFLICT, "ResourceGroupBeingDeleted"),
            Refusal::GroupLocation { .. } => (CONFLICT, "InvalidResourceGroupLocation"),
            Refusal::ResourceNotFound { .. } => (NOT_FOUND, "ResourceNotFound"),
            Refusal::ResourceLocation { .. } => (CONFLICT, "InvalidResourceLocation"),
            Refusal::InvalidProperty(..) => (BAD, "InvalidParameter"),
            Refusal::ParentNotFound(_) => (NOT_FOUND, "ParentResourceNotFound"),
            Refusal::Credential(_) => (BAD, "BadRequest"),
            Refusal::DuplicateCredential => (CONFLICT, "Conflict"),
            Refusal::CredentialsNotEnabled => (NOT_ALLOWED, "MethodNotAllowed"),
            Refusal::ConcurrentCredentialWrites(_) => (
                CONFLICT,
                "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
            ),
            Refusal::EtagMismatch { .. } => (StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
            Refusal::ClusterBusy(_) => (CONFLICT, "OperationNotAllowed"),
            Refusal::Role(invalid) => invalid.facts(),
        }
    }
}
