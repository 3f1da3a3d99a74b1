//! The redirect as changes to nf_tables: pure.

use std::net::SocketAddrV4;

use netlink_packet_core::{DefaultNla, Emitable};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, Cmp, DataAttribute, Expressions, Hook, Immediate, InetHookNumber, Meta,
    MetaKey, NfTablesMessageType, Operator, Payload, Register, RuleAttribute, TableAttribute,
};

use super::IMDS;

/// Our own table, of family `ip`; nothing outside it is read or changed.
pub const TABLE: &str = "identity-injector";
const CHAIN: &str = "output";

/// The first chain that translates a connection decides. Those of service meshes and iptables stand at -100.
const PRIORITY: i32 = -101;

// linux/netfilter/nf_tables.h and nf_nat.h, where the crate has no name for it.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const REDIRECT_PORT_REGISTER: u16 = 1;
const REDIRECT_FLAGS: u16 = 3;
const PORT_IS_GIVEN: u32 = 1 << 1;

/// Of the IPv4 and TCP headers.
const DESTINATION_ADDRESS: u32 = 16;
const DESTINATION_PORT: u32 = 2;
const TCP: u8 = 6;

/// What is sent to the instance metadata service goes to a port of this pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The port, at 127.0.0.1.
    pub port: u16,
    /// The user whose traffic goes where it was sent.
    pub exempt: Option<u32>,
}

/// A message with its attributes. The crate's own enum knows every message there is, and brings the code of each along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes a table, unless it is there.
    NewTable(Vec<TableAttribute>),
    /// Takes a table away, with all that is in it.
    DeleteTable(Vec<TableAttribute>),
    /// Makes a chain.
    NewChain(Vec<ChainAttribute>),
    /// Puts a rule at a chain's end.
    NewRule(Vec<RuleAttribute>),
}

impl Change {
    /// Which message this is.
    pub fn kind(&self) -> NfTablesMessageType {
        match self {
            Change::NewTable(_) => NfTablesMessageType::NewTable,
            Change::DeleteTable(_) => NfTablesMessageType::DeleteTable,
            Change::NewChain(_) => NfTablesMessageType::NewChain,
            Change::NewRule(_) => NfTablesMessageType::NewRule,
        }
    }
}

impl Emitable for Change {
    fn buffer_len(&self) -> usize {
        match self {
            Change::NewTable(list) | Change::DeleteTable(list) => list.as_slice().buffer_len(),
            Change::NewChain(list) => list.as_slice().buffer_len(),
            Change::NewRule(list) => list.as_slice().buffer_len(),
        }
    }

    fn emit(&self, buffer: &mut [u8]) {
        match self {
            Change::NewTable(list) | Change::DeleteTable(list) => list.as_slice().emit(buffer),
            Change::NewChain(list) => list.as_slice().emit(buffer),
            Change::NewRule(list) => list.as_slice().emit(buffer),
        }
    }
}

impl Redirect {
    /// Replaces whatever the table holds: the same changes come to the same rules, whatever was there before.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = removal();
        changes.extend([
            Change::NewTable(table()),
            Change::NewChain(chain()),
            Change::NewRule(self.rule()),
        ]);
        changes
    }

    fn rule(&self) -> Vec<RuleAttribute> {
        let expressions = self.expressions(IMDS).into_iter().map(Into::into);
        vec![
            RuleAttribute::Table(TABLE.to_owned()),
            RuleAttribute::Chain(CHAIN.to_owned()),
            RuleAttribute::Expressions(expressions.collect()),
        ]
    }

    /// Each loads a register, or compares it and goes on if that holds.
    fn expressions(&self, from: SocketAddrV4) -> Vec<Expressions> {
        let address = from.ip().octets();
        let port = from.port().to_be_bytes();
        let mut all = vec![
            load(NETWORK_HEADER, DESTINATION_ADDRESS, address.len()),
            compare(Operator::Equal, &address),
            know(MetaKey::L4Proto),
            compare(Operator::Equal, &[TCP]),
            load(TRANSPORT_HEADER, DESTINATION_PORT, port.len()),
            compare(Operator::Equal, &port),
        ];
        if let Some(user) = self.exempt {
            all.push(know(MetaKey::SocketUserId));
            all.push(compare(Operator::NotEqual, &user.to_ne_bytes()));
        }
        all.push(Expressions::Immediate(vec![
            Immediate::DestinationRegister(Register::Reg1),
            Immediate::Data(data(&self.port.to_be_bytes())),
        ]));
        all.push(to_this_pod());
        all
    }
}

/// Takes the table away, whether it is there or not: made first, it can't be missing.
pub fn removal() -> Vec<Change> {
    vec![Change::NewTable(table()), Change::DeleteTable(table())]
}

