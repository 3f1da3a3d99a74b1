//! The one way to an API server: a kubeconfig file, or the pod's own service account.

use std::path::Path;

use kube::config::{Config, KubeConfigOptions, Kubeconfig};

/// No way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The named kubeconfig can't be used.
    #[error("kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// Neither KUBECONFIG, nor ~/.kube/config, nor a service account is there.
    #[error(
        "no API server known: give --kubeconfig FILE, or run in a pod with a service account ({0})"
    )]
    Infer(#[from] kube::config::InferConfigError),
    /// The client can't be built.
    #[error("API server client: {0}")]
    Client(#[from] kube::Error),
}

/// A client from `kubeconfig`, else from KUBECONFIG or ~/.kube/config, else from the pod.
///
/// # Errors
/// When none of these is there or one can't be read.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<kube::Client, Error> {
    let config = match kubeconfig {
        Some(path) => {
            let unusable = |source| Error::Kubeconfig {
                path: path.display().to_string(),
                source,
            };
            let file = Kubeconfig::read_from(path).map_err(unusable)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(unusable)?
        }
        None => Config::infer().await?,
    };
    Ok(kube::Client::try_from(config)?)
}
