//! An event on its way from the reader to the output, with what the stream reported earlier about its process.

use hone_pcapng::packet::{self, Receiver};
use hone_pcapng::{
    ConnectionEvent, ConnectionId, Correction, Direction, How, ProcessEvent, Section, Statistics,
};

use hone_select::{Mark, PacketView, ProcessView, Selection};

use super::link::{Carries, Link};
use super::pktap::Pktap;
use super::processes::Process;
use crate::ip::{self, Headers};

/// What happened.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is used where it was made, and a box would be an allocation a packet"
)]
pub enum Event<'a> {
    /// A section begins.
    Section(&'a Section<'a>),
    /// A process begins, ends, or is restated.
    Process(&'a ProcessEvent<'a>),
    /// A connection is opened, closed or restated; or a correction of packets.
    Connection(&'a ConnectionEvent<'a>),
    /// A packet.
    Packet(Packet<'a>),
    /// The counts of an interface.
    Statistics(&'a Statistics<'a>),
}

/// An event and what is known about it.
#[derive(Debug)]
pub struct Shown<'a> {
    /// Its time, since 1970-01-01 UTC.
    pub nanos: Option<u64>,
    /// What happened.
    pub event: Event<'a>,
    /// The number of its block in the input.
    pub number: u64,
    /// Its process, as described by the events up to this one.
    pub process: Option<&'a Process>,
    /// The process of its receiver, if it is a packet of both.
    pub receiver: Option<&'a Process>,
    /// The mark of the process that had the packet's connection, if that has ended and the packet is of the kernel.
    pub had_mark: Option<Mark>,
    /// The time of the corrected packet, if the correction identifies it by its time.
    pub packet_nanos: Option<u64>,
}

impl<'a> Shown<'a> {
    /// A packet as its receiver has it, if it is recorded once for the sender and the receiver. As it is, it is the sender's.
    pub fn received(&self) -> Option<Self> {
        let Event::Packet(packet) = &self.event else { return None };
        let received = packet.received()?;
        let Self { nanos, number, receiver, .. } = *self;
        let event = Event::Packet(received);
        let (process, had_mark, packet_nanos) = (receiver, None, None);
        Some(Self { nanos, event, number, process, receiver: None, had_mark, packet_nanos })
    }

    /// A packet as its sender and as its receiver have it, if it is recorded once for both.
    pub fn of_each(&self) -> Option<[Self; 2]> {
        let received = self.received()?;
        let Event::Packet(packet) = &self.event else { return None };
        let event = Event::Packet(Packet { receiver: None, ..*packet });
        let Self { nanos, number, process, had_mark, packet_nanos, .. } = *self;
        Some([Self { nanos, event, number, process, receiver: None, had_mark, packet_nanos }, received])
    }

    /// The process id, if there is one.
    pub fn pid(&self) -> Option<u32> {
        match &self.event {
            Event::Process(event) => Some(event.process),
            Event::Connection(event) => {
                event.correction.as_ref().is_none_or(Correction::has_process).then_some(event.process)
            }
            Event::Packet(packet) => packet.process,
            Event::Section(_) | Event::Statistics(_) => None,
        }
    }

    /// Whether it is selected; a packet that is recorded once for two, for either. `names`: those of the packet and its
    /// connection, if the selection needs them.
    pub fn is_selected(&self, selection: &Selection, names: &[&str]) -> bool {
        self.is_selected_for_owner(selection, names)
            || self.received().is_some_and(|received| received.is_selected_for_owner(selection, names))
    }

    fn is_selected_for_owner(&self, selection: &Selection, names: &[&str]) -> bool {
        let of_process = match (self.process, self.pid()) {
            (Some(process), Some(_)) => selection.admits(Some(process.mark)),
            (None, Some(pid)) => {
                selection.process_matches(Some(&ProcessView { pid: Some(pid), ..Default::default() }))
            }
            (_, None) => selection.admits(self.had_mark),
        };
        of_process
            && match &self.event {
                Event::Packet(packet) => selection.packet_matches(&PacketView { names, ..packet.view() }),
                _ => selection.connection_matches(self.connection()),
            }
    }

    /// The connection id, if there is one.
    pub fn connection(&self) -> Option<ConnectionId> {
        match &self.event {
            Event::Connection(event) => Some(event.connection),
            Event::Packet(packet) => packet.connection,
            _ => None,
        }
    }
}

/// How many packets were left out by a filter or a cut, if any.
pub fn filtered(statistics: &Statistics<'_>) -> Option<u64> {
    let (received, accepted) = (statistics.received?, statistics.accepted?);
    // The original sensor counts there what it filtered out: less than it delivered, unless it filtered out most.
    let is_sound = accepted >= statistics.delivered.unwrap_or(0);
    received.checked_sub(accepted).filter(|filtered| is_sound && *filtered > 0)
}

