//! Messages to the kernel and its answers: one transaction, taken whole or not at all.

use std::io;

use netlink_packet_core::{
    ErrorBuffer, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST, NLMSG_ERROR, NetlinkBuffer,
    NetlinkMessage,
};
use netlink_packet_netfilter::nftables::NfTablesMessage;
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterProtoFamily, NetfilterSubsystem,
};
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

use super::Error;

/// More than any one answer takes: it repeats the message it answers.
const ANSWER_LIMIT: usize = 8192;

/// Has the kernel apply all messages, or none.
pub fn commit(messages: &[NfTablesMessage]) -> Result<(), Error> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(NETFILTER),
    )
    .map_err(|error| Error::socket(error.into()))?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, &transaction(messages), SendFlags::empty(), &kernel)
        .map_err(|error| Error::Send(error.into()))?;
    // The kernel has answered by the time it has taken the message, so there is nothing to wait for.
    let mut taken = 0;
    let mut answer = [0; ANSWER_LIMIT];
    while taken < messages.len() {
        let (_, length) = recv(&socket, &mut answer[..], RecvFlags::DONTWAIT)
            .map_err(|error| Error::Receive(error.into()))?;
        let Some((number, outcome)) = read(&answer[..length.min(ANSWER_LIMIT)]) else {
            continue;
        };
        outcome.map_err(|error| Error::refused(messages.get(number), error))?;
        taken += 1;
    }
    Ok(())
}

/// The messages between a begin and an end, each numbered by its place, so that an answer names it.
fn transaction(messages: &[NfTablesMessage]) -> Vec<u8> {
    let subsystem = u16::from(u8::from(NetfilterSubsystem::NfTables));
    let control = |message: ControlMessage| {
        let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, subsystem);
        NetfilterMessage::new(header, message)
    };
    let mut bytes = Vec::new();
    // Numbered like no message: what is answered to the begin is about all of them.
    append(
        &mut bytes,
        u32::MAX,
        NLM_F_REQUEST,
        control(ControlMessage::BatchBegin),
    );
    for (number, message) in (0..).zip(messages) {
        let header = NetfilterHeader::new(NetfilterProtoFamily::IPv4, 0, 0);
        append(
            &mut bytes,
            number,
            NLM_F_REQUEST | NLM_F_ACK | flags(message),
            NetfilterMessage::new(header, message.clone()),
        );
    }
    append(
        &mut bytes,
        u32::MAX,
        NLM_F_REQUEST,
        control(ControlMessage::BatchEnd),
    );
    bytes
}

fn flags(message: &NfTablesMessage) -> u16 {
    match message {
        NfTablesMessage::DeleteTable(_) => 0,
        NfTablesMessage::NewRule(_) => NLM_F_CREATE | NLM_F_APPEND,
        _ => NLM_F_CREATE,
    }
}

fn append(bytes: &mut Vec<u8>, number: u32, flags: u16, message: NetfilterMessage) {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.header.sequence_number = number;
    message.finalize();
    let start = bytes.len();
    bytes.resize(start + message.buffer_len(), 0);
    message.serialize(&mut bytes[start..]);
}

/// The number of the message that is answered, and what came of it; None if this is no answer.
fn read(bytes: &[u8]) -> Option<(usize, Result<(), io::Error>)> {
    let answer = NetlinkBuffer::new_checked(bytes).ok()?;
    if answer.message_type() != NLMSG_ERROR {
        return None;
    }
    let error = ErrorBuffer::new_checked(answer.payload()).ok()?;
    let outcome = match error.code() {
        Some(code) => Err(io::Error::from_raw_os_error(code.get().saturating_neg())),
        None => Ok(()),
    };
    Some((answer.sequence_number() as usize, outcome))
}
