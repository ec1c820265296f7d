//! The fields of an object, with the names of the Elastic Common Schema. Fields without such a name are in [`Hone`].

use std::borrow::Cow;
use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hone_pcapng::{Corrected, Correction, Direction, EventCounts, ProcessEvent, words};
use serde::Serialize;

use super::names::{Dns, Http, NameFields, Tls, TlsOffer, Url};
use crate::show::processes::Process;
use crate::text::base_name;

#[derive(Debug, Default, Serialize)]
pub(super) struct Document<'a> {
    #[serde(rename = "@timestamp", skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<&'a str>,
    pub(super) ecs: Ecs,
    pub(super) event: EventFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<Host<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<Network<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<Endpoint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination: Option<Endpoint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dns: Option<Dns<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<Tls<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) http: Option<Http>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<Url<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) process: Option<ProcessFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container: Option<Container<'a>>,
    #[serde(skip_serializing_if = "Hone::is_empty")]
    pub(super) hone: Hone<'a>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Ecs {
    pub(super) version: &'static str,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct EventFields {
    pub(super) kind: &'static str,
    pub(super) category: &'static [&'static str],
    #[serde(rename = "type")]
    pub(super) types: &'static [&'static str],
    pub(super) action: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Host<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) boot: Option<Boot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) os: Option<Os<'a>>,
}

/// The host's boot, within which connection ids are unique.
#[derive(Debug, Serialize)]
pub(super) struct Boot {
    pub(super) id: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Os<'a> {
    pub(super) full: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Network<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transport: Option<&'static str>,
    /// What the packet's message is of, if a name was looked for and found in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iana_number: Option<Digits<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) direction: Option<&'static str>,
    pub(super) bytes: u32,
    pub(super) packets: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) community_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Endpoint<'a> {
    pub(super) ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
    /// The name of this end, if the connection has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) domain: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Container<'a> {
    pub(super) id: Cow<'a, str>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct ProcessFields<'a> {
    pub(super) pid: u32,
    /// The process id in its own process id namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vpid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) executable: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) args: Option<Vec<Cow<'a, str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) args_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command_line: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hash: Option<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<Ancestor<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thread: Option<Thread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<Account<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<Account<'a>>,
}

impl<'a> ProcessFields<'a> {
    /// What earlier events reported about a process.
    pub(super) fn known(pid: u32, process: Option<&'a Process>) -> Self {
        let path = process.map(|process| &process.path[..]).filter(|path| !path.is_empty());
        Self {
            pid,
            name: path.and(process).map(|process| text(process.name())),
            executable: path.map(text),
            user: process.and_then(|process| {
                let name = Some(&process.user_name[..]).filter(|name| !name.is_empty());
                let sid = Some(&process.security_id).filter(|sid| !sid.is_empty());
                match sid {
                    Some(sid) => {
                        Some(Account { id: Some(AccountId::Text(sid.into())), name: name.map(text) })
                    }
                    None => Account::new(process.user, name),
                }
            }),
            group: process.and_then(|process| {
                let name = Some(&process.group_name[..]).filter(|name| !name.is_empty());
                Account::new(process.group, name)
            }),
            ..Self::default()
        }
    }
}

/// Who received a packet.
#[derive(Debug, Serialize)]
pub(super) struct ReceiverFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) process: Option<ProcessFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connection: Option<Id>,
    pub(super) how: &'static str,
}

/// The hash of the executable.
#[derive(Debug, Serialize)]
pub(super) struct Hash {
    pub(super) sha256: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Thread {
    pub(super) id: u32,
}

/// A process from which another one descends.
#[derive(Debug, Serialize)]
pub(super) struct Ancestor<'a> {
    pub(super) pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) executable: Option<Cow<'a, str>>,
}

impl<'a> Ancestor<'a> {
    /// With the path of its executable, which is empty if it is unknown.
    pub(super) fn new(pid: u32, path: &'a [u8]) -> Self {
        let path = Some(path).filter(|path| !path.is_empty());
        Self { pid, name: path.map(|path| text(base_name(path))), executable: path.map(text) }
    }
}

/// A number as a text of its digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digits<T>(pub(super) T);

impl<T: itoa::Integer + Copy> Serialize for Digits<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(itoa::Buffer::new().format(self.0))
    }
}

/// A number, or a security identifier of Windows.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum AccountId<'a> {
    Number(Digits<u32>),
    Text(Cow<'a, str>),
}

#[derive(Debug, Serialize)]
pub(super) struct Account<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<AccountId<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Cow<'a, str>>,
}

impl<'a> Account<'a> {
    pub(super) fn new(id: Option<u32>, name: Option<&'a [u8]>) -> Option<Self> {
        (id.is_some() || name.is_some())
            .then(|| Self { id: id.map(|id| AccountId::Number(Digits(id))), name: name.map(text) })
    }
}