/// A packet, from any type of block or file.
#[derive(Debug)]
pub struct Packet<'a> {
    /// Its number among the packets of its file or stream, from 1 on.
    pub frame: u64,
    /// The interface, by its position in the section.
    pub interface: u32,
    /// The PKTAP header in front of it; empty if it has none. It is not in the data and the lengths.
    pub header: &'a [u8],
    /// The link layer's header that it begins with.
    pub link_type: u32,
    /// Whether its link type is not decoded, so that nothing is known of its content.
    pub undecoded: bool,
    /// What was captured.
    pub data: &'a [u8],
    /// Length on the wire.
    pub original_length: u32,
    /// The flags of its block.
    pub flags: Option<u32>,
    /// Its connection.
    pub connection: Option<ConnectionId>,
    /// Its process.
    pub process: Option<u32>,
    /// The thread of the process.
    pub thread: Option<u32>,
    /// The process for which that one sent or received it, in recordings of macOS: its id, and its name, which may be empty.
    pub effective: Option<(u32, &'a [u8])>,
    /// How its process is known, or why it has none.
    pub how: Option<How>,
    /// Who received it, if it is recorded once for the sender and the receiver.
    pub receiver: Option<Receiver>,
    /// Whether the process and `how` were changed by a correction.
    pub is_corrected: bool,
    /// The time, in units of its interface.
    pub timestamp: Option<u64>,
    /// Bytes of the link layer's header.
    pub link_length: usize,
    /// From the IP header on; empty if there is none.
    pub ip: &'a [u8],
    /// Its IP headers, if they are there and sound.
    pub headers: Option<Headers<'a>>,
    /// The error in its IP headers, if they are malformed. Then there are no `headers`.
    pub malformed: Option<&'static str>,
    /// The direction, according to its link layer.
    pub link_direction: Option<Direction>,
}

impl<'a> Packet<'a> {
    /// A packet of which only this is known.
    pub fn new(link_type: u32, data: &'a [u8], original_length: u32) -> Self {
        let pktap = Pktap::parse(link_type, data);
        let (header, link_type, data) = match pktap {
            None => (&[][..], link_type, data),
            Some(inner) => (&data[..data.len() - inner.data.len()], inner.link_type, inner.data),
        };
        let link = Link::decode(link_type, data);
        let undecoded = link.is_none();
        let link = link.unwrap_or(Link { carries: Carries::Other, payload: data, direction: None });
        let (ip, parsed) = match link.carries {
            Carries::Other => (&[][..], None),
            Carries::Ipv6 if link.payload.first().is_some_and(|byte| byte >> 4 != 6) => {
                (&[][..], Some(Err(Some("ip version"))))
            }
            Carries::Ip | Carries::Ipv6 => {
                (link.payload, Some(Headers::parse(link.payload).map_err(|error| ip::malformed(&error))))
            }
        };
        Self {
            frame: 0,
            interface: 0,
            link_type,
            undecoded,
            data,
            original_length: original_length.saturating_sub(u32::try_from(header.len()).unwrap_or(u32::MAX)),
            header,
            flags: None,
            connection: None,
            process: None,
            thread: None,
            effective: pktap.and_then(|pktap| pktap.effective.filter(|_| pktap.effective != pktap.process)),
            how: None,
            receiver: None,
            is_corrected: false,
            timestamp: None,
            link_length: data.len() - link.payload.len(),
            ip,
            headers: parsed.and_then(Result::ok),
            malformed: parsed.and_then(Result::err).flatten(),
            link_direction: pktap.and_then(|pktap| pktap.direction).or(link.direction),
        }
    }

    /// The packet as its receiver has it.
    fn received(&self) -> Option<Self> {
        let Receiver { connection, process, how } = self.receiver?;
        let inbound = packet::direction_flags(Direction::Inbound);
        let flags = Some(self.flags.unwrap_or(0) & !packet::DIRECTION | inbound);
        let (thread, effective, receiver) = (None, None, None);
        Some(Self { flags, connection, process, thread, effective, how: Some(how), receiver, ..*self })
    }

    /// The sequence number of its first byte of TCP payload, if it has one.
    pub fn first_byte(&self) -> Option<u32> {
        let length = self.original_length.checked_sub(u32::try_from(self.link_length).ok()?)?;
        self.headers?.tcp_payload(length).map(|(first, _)| first)
    }

    /// The packet as a selection sees it.
    pub fn view(&self) -> PacketView<'_> {
        let link = u32::try_from(self.link_length).unwrap_or(u32::MAX);
        PacketView {
            ip: self.ip,
            headers: self.headers,
            length: self.original_length.saturating_sub(link),
            direction: self.direction(),
            connection: self.connection,
            names: &[],
            is_undecoded: self.undecoded,
        }
    }

    /// The direction, according to its flags or else to its link layer.
    pub fn direction(&self) -> Option<Direction> {
        self.flags.and_then(packet::direction).or(self.link_direction)
    }
}

/// The arguments in an option's value: each is followed by a zero byte, the last one perhaps not.
pub fn arguments(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let value = value.strip_suffix(&[0]).unwrap_or(value);
    let none = value.is_empty();
    value.split(|byte| *byte == 0).skip(usize::from(none))
}
