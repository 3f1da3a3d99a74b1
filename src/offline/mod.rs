//! The `offline` command.

use clap::Args as ClapArgs;
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// Arguments of `offline`.
#[derive(Debug, ClapArgs)]
pub struct Args {}

/// Runs the command until `shutdown`.
///
/// # Errors
/// When it can't do its work.
#[allow(
    clippy::unused_async,
    clippy::needless_pass_by_value,
    reason = "filled in next"
)]
pub async fn run(_args: Args, _shutdown: CancellationToken) -> anyhow::Result<Exit> {
    anyhow::bail!("not built yet")
}
