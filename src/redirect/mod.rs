//! The `redirect` command: sends the pod's own traffic for 169.254.169.254:80 to the proxy, and proves that it does.
//!
//! **IPv4 only.** Azure's instance metadata service has an IPv4 address and no other, so no IPv6 packet is ever meant for
//! it; `::ffff:169.254.169.254` on an IPv6 socket leaves as IPv4 and is redirected. A pod without a route to the address,
//! such as one with IPv6 alone, fails at connect, before any rule could help: that is an error, which names `env`.
//!
//! **No way around nf_tables.** 169.254.169.254 on the loopback interface would need no rule, but takes the node's IMDS
//! from the proxy, port 80 from an unprivileged process where the runtime does not allow that, and port 81 and all
//! others of the address from the pod. Where nf_tables is missing, `env` needs neither kernel nor capability.
//!
//! Only what connects later is redirected, so this runs before anything else of the pod does.

use std::net::{Ipv4Addr, SocketAddrV4};

use clap::Args as ClapArgs;
use tracing::info;

use crate::exit::Exit;
use crate::names;
use crate::redirect::rules::Redirect;
use crate::redirect::witness::Witness;

mod error;
mod netlink;
mod rules;
mod witness;

pub use error::Error;

/// Where every Azure node has its instance metadata service.
const IMDS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 169, 254), 80);

/// Arguments of `redirect`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// The proxy's port, at 127.0.0.1
    #[arg(
        long,
        env = "PROXY_PORT",
        default_value_t = names::DEFAULT_PROXY_PORT,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub port: u16,
    /// User whose traffic still reaches the node's instance metadata service: the proxy's
    #[arg(
        long,
        env = "PROXY_UID",
        value_name = "UID",
        default_value_t = names::PROXY_UID as u32,
        value_parser = clap::value_parser!(u32).range(..i64::from(u32::MAX))
    )]
    pub exempt_uid: u32,
    /// Redirect every user's traffic, the proxy's too
    #[arg(long, env = "REDIRECT_NO_EXEMPT", conflicts_with = "exempt_uid")]
    pub no_exempt: bool,
    /// Take the redirect away; done, too, where there is none
    #[arg(long, env = "REDIRECT_REMOVE")]
    pub remove: bool,
}

/// Sets the redirect and proves it, or takes it away. What can't be proven is taken away again.
///
/// # Errors
/// When the kernel refuses, or what is sent to the instance metadata service does not arrive at the proxy's port.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    if args.remove {
        netlink::commit(&rules::removal())?;
        info!(table = rules::TABLE, "no redirect");
        return Ok(Exit::Done);
    }
    let redirect = args.redirect();
    let user = rustix::process::geteuid().as_raw();
    if redirect.exempt == Some(user) {
        return Err(Error::Exempt(user).into());
    }
    let witness = Witness::listen(redirect.port).await?;
    netlink::commit(&redirect.changes())?;
    let took = match witness.meet().await {
        Ok(took) => took,
        Err(error) => {
            // Why there is no proof is what has to be read, not what came of tidying up.
            let _ = netlink::commit(&rules::removal());
            return Err(error.into());
        }
    };
    info!(
        table = rules::TABLE,
        from = %IMDS,
        port = redirect.port,
        exempt_uid = redirect.exempt,
        connected_to_itself_in = ?took,
        "redirect set and proven"
    );
    Ok(Exit::Done)
}

impl Args {
    fn redirect(&self) -> Redirect {
        Redirect {
            port: self.port,
            exempt: (!self.no_exempt).then_some(self.exempt_uid),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Args, Redirect};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn flags() {
        let set = |port, exempt| Some(Redirect { port, exempt });
        let table: [(&str, Option<Redirect>); 13] = [
            ("", set(8000, Some(1501))),
            ("--port=1", set(1, Some(1501))),
            ("--port=65535 --exempt-uid=0", set(65535, Some(0))),
            ("--no-exempt", set(8000, None)),
            ("--exempt-uid=4294967294", set(8000, Some(4294967294))),
            ("--port=0", None),
            ("--port=65536", None),
            ("--port=http", None),
            // The kernel's word for "no user".
            ("--exempt-uid=4294967295", None),
            ("--exempt-uid=-1", None),
            ("--exempt-uid=root", None),
            ("--exempt-uid=1501 --no-exempt", None),
            ("8000", None),
        ];
        for (flags, expected) in table {
            let line = Line::try_parse_from(format!("redirect {flags}").split_whitespace());
            let found = line.ok().map(|line| line.args.redirect());
            assert_eq!(found, expected, "{flags:?}");
        }
    }
}
