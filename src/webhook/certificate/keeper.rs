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
/// More writes than a rotation needs in that time are a fight; then one each so often.
const MANY: usize = 30;
const LATELY: Duration = Duration::from_secs(60);
const CALM: Duration = Duration::from_secs(5);
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
    /// The old authority has to stay.
    #[error("{0} serves a leaf of an older authority, or does not answer: that authority stays")]
    Older(String),
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

/// What was written lately, and what was complained of last.
#[derive(Default)]
struct Memory {
    published: Published,
    writes: Vec<Instant>,
    complaint: Option<String>,
}

impl Keeper {
    /// Keeps, for ever, while it leads.
    pub async fn keep(mut self) {
        let mut memory = Memory::default();
        loop {
            let secret = self.secret.borrow_and_update().clone();
            let configuration = self.configuration.borrow_and_update().clone();
            let leads = *self.leads.borrow_and_update();
            let known = secret.is_known() && configuration.is_known();
            let rest = if leads && known {
                self.turn(&secret, &configuration, &mut memory).await
            } else {
                memory = Memory::default();
                Duration::MAX
            };
            if memory.is_fighting() {
                memory.complain(fight(&secret, &configuration));
                tokio::time::sleep(CALM).await;
            }
            tokio::select! {
                changed = self.secret.changed() => if changed.is_err() { return },
                changed = self.configuration.changed() => if changed.is_err() { return },
                changed = self.leads.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// One step, and how long to rest after it, where nothing changes.
    async fn turn(
        &self,
        secret: &Watched<Secret>,
        configuration: &Watched<MutatingWebhookConfiguration>,
        memory: &mut Memory,
    ) -> Duration {
        let kept = secret.present().map(|it| Kept::of(it)).unwrap_or_default();
        let live = configuration.present().map(|it| Configuration::of(it));
        match tokio::time::timeout(PATIENCE, self.step(&kept, live, memory)).await {
            Ok(Ok(rest)) => {
                let nonsense = secret.present().and_then(|it| secret::nonsense(it));
                memory.complaint = memory.complaint.take().filter(|_| nonsense.is_some());
                if let Some(nonsense) = nonsense {
                    memory.complain(nonsense);
                }
                rest
            }
            // Somebody was faster; of a JSON patch the test fails, which is a 422.
            Ok(Err(Error::Kubernetes(kube::Error::Api(status))))
                if [409, 422].contains(&status.code) =>
            {
                AGAIN
            }
            failed => {
                let error = failed.unwrap_or(Err(Error::Silence)).err();
                memory.complain(error.map(|error| error.to_string()).unwrap_or_default());
                AGAIN
            }
        }
    }

    /// Takes one step; says how long to rest after it, where nothing changes.
    async fn step(
        &self,
        kept: &Kept,
        live: Option<Configuration>,
        memory: &mut Memory,
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
            published: memory.published.authorities(kept, live.as_ref()),
            offered: memory.published.leaf(kept),
            served: served.as_ref(),
        };
        let now = now();
        match rotation::next(&seen, now) {
            Step::Rest(rest) => return Ok(rest),
            Step::Publish => self.publish(kept, live.as_ref()).await?,
            Step::Change(change) => self.change(kept, &change, &hosts, now).await?,
            Step::IfServed(change) => {
                self.all_serve(kept, &hosts).await?;
                self.change(kept, &change, &hosts, now).await?;
            }
        }
        memory.writes.push(Instant::now());
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

    /// Every replica serves every host by a leaf of the newest authority.
    async fn all_serve(&self, kept: &Kept, hosts: &[String]) -> Result<(), Error> {
        let newest = kept
            .signer
            .as_ref()
            .map(|signer| signer.certificate.clone());
        let newest: Vec<_> = newest.into_iter().collect();
        let ours = self
            .serving
            .pair()
            .and_then(|pair| pair.chain().ok())
            .unwrap_or_default();
        if !hosts
            .iter()
            .all(|host| trust::verifies(&ours, &newest, host, now()))
        {
            return Err(Error::Older("this replica".to_owned()));
        }
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &self.namespace);
        for address in replicas::addresses(&slices, WEBHOOK).await? {
            for host in hosts {
                if !replicas::serves(address, host, &newest).await {
                    return Err(Error::Older(format!("the replica at {}", address.0)));
                }
            }
        }
        Ok(())
    }
}

impl Memory {
    /// Whether there were more writes lately than any rotation needs: somebody undoes them.
    fn is_fighting(&mut self) -> bool {
        self.writes.retain(|write| write.elapsed() < LATELY);
        self.writes.len() > MANY
    }

    /// Says it, if it is not what was said last.
    fn complain(&mut self, complaint: String) {
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::warn!(
                reason = complaint,
                "the webhook's certificate can't be kept"
            );
            self.complaint = Some(complaint);
        }
    }
}

/// Who may be undoing what we write: the managers of both objects' fields.
fn fight(
    secret: &Watched<Secret>,
    configuration: &Watched<MutatingWebhookConfiguration>,
) -> String {
    let objects = [
        secret.present().map(|it| &it.metadata),
        configuration.present().map(|it| &it.metadata),
    ];
    let fields = objects
        .into_iter()
        .flatten()
        .flat_map(|it| &it.managed_fields)
        .flatten();
    let mut managers: Vec<_> = fields.filter_map(|it| it.manager.as_deref()).collect();
    managers.sort_unstable();
    managers.dedup();
    format!(
        "somebody undoes what it writes into Secret {CERTIFICATES} or caBundle; these write there: {}",
        managers.join(", ")
    )
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
