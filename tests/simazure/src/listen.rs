//! Sockets that listen, if need be in another network namespace.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::server::Error;

pub(crate) fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    TcpListener::bind(address)
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            let mut bound = listener.local_addr()?;
            if bound.ip().is_unspecified() {
                // It listens everywhere; the address told must be one that can be dialled.
                bound.set_ip(Ipv4Addr::LOCALHOST.into());
            }
            Ok((listener, bound))
        })
        .map_err(|source| Error::Bind { address, source })
}

/// Listens in another network namespace: a socket stays in the one its thread was in, whoever uses it afterwards.
pub(crate) fn bind_in(
    namespace: &Path,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Namespace {
        namespace: namespace.to_owned(),
        source,
    };
    let file = File::open(namespace).map_err(failed)?;
    // A thread of its own, as it never comes back.
    let bound = std::thread::spawn(move || {
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(file.as_fd(), kind).map(|()| bind(address))
    });
    let ended = || io::Error::other("the thread that enters it ended");
    bound
        .join()
        .map_err(|_| failed(ended()))?
        .map_err(|errno| failed(errno.into()))?
}
