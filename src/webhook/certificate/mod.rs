//! The serving certificate: where it comes from, and when it may change.
//!
//! ```text
//! files::follow ──────────────> offered pair ──┐
//! Secret -secret-> Kept ──────> offered pair ──┴─ serving: resolver of the listener, readiness, gauges
//!    ^                                         │
//!    └── keeper (leader by lease) <- rotation::next (pure) <- Kept, Configuration, replicas' answers
//! MutatingWebhookConfiguration -trust-> Configuration ──┘ (whether API servers believe a pair)
//! ```

pub mod authority;
pub mod files;
pub mod keeper;
pub mod lease;
pub mod pair;
pub mod replicas;
pub mod rotation;
pub mod secret;
pub mod serving;
pub mod trust;
pub mod watched;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use clap::{Args as ClapArgs, ValueEnum};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::keeper::Keeper;
use self::lease::Candidate;
use self::pair::Pair;
use self::serving::{Decider, Gauges, Serving};
use self::watched::Watched;
use super::ready::Readiness;
use crate::names::{CERTIFICATES, SYSTEM_NAMESPACE, WEBHOOK};

/// Flags of the certificate.
#[derive(Debug, ClapArgs)]
#[group(skip)]
pub struct Args {
    /// Where the serving certificate comes from
    #[arg(long, env = "WEBHOOK_CERTS", value_enum, default_value_t)]
    certs: Source,
    /// Folder of tls.crt and tls.key, with --certs files; followed when they change [default: /certs]
    #[arg(long, env = "WEBHOOK_CERT_DIR", value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// PEM file of authorities: only clients with a certificate of theirs are answered, as API servers can be given one
    #[arg(long, env = "WEBHOOK_CLIENT_CA", value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// The namespace of the webhook's Service, Secret and Lease
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME", default_value = SYSTEM_NAMESPACE)]
    namespace: String,
}

/// Where the serving certificate comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// Made and rotated by the webhook itself, in the Secret identity-injector-certs
    #[default]
    #[value(name = "self")]
    Own,
    /// Files that something else makes: --cert-dir
    Files,
}

/// The certificate, before anything listens.
pub struct Certificate {
    serving: Arc<Serving>,
    clients: Arc<dyn ClientCertVerifier>,
    /// The folder and what it holds; none where the webhook makes its own.
    files: Option<(PathBuf, Pair)>,
    namespace: String,
}

/// What goes on while the webhook runs.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Args {
    /// What is wrong with the flags together.
    #[must_use]
    pub fn contradiction(&self) -> Option<anyhow::Error> {
        let wrong = self.certs == Source::Own && self.cert_dir.is_some();
        wrong.then(|| anyhow!("--cert-dir (WEBHOOK_CERT_DIR) needs --certs files"))
    }
}

/// Reads the files there are.
///
/// # Errors
/// When a file can't be used.
pub async fn read(args: Args) -> anyhow::Result<Certificate> {
    let files = match (args.certs, args.cert_dir) {
        (Source::Own, _) => None,
        (Source::Files, directory) => {
            let directory = directory.unwrap_or_else(|| "/certs".into());
            let pair = files::read(&directory).await.context("--cert-dir")?;
            pair.certified().context("--cert-dir")?;
            Some((directory, pair))
        }
    };
    let clients = match &args.client_ca {
        None => pair::clients(None)?,
        Some(path) => {
            let place = path.display().to_string();
            let bytes = tokio::fs::read(path).await;
            let bytes = bytes.with_context(|| format!("--client-ca {place}"))?;
            pair::clients(Some((&place, &bytes))).context("--client-ca")?
        }
    };
    Ok(Certificate {
        serving: Arc::default(),
        clients,
        files,
        namespace: args.namespace,
    })
}

impl Certificate {
    /// What the listener needs; it asks for the certificate at each handshake.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, pair::Error> {
        pair::server_config(self.serving.clone(), self.clients.clone())
    }

    /// What follows, serves and, where it is our own, makes the certificate.
    #[must_use]
    pub fn tasks(
        self,
        client: kube::Client,
        readiness: &Readiness,
        gauges: Gauges,
        shutdown: &CancellationToken,
    ) -> Vec<Task> {
        let configurations = watch::Sender::new(Watched::Unknown);
        let configuration = configurations.subscribe();
        let (first, directory) = match self.files {
            Some((directory, pair)) => (Some(pair), Some(directory)),
            None => (None, None),
        };
        let offers = watch::Sender::new(first);
        let decider = Decider {
            serving: self.serving.clone(),
            offered: offers.subscribe(),
            configuration: configuration.clone(),
            needs_configuration: directory.is_none(),
            certificate: Some(readiness.pending("certificate")),
            bundle: Some(readiness.pending("ca-bundle")),
            held: None,
            readiness: readiness.clone(),
            gauges,
        };
        let mut tasks: Vec<Task> = vec![
            Box::pin(decider.decide()),
            Box::pin(watched::follow(
                Api::all(client.clone()),
                WEBHOOK,
                configurations,
            )),
        ];
        if let Some(directory) = directory {
            tasks.push(Box::pin(files::follow(directory, offers, files::POLL)));
            return tasks;
        }
        let secrets = watch::Sender::new(Watched::Unknown);
        let leads = watch::Sender::new(false);
        let keeper = Keeper {
            client: client.clone(),
            namespace: self.namespace.clone(),
            secret: secrets.subscribe(),
            configuration,
            leads: leads.subscribe(),
            serving: self.serving,
        };
        let candidate = Candidate {
            api: Api::namespaced(client.clone(), &self.namespace),
            name: WEBHOOK,
            us: Uuid::new_v4().to_string(),
        };
        let secret = Api::namespaced(client, &self.namespace);
        tasks.push(Box::pin(offer(secrets.subscribe(), offers)));
        let (mut secret_known, mut configuration_known) =
            (keeper.secret.clone(), keeper.configuration.clone());
        let shutdown = shutdown.clone();
        tasks.push(Box::pin(async move {
            // Who does not see what there is to keep had better not be the keeper.
            let _ = secret_known.wait_for(Watched::is_known).await;
            let _ = configuration_known.wait_for(Watched::is_known).await;
            candidate.stand(leads, shutdown).await;
        }));
        tasks.push(Box::pin(keeper.keep()));
        tasks.push(Box::pin(watched::follow(secret, CERTIFICATES, secrets)));
        tasks
    }
}

/// Offers what the Secret holds. Where it is gone, what was offered stays.
async fn offer(mut secret: watch::Receiver<Watched<Secret>>, offers: watch::Sender<Option<Pair>>) {
    loop {
        let pair = secret
            .borrow_and_update()
            .present()
            .and_then(|it| secret::pair(it));
        if pair.is_some() {
            offers.send_replace(pair);
        }
        if secret.changed().await.is_err() {
            return;
        }
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}
