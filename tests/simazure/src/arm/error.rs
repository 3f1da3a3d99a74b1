//! Resource Manager's refusals: status, code and text of each.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// A refusal; the message is the error's `message`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    #[error("The api-version query parameter (?api-version=) is required for all requests.")]
    MissingApiVersion,
    #[error("The access token is invalid: {0}.")]
    InvalidToken(String),
    #[error("The access token has expired.")]
    ExpiredToken,
    #[error("The subscription '{0}' could not be found.")]
    SubscriptionNotFound(String),
    #[error("The simulation serves no resource at '{0}'.")]
    NotServed(String),
    #[error("The method '{0}' is not allowed for this resource.")]
    MethodNotAllowed(String),
    #[error("The request content was invalid and could not be deserialized: {0}.")]
    InvalidContent(String),
    #[error("The location property is required for this definition.")]
    LocationRequired,
    #[error("Resource group name '{0}' is invalid: it must have 1 to 90 characters.")]
    InvalidGroupName(String),
    #[error("Resource group '{0}' could not be found.")]
    GroupNotFound(String),
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
    #[error("The parent user-assigned identity doesn't exist: '{0}'.")]
    ParentNotFound(String),
    #[error("{0}")]
    Credential(#[from] super::credentials::Invalid),
    #[error("Issuer and subject combination already exists for this Managed Identity.")]
    DuplicateCredential,
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

    /// The error body.
    pub(crate) fn body(&self) -> Value {
        json!({"error": {"code": self.code(), "message": self.to_string()}})
    }

    fn facts(&self) -> (StatusCode, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const CONFLICT: StatusCode = StatusCode::CONFLICT;
        const NOT_FOUND: StatusCode = StatusCode::NOT_FOUND;
        const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
        match self {
            Refusal::MissingApiVersion => (BAD, "MissingApiVersionParameter"),
            Refusal::InvalidToken(_) => (UNAUTHORIZED, "InvalidAuthenticationToken"),
            Refusal::ExpiredToken => (UNAUTHORIZED, "ExpiredAuthenticationToken"),
            Refusal::SubscriptionNotFound(_) => (NOT_FOUND, "SubscriptionNotFound"),
            Refusal::NotServed(_) => (NOT_FOUND, "InvalidResourceType"),
            Refusal::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Refusal::InvalidContent(_) => (BAD, "InvalidRequestContent"),
            Refusal::LocationRequired => (BAD, "LocationRequired"),
            Refusal::InvalidGroupName(_) => (BAD, "InvalidResourceGroup"),
            Refusal::GroupNotFound(_) => (NOT_FOUND, "ResourceGroupNotFound"),
            Refusal::GroupLocation { .. } => (CONFLICT, "InvalidResourceGroupLocation"),
            Refusal::ResourceNotFound { .. } => (NOT_FOUND, "ResourceNotFound"),
            Refusal::ResourceLocation { .. } => (CONFLICT, "InvalidResourceLocation"),
            Refusal::ParentNotFound(_) => (NOT_FOUND, "ParentResourceNotFound"),
            Refusal::Credential(_) => (BAD, "BadRequest"),
            Refusal::DuplicateCredential => (CONFLICT, "Conflict"),
        }
    }
}
