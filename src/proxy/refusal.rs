//! Requests the proxy does not serve, and how it says so.

use http::StatusCode;

use crate::names;

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Neither `Metadata: true` nor a secret header. SDKs probe with this very request and know the sentence.
    #[error("Required metadata header not specified")]
    NoHeader,
    /// A secret header with a value that isn't configured.
    #[error(
        "the X-IDENTITY-HEADER (or secret) header does not have the value of {}",
        names::IDENTITY_HEADER
    )]
    WrongHeader,
    /// The request came through another proxy, as a forged one would.
    #[error("requests with an X-Forwarded-For header are not served")]
    Forwarded,
    /// Not GET.
    #[error("only GET is served here")]
    Method,
    /// A path that is not plain.
    #[error("the path must be plain: no escapes, backslashes, semicolons, empty or dot segments")]
    OddPath,
    /// An identity path other than the token's.
    #[error("not served: under /metadata/identity there are oauth2/token and info alone")]
    NotServed,
    /// Another path, and passthrough is denied.
    #[error(
        "not served: the node's instance metadata is closed to this pod (imds-passthrough: deny)"
    )]
    PassthroughDenied,
    /// A forwarded request came back.
    #[error(
        "the proxy's own request to the instance metadata service came back to it: the redirect must exempt uid {}",
        names::PROXY_UID
    )]
    Loop,
    /// A parameter stands twice.
    #[error("the {0} parameter must not be given twice")]
    Twice(&'static str),
    /// Two ways of naming an identity.
    #[error("name the identity by one parameter only, not by both {0} and {1}")]
    SeveralIdentities(&'static str, &'static str),
    /// An id without a value, as an unset variable gives it.
    #[error("the {0} parameter is empty; leave it out to ask for the default identity")]
    EmptyId(&'static str),
    /// Nothing that can be a client id.
    #[error(
        "the client id must be at most 128 letters, digits, hyphens, full stops and underscores"
    )]
    ClientId,
    /// A resource id or object id without a client id.
    #[error(
        "Identity not found: no client id is known for {parameter} {value:?}; ask by client_id, or add it to the \
         ServiceAccount's {} annotation",
        names::RESOURCE_IDS
    )]
    UnknownIdentity {
        /// The parameter.
        parameter: &'static str,
        /// Its value.
        value: String,
    },
    /// No identity named and none configured.
    #[error("The client_id parameter or AZURE_CLIENT_ID environment variable must be set")]
    NoClientId,
    /// No resource.
    #[error("The resource parameter is required.")]
    NoResource,
    /// A resource that none can be.
    #[error("the resource parameter must be at most 2048 bytes long")]
    LongResource,
    /// An api-version that is no date.
    #[error("api-version {0:?} is no version; one is written as 2018-02-01")]
    ApiVersion(String),
}

impl Refusal {
    /// Every value of [`Refusal::error`].
    pub const ERRORS: [&str; 5] = [
        "unauthorized",
        "method_not_allowed",
        "not_found",
        "loop_detected",
        "invalid_request",
    ];

    /// HTTP status. 404 only where SDKs must conclude that the feature is not there, as they repeat it elsewhere.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::WrongHeader => StatusCode::UNAUTHORIZED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotServed | Self::PassthroughDenied => StatusCode::NOT_FOUND,
            Self::Loop => StatusCode::LOOP_DETECTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The value of `error` in the reply.
    #[must_use]
    pub fn error(&self) -> &'static str {
        match self {
            Self::WrongHeader => "unauthorized",
            Self::Method => "method_not_allowed",
            Self::NotServed | Self::PassthroughDenied => "not_found",
            Self::Loop => "loop_detected",
            _ => "invalid_request",
        }
    }
}
