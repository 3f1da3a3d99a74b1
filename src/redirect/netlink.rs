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

#[cfg(test)]
mod tests {
    use netlink_packet_core::NetlinkBuffer;

    use super::super::rules::{Redirect, removal};
    use super::{ANSWER_LIMIT, read, transaction};

    /// Type, flags and number of each message.
    fn frames(bytes: &[u8]) -> Vec<(u16, u16, u32)> {
        let mut rest = bytes;
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let frame = NetlinkBuffer::new_checked(rest).unwrap();
            frames.push((frame.message_type(), frame.flags(), frame.sequence_number()));
            rest = &rest[frame.length() as usize..];
        }
        frames
    }

    #[test]
    fn a_transaction() {
        let redirect = Redirect {
            port: 8000,
            exempt: Some(1501),
        };
        // As linux/netfilter/nfnetlink.h and linux/netlink.h number them: request 1, ack 4, create 0x400, append 0x800.
        let begin = (0x10, 0x1, u32::MAX);
        let end = (0x11, 0x1, u32::MAX);
        let table = [
            (
                removal(),
                vec![begin, (0xa00, 0x405, 0), (0xa02, 0x5, 1), end],
            ),
            (
                redirect.messages(),
                vec![
                    begin,
                    (0xa00, 0x405, 0),
                    (0xa02, 0x5, 1),
                    (0xa00, 0x405, 2),
                    (0xa03, 0x405, 3),
                    (0xa06, 0xc05, 4),
                    end,
                ],
            ),
        ];
        for (messages, expected) in table {
            let bytes = transaction(&messages);
            assert_eq!(frames(&bytes), expected);
            assert!(bytes.len() < ANSWER_LIMIT);
            // The begin says in its header that this is about nf_tables.
            assert_eq!(bytes[18..20], [0, 10]);
        }
    }

    #[test]
    fn answers() {
        let frame = |kind: u16, payload: &[u8]| {
            let mut bytes = (16 + payload.len() as u32).to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(0_u16.to_ne_bytes());
            bytes.extend(3_u32.to_ne_bytes());
            bytes.extend(0_u32.to_ne_bytes());
            bytes.extend(payload);
            bytes
        };
        let table: [(&str, Vec<u8>, Option<(usize, Option<i32>)>); 6] = [
            ("taken", frame(2, &0_i32.to_ne_bytes()), Some((3, None))),
            (
                "refused",
                frame(2, &(-1_i32).to_ne_bytes()),
                Some((3, Some(1))),
            ),
            (
                "an error that has no positive",
                frame(2, &i32::MIN.to_ne_bytes()),
                Some((3, Some(i32::MAX))),
            ),
            ("no answer", frame(0xa00, &[0; 8]), None),
            ("cut short", frame(2, &[0; 2]), None),
            ("nothing", Vec::new(), None),
        ];
        for (name, bytes, expected) in table {
            let found = read(&bytes).map(|(number, outcome)| {
                (number, outcome.err().and_then(|error| error.raw_os_error()))
            });
            assert_eq!(found, expected, "{name}");
        }
    }
}
