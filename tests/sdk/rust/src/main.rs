//! azure_identity: token CREDENTIAL RESOURCE [CLIENT_ID]

use std::time::Instant;

use azure_core::credentials::TokenCredential;
use azure_identity::{ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let start = Instant::now();
    let outcome = token(&arguments[2], arguments.get(3).cloned()).await;
    let milliseconds = u64::try_from(start.elapsed().as_millis()).expect("a short time");
    let answer = match outcome {
        Ok(token) => json!({"version": version(), "token": token, "milliseconds": milliseconds}),
        Err(error) => {
            json!({"version": version(), "error": error.to_string(), "milliseconds": milliseconds})
        }
    };
    println!("{answer}");
}

async fn token(resource: &str, client_id: Option<String>) -> azure_core::Result<String> {
    let options = ManagedIdentityCredentialOptions {
        user_assigned_id: client_id.map(UserAssignedId::ClientId),
        ..Default::default()
    };
    let credential = ManagedIdentityCredential::new(Some(options))?;
    let token = credential
        .get_token(&[&format!("{resource}/.default")], None)
        .await?;
    Ok(token.token.secret().to_owned())
}

/// The crate's version, as it was built in.
fn version() -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let (_, after) = lock
        .split_once("name = \"azure_identity\"\nversion = \"")
        .expect("azure_identity is locked");
    after.split_once('"').expect("its version is quoted").0
}
