//! Interface statistics: what was seen and what was lost, reported at the end of a section.

use alloc::vec::Vec;

use crate::block::STATISTICS;
use crate::emit::{Layout, Sink, emits};
use crate::option::{OptionList, Options};
use crate::order::{join, split};
use crate::{ByteOrder, RawOption, ReadErrorKind};

const START_TIME: u16 = 2;
const END_TIME: u16 = 3;
const RECEIVED: u16 = 4;
const DROPPED_BY_SOURCE: u16 = 5;
const ACCEPTED: u16 = 6;
const DROPPED_BY_RING: u16 = 7;
const DELIVERED: u16 = 8;
/// The first of four counts of process events, in the order of [`EventCounts`].
const PROCESSES: u16 = 257;
/// The first of four counts of connection events.
const CONNECTIONS: u16 = 261;

/// What became of the process or the connection events of a section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Seen by the sensor.
    pub received: Option<u64>,
    /// Lost before they reached the queue manager.
    pub dropped_by_source: Option<u64>,
    /// Lost because the reader's ring was full.
    pub dropped_by_ring: Option<u64>,
    /// Delivered to the reader.
    pub delivered: Option<u64>,
}

impl EventCounts {
    /// The counts in the order of their option codes.
    fn in_order(&self) -> [Option<u64>; 4] {
        [self.received, self.dropped_by_source, self.dropped_by_ring, self.delivered]
    }
}

/// Interface statistics block.
///
/// ```text
///  0            4            8            12           16           20
/// ┌────────────┬────────────┬────────────┬────────────┬────────────┬─────────┬────────┐
/// │ 0x00000005 │ length     │ interface  │ time, high │ time, low  │ options │ length │
/// └────────────┴────────────┴────────────┴────────────┴────────────┴─────────┴────────┘
///   2 start time (high, low)   3 end time (high, low)
///   u64 counts of packets: 4 received   5 dropped by the source   6 accepted   7 dropped by the ring   8 delivered
///   u64 counts of events: 257-260 of processes, 261-264 of connections: received, dropped by the source, dropped by
///   the ring, delivered
/// ```
///
/// From the IETF draft, section "Interface Statistics Block"; options 257-264 from the Hone format description.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Statistics<'a> {
    /// The interface, by its position among the section's interface descriptions.
    pub interface: u32,
    /// When the counts were taken, in units of the interface.
    pub timestamp: u64,
    /// When recording began, in units of the interface.
    pub start_time: Option<u64>,
    /// When recording ended, in units of the interface.
    pub end_time: Option<u64>,
    /// Packets seen.
    pub received: Option<u64>,
    /// Packets lost before they reached the queue manager.
    pub dropped_by_source: Option<u64>,
    /// Packets that the filter let through. The original sensor put the packets that it filtered out here.
    pub accepted: Option<u64>,
    /// Packets lost because the reader's ring was full.
    pub dropped_by_ring: Option<u64>,
    /// Packets delivered to the reader.
    pub delivered: Option<u64>,
    /// Process events.
    pub processes: EventCounts,
    /// Connection events.
    pub connections: EventCounts,
    /// Comments, unknown and repeated options.
    pub other: Vec<RawOption<'a>>,
}

impl<'a> Statistics<'a> {
    /// Parses a body: what is between the two lengths.
    ///
    /// # Errors
    /// [`ReadErrorKind`]: a length, or no memory.
    pub fn parse(body: &'a [u8], order: ByteOrder) -> Result<Self, ReadErrorKind> {
        let ([interface, high, low], rest) = order.take_words(body)?;
        let mut statistics = Self { interface, timestamp: join(high, low), ..Self::default() };
        for option in Options::new(rest, body, order) {
            let option = option?;
            match statistics.field(option.code) {
                Some(field) if field.is_none() => {
                    let time = matches!(option.code, START_TIME | END_TIME);
                    *field = Some(if time { option.time()? } else { option.u64()? });
                }
                _ => option.keep(&mut statistics.other)?,
            }
        }
        Ok(statistics)
    }

    /// The field that an option fills.
    fn field(&mut self, code: u16) -> Option<&mut Option<u64>> {
        let (counts, first) = match code {
            START_TIME => return Some(&mut self.start_time),
            END_TIME => return Some(&mut self.end_time),
            RECEIVED => return Some(&mut self.received),
            DROPPED_BY_SOURCE => return Some(&mut self.dropped_by_source),
            ACCEPTED => return Some(&mut self.accepted),
            DROPPED_BY_RING => return Some(&mut self.dropped_by_ring),
            DELIVERED => return Some(&mut self.delivered),
            PROCESSES..CONNECTIONS => (&mut self.processes, PROCESSES),
            _ => (&mut self.connections, CONNECTIONS),
        };
        Some(match code.checked_sub(first)? {
            0 => &mut counts.received,
            1 => &mut counts.dropped_by_source,
            2 => &mut counts.dropped_by_ring,
            3 => &mut counts.delivered,
            _ => return None,
        })
    }
}

impl Layout for Statistics<'_> {
    const NAME: &'static str = "interface statistics";

    fn kind(&self) -> u32 {
        STATISTICS
    }

    fn body(&self, sink: &mut impl Sink) {
        let [high, low] = split(self.timestamp);
        sink.words([self.interface, high, low]);
        let mut options = OptionList::new(sink);
        options.time(START_TIME, self.start_time);
        options.time(END_TIME, self.end_time);
        options.u64(RECEIVED, self.received);
        options.u64(DROPPED_BY_SOURCE, self.dropped_by_source);
        options.u64(ACCEPTED, self.accepted);
        options.u64(DROPPED_BY_RING, self.dropped_by_ring);
        options.u64(DELIVERED, self.delivered);
        for (code, count) in (PROCESSES..).zip(self.processes.in_order()) {
            options.u64(code, count);
        }
        for (code, count) in (CONNECTIONS..).zip(self.connections.in_order()) {
            options.u64(code, count);
        }
        options.finish(&self.other);
    }
}

emits!(Statistics);
