//! Sign-in to Azure Resource Manager, by the azure_identity crate, chosen by the environment as the SDKs choose.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::http::{
    AsyncRawResponse, ClientOptions, HttpClient, Request, Transport as AzureTransport,
};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use clap::ValueEnum;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::arm::Transport;
use crate::names::{
    AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID, IDENTITY_ENDPOINT,
};

const AZURE_CLIENT_SECRET: &str = "AZURE_CLIENT_SECRET";

/// Which sign-in is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SignIn {
    /// The first whose variables are set, in the order below; else the az CLI.
    #[default]
    Auto,
    /// AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID, AZURE_CLIENT_ID.
    WorkloadIdentity,
    /// AZURE_CLIENT_SECRET, AZURE_TENANT_ID, AZURE_CLIENT_ID.
    ClientSecret,
    /// The machine's managed identity; AZURE_CLIENT_ID picks a user-assigned one.
    ManagedIdentity,
    /// What `az login` signed in.
    AzureCli,
}

/// A sign-in with all it needs.
#[derive(Debug)]
pub enum Method {
    /// A pod's projected token.
    WorkloadIdentity {
        /// The identity's tenant.
        tenant_id: String,
        /// The identity.
        client_id: String,
        /// The projected token.
        token_file: PathBuf,
    },
    /// An application's secret.
    ClientSecret {
        /// The application's tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret; not printed by Debug.
        secret: Secret,
    },
    /// The machine's identity.
    ManagedIdentity {
        /// A user-assigned one; else the system-assigned.
        client_id: Option<String>,
    },
    /// The az CLI's login.
    AzureCli,
}

/// No token for ARM.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// A variable that the sign-in needs is absent.
    #[error("sign-in by {method}: {variable} is not set")]
    MissingVariable {
        /// The sign-in.
        method: &'static str,
        /// The variable.
        variable: &'static str,
    },
    /// The sign-in can't be set up.
    #[error("sign-in by {method}: {reason}")]
    Unusable {
        /// The sign-in.
        method: String,
        /// Why.
        reason: String,
    },
    /// Entra, the machine or the az CLI gave no token.
    #[error("sign-in: {reason}")]
    Refused {
        /// Why, in one line.
        reason: String,
    },
    /// Nobody answers.
    #[error(
        "sign-in: no token within {}s; see whether Entra, the managed identity's endpoint or `az account get-access-token` answers here",
        PATIENCE.as_secs()
    )]
    Silent,
}

/// How long a token is waited for: the libraries try again for minutes, and a hanging `az` never ends.
const PATIENCE: Duration = Duration::from_secs(60);

impl SignIn {
    /// Settles the method from `variable`, which reads the environment.
    ///
    /// # Errors
    /// When a variable of the wanted method is absent.
    pub fn method(self, variable: impl Fn(&str) -> Option<String>) -> Result<Method, SignInError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let choice = match self {
            Self::Auto if set(AZURE_FEDERATED_TOKEN_FILE).is_some() => Self::WorkloadIdentity,
            Self::Auto if set(AZURE_CLIENT_SECRET).is_some() => Self::ClientSecret,
            Self::Auto if set(IDENTITY_ENDPOINT).is_some() => Self::ManagedIdentity,
            Self::Auto => Self::AzureCli,
            choice => choice,
        };
        let need = |method: &'static str, variable: &'static str| {
            set(variable).ok_or(SignInError::MissingVariable { method, variable })
        };
        Ok(match choice {
            Self::WorkloadIdentity => Method::WorkloadIdentity {
                tenant_id: need("workload identity", AZURE_TENANT_ID)?,
                client_id: need("workload identity", AZURE_CLIENT_ID)?,
                token_file: need("workload identity", AZURE_FEDERATED_TOKEN_FILE)?.into(),
            },
            Self::ClientSecret => Method::ClientSecret {
                tenant_id: need("client secret", AZURE_TENANT_ID)?,
                client_id: need("client secret", AZURE_CLIENT_ID)?,
                secret: need("client secret", AZURE_CLIENT_SECRET)?.into(),
            },
            Self::ManagedIdentity => Method::ManagedIdentity {
                client_id: set(AZURE_CLIENT_ID),
            },
            Self::Auto | Self::AzureCli => Method::AzureCli,
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkloadIdentity { client_id, .. } => {
                write!(f, "workload identity (client {client_id})")
            }
            Self::ClientSecret { client_id, .. } => {
                write!(f, "client secret (client {client_id})")
            }
            Self::ManagedIdentity {
                client_id: Some(client_id),
            } => write!(f, "managed identity (client {client_id})"),
            Self::ManagedIdentity { client_id: None } => {
                f.write_str("managed identity (system-assigned)")
            }
            Self::AzureCli => f.write_str("az CLI"),
        }
    }
}

