//! The offline commands: the engine of the webhook on manifests, with no cluster.

mod context;
mod documents;
pub mod explain;
pub mod inject;
mod manifests;
mod note;
mod object;
mod patched;
pub mod uninject;
mod workload;
