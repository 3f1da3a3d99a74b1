//! Why there is no redirect, and what to do about it.

use std::io;
use std::net::SocketAddrV4;

use rustix::io::Errno;

use super::IMDS;
use super::rules::Change;
use crate::names;

/// Why there is no redirect.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The proof would be one of the exemption.
    #[error(
        "this runs as uid {0}, whose traffic is exempt, so the redirect can't be proven: run it as another user, as {container} does, or with --no-exempt",
        container = names::INIT_CONTAINER
    )]
    Exempt(u32),
    /// The port is taken, or not open to this user.
    #[error(
        "listen on {address}, the proxy's port: {source}; nothing was changed: the redirect is proven by listening there, before the proxy starts"
    )]
    Listen {
        /// Where.
        address: SocketAddrV4,
        /// Why not.
        source: io::Error,
    },
    /// No socket to the kernel.
    #[error(
        "open a netlink socket: {0}; seccomp's RuntimeDefault allows it, so look at the pod's seccomp profile and the node's security modules, or {way_out}",
        way_out = way_out()
    )]
    Socket(#[source] io::Error),
    /// The capability is missing.
    #[error(
        "CAP_NET_ADMIN is missing: {container} needs securityContext.runAsUser 0 and NET_ADMIN in securityContext.capabilities.add; where policy forbids that, {way_out}",
        container = names::INIT_CONTAINER,
        way_out = way_out()
    )]
    Capability,
    /// The kernel can't do it.
    #[error(
        "the node's kernel has no {module} ({option}): {source}; load that module on the node, or {way_out}",
        way_out = way_out()
    )]
    Kernel {
        /// The module's name.
        module: &'static str,
        /// The kernel's build option.
        option: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused for another reason.
    #[error("the kernel refused the {object}: {source}")]
    Refused {
        /// What it refused.
        object: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The kernel did not take the messages.
    #[error("send to the kernel over netlink: {0}")]
    Send(#[source] io::Error),
    /// The kernel did not say what came of them.
    #[error("read the kernel's answer over netlink: {0}")]
    Receive(#[source] io::Error),
    /// Nothing in this pod can reach the address.
    #[error(
        "{IMDS} has no route in this pod ({0}), as where it has IPv6 only, so nothing sent there can be redirected: {way_out}",
        way_out = way_out()
    )]
    NoRoute(#[source] io::Error),
    /// The rule is there, without effect.
    #[error(
        "the redirect was set but has no effect, and is removed again: what was sent to {IMDS} did not arrive at {address}: {reason}; look for other nat rules in the pod, or {way_out}",
        way_out = way_out()
    )]
    NotMet {
        /// Where we listened.
        address: SocketAddrV4,
        /// What happened instead.
        reason: String,
    },
}

fn way_out() -> String {
    format!(
        "annotate the pod or its Namespace with {}: env, which needs no redirect",
        names::CAPTURE
    )
}

impl Error {
    /// What it means that there is no socket.
    pub(super) fn socket(source: io::Error) -> Self {
        match errno(&source) {
            Errno::PROTONOSUPPORT => Error::kernel("nfnetlink", "CONFIG_NETFILTER_NETLINK", source),
            _ => Error::Socket(source),
        }
    }

    /// What it means that the kernel refused this change, or none of them in particular.
    pub(super) fn refused(change: Option<&Change>, source: io::Error) -> Self {
        let (object, module, option) = match change {
            None => ("rules", "nf_tables", "CONFIG_NF_TABLES"),
            Some(Change::NewChain(_)) => ("chain", "nft_chain_nat", "CONFIG_NFT_NAT"),
            Some(Change::NewRule(_)) => ("rule", "nft_redir", "CONFIG_NFT_REDIR"),
            Some(_) => ("table", "nf_tables for IPv4", "CONFIG_NF_TABLES_IPV4"),
        };
        match errno(&source) {
            Errno::PERM | Errno::ACCESS => Error::Capability,
            Errno::NOENT | Errno::OPNOTSUPP | Errno::AFNOSUPPORT => {
                Error::kernel(module, option, source)
            }
            _ => Error::Refused { object, source },
        }
    }

    fn kernel(module: &'static str, option: &'static str, source: io::Error) -> Self {
        Error::Kernel {
            module,
            option,
            source,
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::io::Errno;

    use super::super::rules::Redirect;
    use super::Error;

    fn source(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn refusals_of_the_kernel() {
        let redirect = Redirect {
            port: 8000,
            exempt: None,
        };
        let changes = redirect.changes();
        let env = "annotate the pod or its Namespace with identity-injector.io/capture: env";
        // which change was refused, how, and what is said
        let table = [
            (None, Errno::PERM, ["CAP_NET_ADMIN is missing", env]),
            (Some(0), Errno::ACCESS, ["CAP_NET_ADMIN is missing", env]),
            (
                None,
                Errno::OPNOTSUPP,
                ["no nf_tables (CONFIG_NF_TABLES)", env],
            ),
            (Some(0), Errno::AFNOSUPPORT, ["CONFIG_NF_TABLES_IPV4", env]),
            (Some(0), Errno::OPNOTSUPP, ["CONFIG_NF_TABLES_IPV4", env]),
            (
                Some(3),
                Errno::NOENT,
                ["no nft_chain_nat (CONFIG_NFT_NAT)", env],
            ),
            (
                Some(4),
                Errno::NOENT,
                ["no nft_redir (CONFIG_NFT_REDIR)", env],
            ),
            (Some(3), Errno::BUSY, ["refused the chain:", "busy"]),
            (Some(4), Errno::NOMEM, ["refused the rule:", "memory"]),
            (Some(1), Errno::EXIST, ["refused the table:", "exists"]),
            (None, Errno::INVAL, ["refused the rules:", "Invalid"]),
        ];
        for (number, errno, said) in table {
            let change = number.and_then(|number: usize| changes.get(number));
            let error = Error::refused(change, source(errno)).to_string();
            for part in said {
                assert!(error.contains(part), "{number:?} {errno}: {error}");
            }
        }
    }

    #[test]
    fn refused_sockets() {
        let table = [
            (
                Errno::PROTONOSUPPORT,
                "no nfnetlink (CONFIG_NETFILTER_NETLINK)",
            ),
            (Errno::PERM, "seccomp"),
            (Errno::AFNOSUPPORT, "seccomp"),
        ];
        for (errno, said) in table {
            let error = Error::socket(source(errno)).to_string();
            assert!(error.contains(said), "{errno}: {error}");
            assert!(error.contains("capture: env"), "{errno}: {error}");
        }
    }
}
