//! Changes to the kernel and its answers: one transaction, taken whole or not at all.

use std::io;

use netlink_packet_core::{
    Emitable, ErrorBuffer, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST, NLMSG_ERROR,
    NetlinkBuffer, NetlinkHeader,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterProtoFamily, NetfilterSubsystem};
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

use super::Error;
use super::rules::Change;

/// More than any one answer takes: it repeats the message it answers.
const ANSWER_LIMIT: usize = 8192;

/// Has the kernel make all changes, or none.
pub fn commit(changes: &[Change]) -> Result<(), Error> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(NETFILTER),
    )
    .map_err(|error| Error::socket(error.into()))?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, &transaction(changes), SendFlags::empty(), &kernel)
        .map_err(|error| Error::Send(error.into()))?;
    // The kernel has answered by the time it has taken the message, so there is nothing to wait for.
    let mut taken = 0;
    let mut answer = [0; ANSWER_LIMIT];
    while taken < changes.len() {
        let (_, length) = recv(&socket, &mut answer[..], RecvFlags::DONTWAIT)
            .map_err(|error| Error::Receive(error.into()))?;
        let Some((number, outcome)) = read(&answer[..length.min(ANSWER_LIMIT)]) else {
            continue;
        };
        outcome.map_err(|error| Error::refused(changes.get(number), error))?;
        taken += 1;
    }
    Ok(())
}

/// The changes between a begin and an end, each numbered by its place, so that an answer names it.
fn transaction(changes: &[Change]) -> Vec<u8> {
    let nf_tables = u8::from(NetfilterSubsystem::NfTables);
    let mut bytes = Vec::new();
    append_control(&mut bytes, &ControlMessage::BatchBegin, nf_tables);
    for (number, change) in (0..).zip(changes) {
        let mut head = NetlinkHeader::default();
        head.message_type = u16::from_be_bytes([nf_tables, change.kind().into()]);
        head.flags = NLM_F_REQUEST | NLM_F_ACK | flags(change);
        head.sequence_number = number;
        let family = NetfilterHeader::new(NetfilterProtoFamily::IPv4, 0, 0);
        append(&mut bytes, head, &[&family, change]);
    }
    append_control(&mut bytes, &ControlMessage::BatchEnd, nf_tables);
    bytes
}

fn append_control(bytes: &mut Vec<u8>, message: &ControlMessage, subsystem: u8) {
    let mut head = NetlinkHeader::default();
    head.message_type = u8::from(message.message_type()).into();
    head.flags = NLM_F_REQUEST;
    // Numbered like no change: what is answered to the begin is about all of them.
    head.sequence_number = u32::MAX;
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, subsystem.into());
    append(bytes, head, &[&header]);
}

fn flags(change: &Change) -> u16 {
    match change {
        Change::DeleteTable(_) => 0,
        Change::NewTable(_) | Change::NewChain(_) => NLM_F_CREATE,
        Change::NewRule(_) => NLM_F_CREATE | NLM_F_APPEND,
    }
}

fn append(bytes: &mut Vec<u8>, mut head: NetlinkHeader, parts: &[&dyn Emitable]) {
    let length = |part: &&dyn Emitable| part.buffer_len();
    head.length = (head.buffer_len() + parts.iter().map(length).sum::<usize>()) as u32;
    for part in [&head as &dyn Emitable].iter().chain(parts) {
        let start = bytes.len();
        bytes.resize(start + part.buffer_len(), 0);
        part.emit(&mut bytes[start..]);
    }
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
                redirect.changes(),
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
        for (changes, expected) in table {
            let bytes = transaction(&changes);
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
