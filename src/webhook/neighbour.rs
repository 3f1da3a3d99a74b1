//! azure-workload-identity beside us, installed by somebody or as the AKS add-on: both have one name.
//!
//! Both may serve a pod: what one added the other leaves as it is, and the sidecar is then the other's. So it is said
//! where operators look, and nothing else is done about it.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::Api;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;

use super::certificate::watched::{self, Watched};
use crate::names::REFERENCE_WEBHOOK;

/// Where the AKS add-on runs.
const ADD_ON: &str = "kube-system";

/// Says in the log and by `installed` whether it is there, whenever that changes, for ever.
pub async fn watch(client: kube::Client, installed: Gauge) {
    let seen = watch::Sender::new(Watched::Unknown);
    let told = tell(seen.subscribe(), installed);
    tokio::join!(
        watched::follow(Api::all(client), REFERENCE_WEBHOOK, seen),
        told
    );
}

async fn tell(mut seen: watch::Receiver<Watched<MutatingWebhookConfiguration>>, installed: Gauge) {
    let mut was = false;
    loop {
        let now = seen.borrow_and_update().clone();
        let is = now.present().is_some();
        installed.set(is.into());
        match now.present() {
            Some(object) if !was => tracing::warn!(
                "{} is installed too ({REFERENCE_WEBHOOK}): a pod labelled for it is served by both, \
                 and what one adds the other leaves as it is",
                whose(object)
            ),
            None if was => tracing::info!("{REFERENCE_WEBHOOK} is gone"),
            _ => {}
        }
        was = is;
        if seen.changed().await.is_err() {
            return;
        }
    }
}

fn whose(object: &MutatingWebhookConfiguration) -> &'static str {
    let mut clients = object.webhooks.iter().flatten().map(|it| &it.client_config);
    let of_add_on = |client: &k8s_openapi::api::admissionregistration::v1::WebhookClientConfig| {
        let service = client.service.as_ref();
        service.is_some_and(|service| service.namespace == ADD_ON)
    };
    match clients.any(of_add_on) {
        true => "AKS's workload identity add-on",
        false => "azure-workload-identity",
    }
}
