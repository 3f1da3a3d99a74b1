//! The one replica that makes certificates: it takes `rotation`'s steps, one write each, whenever something changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Patch, PatchParams};
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use tokio::sync::watch;

use super::authority::{self, Authority};
use super::rotation::{self, Change, Seen, Step};
use super::secret::{self, Kept};
use super::serving::Serving;
use super::trust::{self, Configuration};
use super::watched::Watched;
use super::{now, replicas};
use crate::names::{CERTIFICATES, FIELD_MANAGER, ROTATE, WEBHOOK};
use crate::reason::reason;

/// Before a step that failed, or a question that was answered with no, is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// No certificate.
    #[error(transparent)]
    Authority(#[from] authority::Error),
    /// No key.
    #[error("key: {0}")]
    Key(#[from] rcgen::Error),
    /// The API server does not take or give something.
    #[error("{}", reason(.0))]
    Kubernetes(#[from] kube::Error),
    /// The API server is silent.
    #[error("no answer within {}s", PATIENCE.as_secs())]
    Silence,
}

/// What a keeper needs.
pub struct Keeper {
    /// To the API server.
    pub client: kube::Client,
    /// Where the Secret is, and the Service.
    pub namespace: String,
    /// The Secret.
    pub secret: watch::Receiver<Watched<Secret>>,
    /// The MutatingWebhookConfiguration.
    pub configuration: watch::Receiver<Watched<MutatingWebhookConfiguration>>,
    /// Whether this replica is the one.
    pub leads: watch::Receiver<bool>,
    /// What it serves.
    pub serving: Arc<Serving>,
}

/// Since when the caBundles have been what is kept, and the leaf in the Secret what it is.
#[derive(Default)]
struct Published {
    authorities: Option<(Vec<CertificateDer<'static>>, Instant)>,
    leaf: Option<(Vec<u8>, Instant)>,
}

impl Keeper {
    /// Keeps, for ever, while it leads.
    pub async fn keep(mut self) {
        let mut published = Published::default();
        let mut last = None;
        loop {
            let secret = self.secret.borrow_and_update().clone();
            let configuration = self.configuration.borrow_and_update().clone();
            let leads = *self.leads.borrow_and_update();
            let known =
                !matches!(secret, Watched::Unknown) && !matches!(configuration, Watched::Unknown);
            let rest = if leads && known {
                let kept = secret.present().map(|it| Kept::of(it)).unwrap_or_default();
                let live = configuration.present().map(|it| Configuration::of(it));
                match tokio::time::timeout(PATIENCE, self.step(&kept, live, &mut published)).await {
                    Ok(Ok(rest)) => {
                        last = None;
                        rest
                    }
                    Ok(Err(Error::Kubernetes(kube::Error::Api(status)))) if status.code == 409 => {
                        AGAIN
                    }
                    failed => {
                        let error = failed.unwrap_or(Err(Error::Silence)).err();
                        let error = error.map(|error| error.to_string()).unwrap_or_default();
                        if last.as_ref() != Some(&error) {
                            tracing::warn!(error, "the webhook's certificate can't be kept");
                            last = Some(error);
                        }
                        AGAIN
                    }
                }
            } else {
                published = Published::default();
                Duration::MAX
            };
            tokio::select! {
                changed = self.secret.changed() => if changed.is_err() { return },
                changed = self.configuration.changed() => if changed.is_err() { return },
                changed = self.leads.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// Takes one step; says how long to rest after it, where nothing changes.
    async fn step(
        &self,
        kept: &Kept,
        live: Option<Configuration>,
        published: &mut Published,
    ) -> Result<Duration, Error> {
        let live = live.filter(|live| !live.entries.is_empty());
        let hosts = live.as_ref().map_or_else(
            || vec![trust::host_of_service(WEBHOOK, &self.namespace)],
            Configuration::hosts,
        );
        let served = self.serving.pair();
        let seen = Seen {
            kept,
            configuration: live.as_ref(),
            hosts: &hosts,
            published: published.authorities(kept, live.as_ref()),
            offered: published.leaf(kept),
            served: served.as_ref(),
        };
        let now = now();
        match rotation::next(&seen, now) {
            Step::Rest(rest) => return Ok(rest),
            Step::Publish => self.publish(kept, live.as_ref()).await?,
            Step::Change(change) => self.change(kept, &change, &hosts, now).await?,
            Step::IfServed(change) => {
                if self.all_serve(kept, &hosts).await? {
                    self.change(kept, &change, &hosts, now).await?;
                }
            }
        }
        Ok(AGAIN)
    }

    /// Writes the Secret, if it is still the one that was looked at.
    async fn change(
        &self,
        kept: &Kept,
        change: &Change,
        hosts: &[String],
        now: i64,
    ) -> Result<(), Error> {
        let made;
        let signer = match &kept.signer {
            Some(signer) if !change.authority => signer,
            _ => {
                made = Authority::new(KeyPair::generate()?, now)?;
                &made
            }
        };
        let mut authorities = vec![signer.certificate.clone()];
        authorities.extend(change.behind.iter().cloned());
        let (certificate, key) = match &change.leaf {
            Some(leaf) => (leaf.certificate.clone(), leaf.key.clone()),
            None => {
                let leaf = signer.leaf(hosts, &KeyPair::generate()?, now)?;
                (leaf.certificate.into_bytes(), leaf.key.into_bytes())
            }
        };
        let data = secret::data(&authorities, &signer.key(), (&certificate, &key));
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        match &kept.version {
            Some(version) => {
                let metadata = json!({"resourceVersion": version, "annotations": {ROTATE: null}});
                let patch = Patch::Merge(json!({"metadata": metadata, "data": data}));
                api.patch(CERTIFICATES, &PatchParams::default(), &patch)
                    .await?;
            }
            None => {
                // An apply makes what somebody deleted, with no right but for this one name.
                let metadata = json!({"name": CERTIFICATES});
                let patch = Patch::Apply(json!({
                    "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data,
                }));
                let params = PatchParams::apply(FIELD_MANAGER).force();
                api.patch(CERTIFICATES, &params, &patch).await?;
            }
        }
        let authorities = authorities.len();
        tracing::info!(wrote = change.why, authorities, "Secret {CERTIFICATES}");
        Ok(())
    }

    /// Writes caBundle where it is another one, if the object is still the one that was looked at.
    async fn publish(&self, kept: &Kept, live: Option<&Configuration>) -> Result<(), Error> {
        let Some(live) = live else { return Ok(()) };
        let bundle = k8s_openapi::ByteString(secret::pem(&kept.authorities).into_bytes());
        let mut operations =
            vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": live.version})];
        for (index, entry) in live.entries.iter().enumerate() {
            if trust::certificates(&entry.bundle) != kept.authorities {
                let path = format!("/webhooks/{index}/clientConfig/caBundle");
                operations.push(json!({"op": "add", "path": path, "value": bundle}));
            }
        }
        let patch: json_patch::Patch =
            serde_json::from_value(json!(operations)).unwrap_or_default();
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let patch: Patch<()> = Patch::Json(patch);
        api.patch(WEBHOOK, &PatchParams::default(), &patch).await?;
        let authorities = kept.authorities.len();
        tracing::info!(
            authorities,
            "caBundle of MutatingWebhookConfiguration {WEBHOOK}"
        );
        Ok(())
    }

    /// Whether every replica serves every host by a leaf of the newest authority.
    async fn all_serve(&self, kept: &Kept, hosts: &[String]) -> Result<bool, Error> {
        let Some(signer) = &kept.signer else {
            return Ok(false);
        };
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &self.namespace);
        let ours = self.serving.pair().and_then(|pair| pair.chain().ok());
        let newest = [signer.certificate.clone()];
        let serve = |host: &String| {
            let verified = ours
                .as_deref()
                .map(|ours| trust::verifies(ours, &newest, host, now()));
            verified == Some(true)
        };
        if !hosts.iter().all(serve) {
            return Ok(false);
        }
        for address in replicas::addresses(&slices, WEBHOOK).await? {
            for host in hosts {
                if !replicas::serves(address, host, signer.certificate.clone()).await {
                    tracing::debug!(%host, address = %address.0, "a replica serves an older leaf, or nothing");
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

impl Published {
    /// For how long `live` has had what is kept in each of its caBundles; none where it has not.
    fn authorities(&mut self, kept: &Kept, live: Option<&Configuration>) -> Option<Duration> {
        let has = |entry: &trust::Entry| trust::certificates(&entry.bundle) == kept.authorities;
        if !live.is_some_and(|live| live.entries.iter().all(has)) {
            self.authorities = None;
            return None;
        }
        Some(since(&mut self.authorities, kept.authorities.clone()))
    }

    /// For how long the leaf has been the one that is kept.
    fn leaf(&mut self, kept: &Kept) -> Duration {
        let leaf = kept.leaf.as_ref().map(|leaf| leaf.certificate.clone());
        since(&mut self.leaf, leaf.unwrap_or_default())
    }
}

/// For how long it has been that.
fn since<T: PartialEq>(seen: &mut Option<(T, Instant)>, now: T) -> Duration {
    let before = seen.take().filter(|(what, _)| *what == now);
    let (_, since) = seen.insert(before.unwrap_or_else(|| (now, Instant::now())));
    since.elapsed()
}