/// Fields that the Elastic Common Schema does not have.
#[derive(Debug, Default, Serialize)]
pub(super) struct Hone<'a> {
    /// The packet's number in its file, as Wireshark counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) frame: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connection: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) packet: Option<PacketFields>,
    /// Who received the packet, if it is recorded once for the sender and the receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) receiver: Option<ReceiverFields<'a>>,
    /// Whether a correction changed the packet's process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) corrected: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) correction: Option<CorrectionFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) section: Option<SectionFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) statistics: Option<StatisticsFields>,
    /// The other DNS messages of a packet that completes several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) more_dns: Vec<Dns<'a>>,
    /// What a TLS client offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<TlsOffer<'a>>,
    /// Where the name of the connection is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<NameFields>,
    /// Whether the packet has a name that was not captured, or not all of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) name_cut_off: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_number: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network_namespace: Option<u32>,
    /// Which program the process runs, as the kernel distinguishes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<Run>,
    /// The UUID of the program that the process runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) executable_uuid: Option<String>,
    /// The process for which the packet's process sent or received it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effective_process: Option<EffectiveProcess<'a>>,
    /// Why the executable has no hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) no_hash: Option<&'static str>,
    /// The process's parent, the parent of this one, and so on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ancestors: Vec<Ancestor<'a>>,
    /// The systemd unit that the process is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<Bytes>,
}

impl Hone<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.frame.is_none()
            && self.connection.is_none()
            && self.packet.is_none()
            && self.corrected.is_none()
            && self.correction.is_none()
            && self.section.is_none()
            && self.statistics.is_none()
            && self.more_dns.is_empty()
            && self.tls.is_none()
            && self.name.is_none()
            && !self.name_cut_off
            && self.event_number.is_none()
            && self.network_namespace.is_none()
            && self.run.is_none()
            && self.ancestors.is_empty()
            && self.unit.is_none()
            && self.no_hash.is_none()
            && self.executable_uuid.is_none()
            && self.effective_process.is_none()
            && self.bytes.is_none()
    }
}

/// When a process was forked, nanoseconds since the boot, and how many programs it and its ancestors have executed.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) born: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) executions: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(super) struct EffectiveProcess<'a> {
    pub(super) pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Id {
    pub(super) id: u64,
}

/// Which packets a correction is about, and how their process is known.
#[derive(Debug, Serialize)]
pub(super) struct CorrectionFields<'a> {
    pub(super) direction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) how: Option<&'static str>,
}

impl<'a> CorrectionFields<'a> {
    pub(super) fn of(correction: &Correction, time: Option<&'a str>) -> Self {
        let (from, to) = match correction.packets {
            Corrected::Bytes { from, to } => (Some(from), Some(to)),
            Corrected::Time(_) => (None, None),
        };
        let direction = direction(correction.direction);
        Self { direction, from, to, time, how: correction.how.map(words) }
    }
}

pub(super) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "ingress",
        Direction::Outbound => "egress",
    }
}

#[derive(Debug, Serialize)]
pub(super) struct PacketFields {
    pub(super) captured: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flags: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fragment_offset: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) icmp: Option<Icmp>,
    /// The error in the IP headers. They are not shown then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) malformed: Option<&'static str>,
    /// The link type, if it is one that is not decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link_type: Option<u32>,
    /// The interface, if it is not the section's first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interface: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) how: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Icmp {
    #[serde(rename = "type")]
    pub(super) kind: u8,
    pub(super) code: u8,
}

#[derive(Debug, Serialize)]
pub(super) struct SectionFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) application: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hardware: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize)]
pub(super) struct StatisticsFields {
    pub(super) packets: Counts,
    pub(super) processes: Counts,
    pub(super) connections: Counts,
}

#[derive(Debug, Serialize)]
pub(super) struct Counts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) received: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filtered: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dropped_by_source: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dropped_by_ring: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delivered: Option<u64>,
}

impl From<&EventCounts> for Counts {
    fn from(counts: &EventCounts) -> Self {
        let EventCounts { received, dropped_by_source, dropped_by_ring, delivered } = *counts;
        Self { received, filtered: None, dropped_by_source, dropped_by_ring, delivered }
    }
}

/// Bytes that are not UTF-8, in base64.
#[derive(Debug, Default, Serialize)]
pub(super) struct Bytes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) executable: Option<String>,
    /// A zero byte follows each argument, as recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) args: Option<String>,
}

impl Bytes {
    pub(super) fn of(event: &ProcessEvent<'_>) -> Option<Self> {
        let encoded = |bytes: &Option<Cow<'_, [u8]>>| {
            let bytes = bytes.as_deref().filter(|bytes| std::str::from_utf8(bytes).is_err())?;
            Some(BASE64_STANDARD.encode(bytes))
        };
        let bytes = Self { executable: encoded(&event.path), args: encoded(&event.arguments) };
        (bytes.executable.is_some() || bytes.args.is_some()).then_some(bytes)
    }
}

pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
