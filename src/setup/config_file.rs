//! The config file as it is written: its fields, each text with the line it stands in.

use serde::Deserialize;
use serde_saphyr::Spanned;

/// A text, and the line it stands in.
pub(super) type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct File {
    pub(super) subscription: Text,
    pub(super) resource_group: FileGroup,
    pub(super) issuer: Spanned<FileIssuer>,
    pub(super) audience: Option<Text>,
    pub(super) identities: Spanned<Vec<FileIdentity>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileGroup {
    pub(super) name: Text,
    pub(super) location: Text,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "issuer: use auto, an https URL, or {aks: {resourceGroup: ..., name: ...}}"
)]
pub(super) enum FileIssuer {
    Text(String),
    Aks(FileAksIssuer),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileAksIssuer {
    pub(super) aks: FileAks,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FileAks {
    pub(super) resource_group: String,
    pub(super) name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FileIdentity {
    pub(super) name: Text,
    pub(super) service_accounts: Spanned<Vec<FileServiceAccount>>,
    #[serde(default)]
    pub(super) role_assignments: Vec<FileRole>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileServiceAccount {
    pub(super) namespace: Text,
    pub(super) name: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRole {
    pub(super) scope: Text,
    pub(super) role: Text,
}