fn table() -> Vec<TableAttribute> {
    vec![TableAttribute::Name(TABLE.to_owned())]
}

fn chain() -> Vec<ChainAttribute> {
    vec![
        ChainAttribute::Table(TABLE.to_owned()),
        ChainAttribute::Name(CHAIN.to_owned()),
        ChainAttribute::Type("nat".to_owned()),
        ChainAttribute::Hook(vec![
            Hook::Number(InetHookNumber::LocalOut.into()),
            Hook::Priority(PRIORITY.cast_unsigned()),
        ]),
    ]
}

fn load(base: u32, offset: u32, length: usize) -> Expressions {
    Expressions::Payload(vec![
        Payload::DestinationRegister(Register::Reg1),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(length as u32),
    ])
}

fn know(key: MetaKey) -> Expressions {
    Expressions::Meta(vec![
        Meta::DestinationRegister(Register::Reg1),
        Meta::Key(key),
    ])
}

fn compare(operator: Operator, bytes: &[u8]) -> Expressions {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(operator),
        Cmp::Data(data(bytes)),
    ])
}

/// On its way out of a process, what is redirected goes to 127.0.0.1; the port is in the register.
fn to_this_pod() -> Expressions {
    let attribute = |kind, value: u32| DefaultNla::new(kind, value.to_be_bytes().to_vec());
    Expressions::Other {
        expression_type: "redir".to_owned(),
        attributes: vec![
            attribute(REDIRECT_PORT_REGISTER, Register::Reg1.into()),
            attribute(REDIRECT_FLAGS, PORT_IS_GIVEN),
        ],
    }
}

fn data(bytes: &[u8]) -> DataAttribute {
    DataAttribute::Value(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;
    use netlink_packet_netfilter::nftables::{Cmp, DataAttribute, Expressions, Immediate};

    use super::{Change, IMDS, Redirect, removal};

    /// An expression's name, and the bytes in it that are ours.
    fn shown(expression: &Expressions) -> String {
        let bytes = |data: &DataAttribute| match data {
            DataAttribute::Value(bytes) => format!("{bytes:02x?}"),
            other => format!("{other:?}"),
        };
        match expression {
            Expressions::Payload(_) => "payload".to_owned(),
            Expressions::Meta(_) => "meta".to_owned(),
            Expressions::Cmp(parts) => match &parts[..] {
                [_, Cmp::Op(operator), Cmp::Data(data)] => {
                    format!("{operator:?} {}", bytes(data))
                }
                other => format!("{other:?}"),
            },
            Expressions::Immediate(parts) => match &parts[..] {
                [_, Immediate::Data(data)] => format!("immediate {}", bytes(data)),
                other => format!("{other:?}"),
            },
            Expressions::Other {
                expression_type, ..
            } => expression_type.clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn expressions() {
        let head = [
            "payload",
            "Equal [a9, fe, a9, fe]",
            "meta",
            "Equal [06]",
            "payload",
            "Equal [00, 50]",
        ];
        let user = format!("NotEqual {:02x?}", 1501_u32.to_ne_bytes());
        let table: [(Redirect, &[&str]); 3] = [
            (
                Redirect {
                    port: 8000,
                    exempt: Some(1501),
                },
                &["meta", &user, "immediate [1f, 40]", "redir"],
            ),
            (
                Redirect {
                    port: 8000,
                    exempt: None,
                },
                &["immediate [1f, 40]", "redir"],
            ),
            (
                Redirect {
                    port: 65535,
                    exempt: None,
                },
                &["immediate [ff, ff]", "redir"],
            ),
        ];
        for (redirect, tail) in table {
            let found: Vec<String> = redirect.expressions(IMDS).iter().map(shown).collect();
            assert_eq!(found, [&head, tail].concat(), "{redirect:?}");
        }
    }

    #[test]
    fn what_was_there_goes_first() {
        let redirect = Redirect {
            port: 8000,
            exempt: None,
        };
        let name = |change: &Change| match change {
            Change::NewTable(_) => "new table",
            Change::DeleteTable(_) => "delete table",
            Change::NewChain(_) => "new chain",
            Change::NewRule(_) => "new rule",
        };
        let table = [
            (removal(), vec!["new table", "delete table"]),
            (
                redirect.changes(),
                vec![
                    "new table",
                    "delete table",
                    "new table",
                    "new chain",
                    "new rule",
                ],
            ),
        ];
        for (changes, expected) in table {
            assert_eq!(changes.iter().map(name).collect::<Vec<_>>(), expected);
            // Each carries the table's name, and so touches no other.
            for change in changes {
                let mut bytes = vec![0; change.buffer_len()];
                change.emit(&mut bytes);
                let name = b"identity-injector\0";
                assert!(
                    bytes.windows(name.len()).any(|part| part == name),
                    "{change:?}"
                );
            }
        }
    }
}
