//! One object, watched.

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use kube::Resource;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::reason::reason;

/// What is known of an object.
#[derive(Clone, Debug, Default)]
pub enum Watched<K> {
    /// Nothing yet.
    #[default]
    Unknown,
    /// There is none.
    Absent,
    /// This is it.
    Present(Arc<K>),
}

impl<K> Watched<K> {
    /// Whether it was looked for.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown)
    }

    /// The object, where it is there.
    pub fn present(&self) -> Option<&Arc<K>> {
        match self {
            Self::Present(object) => Some(object),
            Self::Unknown | Self::Absent => None,
        }
    }
}

/// Follows an object for ever. While the API server is away, what is known stays.
pub async fn follow<K>(api: Api<K>, name: &'static str, seen: watch::Sender<Watched<K>>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut objects = std::pin::pin!(watch_object(api, name).default_backoff());
    let mut failing = false;
    while let Some(object) = objects.next().await {
        match object {
            Ok(object) => {
                failing = false;
                seen.send_replace(object.map_or(Watched::Absent, |it| Watched::Present(it.into())));
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    let (kind, reason) = (K::kind(&()), reason(&error));
                    tracing::warn!(%kind, name, reason, "watch failed");
                }
            }
        }
    }
}
