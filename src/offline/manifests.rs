//! The arguments that offline commands share, and the files behind them.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::context::Context;
use super::documents::{self, Document};
use crate::inject::Flags;

/// The manifests a command works on.
#[derive(Debug, Args)]
pub struct Manifests {
    /// Manifests: any number of YAML or JSON documents; `-` is standard input. May be given more than once
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    filenames: Vec<PathBuf>,
}

/// What the manifests don't hold but their pods depend on. Comes last: its heading in the help holds for what follows.
#[derive(Debug, Args)]
pub struct Beside {
    /// A file of ServiceAccounts that the manifests don't hold
    #[arg(long, env = "SERVICE_ACCOUNT_FILE", value_name = "FILE")]
    service_account: Option<PathBuf>,
    /// A file of Namespaces that the manifests don't hold
    #[arg(long, env = "NAMESPACE_FILE", value_name = "FILE")]
    namespace: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

impl Manifests {
    /// The documents of all files.
    ///
    /// # Errors
    /// When a file can't be read or holds no YAML.
    pub fn read(&self) -> anyhow::Result<Vec<Document>> {
        let documents: Result<Vec<_>, _> = self.filenames.iter().map(|file| read(file)).collect();
        Ok(documents?.concat())
    }
}

impl Beside {
    /// What is known beside the pods of these manifests.
    ///
    /// # Errors
    /// When a file can't be read or holds no YAML.
    pub fn context(&self, manifests: &[Document]) -> anyhow::Result<Context> {
        let files = [&self.service_account, &self.namespace];
        let beside: Result<Vec<_>, _> =
            files.into_iter().flatten().map(|file| read(file)).collect();
        let documents = beside?.concat();
        let documents = manifests.iter().chain(&documents);
        let values = documents.map(|document| &document.value);
        Ok(Context::of(values, self.flags.defaults(true)))
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<Document>> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("standard input")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    }
    Ok(documents::parse(&file.display().to_string(), &text)?)
}