/// The credential of `method`. Entra is asked at `authority_host`; the az CLI for the tenant of `subscription`.
///
/// # Errors
/// When a value is malformed or the token file can't be read.
pub fn credential(
    method: Method,
    authority_host: &Url,
    subscription: Uuid,
    transport: Arc<dyn HttpClient>,
) -> Result<Arc<dyn TokenCredential>, SignInError> {
    let name = method.to_string();
    let unusable = |reason: String| SignInError::Unusable {
        method: name.clone(),
        reason,
    };
    let client_options = client_options(authority_host, transport);
    let made = match method {
        Method::WorkloadIdentity {
            tenant_id,
            client_id,
            token_file,
        } => WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
            credential_options: ClientAssertionCredentialOptions { client_options },
            client_id: Some(client_id),
            tenant_id: Some(tenant_id),
            token_file_path: Some(token_file),
        }))
        .map(|credential| credential as Arc<dyn TokenCredential>),
        Method::ClientSecret {
            tenant_id,
            client_id,
            secret,
        } => {
            let options = ClientSecretCredentialOptions { client_options };
            ClientSecretCredential::new(&tenant_id, client_id, secret, Some(options))
                .map(|credential| credential as Arc<dyn TokenCredential>)
        }
        Method::ManagedIdentity { client_id } => {
            let direct = Transport::direct().map_err(|error| unusable(error.to_string()))?;
            ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.map(UserAssignedId::ClientId),
                client_options: self::client_options(authority_host, Arc::new(direct)),
            }))
            .map(|credential| credential as Arc<dyn TokenCredential>)
        }
        Method::AzureCli => AzureCliCredential::new(Some(AzureCliCredentialOptions {
            subscription: Some(subscription.to_string()),
            ..AzureCliCredentialOptions::default()
        }))
        .map(|credential| credential as Arc<dyn TokenCredential>),
    };
    made.map_err(|error| unusable(one_line(&error)))
}

/// A token for `scope`.
///
/// # Errors
/// When the credential gives none; the message is one line.
pub async fn token(
    credential: &dyn TokenCredential,
    scope: &str,
) -> Result<AccessToken, SignInError> {
    let token = tokio::time::timeout(PATIENCE, credential.get_token(&[scope], None)).await;
    let token = token.map_err(|_| SignInError::Silent)?;
    token.map_err(|error| SignInError::Refused {
        reason: one_line(&error),
    })
}

/// Makes Entra's refusals readable for azure_identity 1.0, which fails on an escape in `error_description` and then
/// tells a person about JSON instead of the AADSTS code.
#[derive(Debug)]
struct PlainErrors(Arc<dyn HttpClient>);

type Reply<'a> = Pin<Box<dyn Future<Output = azure_core::Result<AsyncRawResponse>> + Send + 'a>>;

impl HttpClient for PlainErrors {
    fn execute_request<'a, 'b, 'c>(&'a self, request: &'b Request) -> Reply<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let response = self.0.execute_request(request).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let (status, headers, body) = response.try_into_raw_response().await?.deconstruct();
            if status.is_server_error() {
                // The crate goes on for up to half a minute without a word.
                let server = request.url().origin().ascii_serialization();
                tracing::warn!("sign-in: {server} answered {status}");
            }
            let body = without_escapes(&body).unwrap_or_else(|| body.to_vec());
            Ok(AsyncRawResponse::from_bytes(status, headers, body))
        })
    }
}

fn without_escapes(body: &[u8]) -> Option<Vec<u8>> {
    let mut body: Value = serde_json::from_slice(body).ok()?;
    let description = body.get_mut("error_description")?;
    let plain = description.as_str()?.replace('"', "'").replace('\\', "/");
    *description = plain
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .into();
    serde_json::to_vec(&body).ok()
}

fn client_options(authority_host: &Url, transport: Arc<dyn HttpClient>) -> ClientOptions {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = authority_host.to_string();
    ClientOptions {
        transport: Some(AzureTransport::new(Arc::new(PlainErrors(transport)))),
        cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
        ..ClientOptions::default()
    }
}

// The crate's errors span lines and end in a link to its own manual.
fn one_line(error: &azure_core::Error) -> String {
    error
        .to_string()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("To troubleshoot"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::SignIn;

    #[test]
    fn choice_by_environment() {
        let federated = [
            ("AZURE_FEDERATED_TOKEN_FILE", "/f"),
            ("AZURE_TENANT_ID", "t"),
            ("AZURE_CLIENT_ID", "c"),
        ];
        let secret = [
            ("AZURE_CLIENT_SECRET", "s"),
            ("AZURE_TENANT_ID", "t"),
            ("AZURE_CLIENT_ID", "c"),
        ];
        type Variables = [(&'static str, &'static str)];
        let table: [(&str, SignIn, &Variables, &str); 9] = [
            ("nothing", SignIn::Auto, &[], "az CLI"),
            (
                "federated",
                SignIn::Auto,
                &federated,
                "workload identity (client c)",
            ),
            ("secret", SignIn::Auto, &secret, "client secret (client c)"),
            (
                "app service",
                SignIn::Auto,
                &[("IDENTITY_ENDPOINT", "http://x")],
                "managed identity (system-assigned)",
            ),
            (
                "asked for, by client",
                SignIn::ManagedIdentity,
                &[("AZURE_CLIENT_ID", "c")],
                "managed identity (client c)",
            ),
            (
                "asked for over the environment",
                SignIn::AzureCli,
                &federated,
                "az CLI",
            ),
            (
                "empty is unset",
                SignIn::Auto,
                &[("AZURE_CLIENT_SECRET", "")],
                "az CLI",
            ),
            (
                "half a secret",
                SignIn::Auto,
                &secret[..1],
                "sign-in by client secret: AZURE_TENANT_ID is not set",
            ),
            (
                "half a federation",
                SignIn::WorkloadIdentity,
                &federated[1..],
                "sign-in by workload identity: AZURE_FEDERATED_TOKEN_FILE is not set",
            ),
        ];
        for (name, wanted, variables, said) in table {
            let method = wanted.method(|key| {
                variables
                    .iter()
                    .find(|(name, _)| *name == key)
                    .map(|(_, value)| (*value).to_owned())
            });
            let heard = match &method {
                Ok(method) => method.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(heard, said, "{name}");
            assert!(
                !format!("{method:?}").contains("\"s\""),
                "{name}: secret in Debug"
            );
        }
    }
}
