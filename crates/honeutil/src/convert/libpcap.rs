//! Packets of libpcap files as blocks of a recording: a section, an interface for each kind of packets, and for each process
//! in PKTAP headers an event before its first packet.

use std::borrow::Cow;
use std::collections::HashMap;

use hone_pcapng::{
    ByteOrder, Direction, EmitError, Interface, Packet, ProcessThread, RawOption, Resolution, Section,
};

use super::form::Form;
use super::lost::Lost;
use crate::show::classic_pcap::Record;
use crate::show::pktap::Pktap;

/// Most interfaces that are told apart by their names: a bound that no recording comes near.
const MAX_NAMED: usize = 1024;
/// Most processes that are remembered. Beyond, their events are repeated.
const MAX_PROCESSES: usize = 1 << 20;
/// Option of an interface: its name.
const INTERFACE_NAME: u16 = 2;
/// Flags of a packet: received, sent.
const RECEIVED: u32 = 1;
const SENT: u32 = 2;
const ORDER: ByteOrder = ByteOrder::Little;

/// Turns a libpcap file into blocks.
#[derive(Debug, Default)]
pub(super) struct Libpcap {
    /// Whether PKTAP headers stay in front of the packets.
    keeps_headers: bool,
    /// The number of each interface, by its link type and its name.
    interfaces: HashMap<(u16, Vec<u8>), u32>,
    /// The name and the program's UUID in the last event of each process.
    described: HashMap<u32, (Vec<u8>, Option<[u8; 16]>)>,
    /// What blocks have no place for.
    lost: Lost,
}

impl Libpcap {
    /// Of a file that becomes this form.
    pub(super) fn new(form: Form) -> Self {
        Self { keeps_headers: form == Form::Pktap, ..Self::default() }
    }

    /// What the blocks have no place for; `lost` is what they themselves lost in their form.
    pub(super) fn lost(&self, lost: Lost) -> Lost {
        Lost {
            processes: lost.processes + self.lost.processes,
            uuids: lost.uuids + self.lost.uuids,
            // A PKTAP header has neither: the events were made here, and the paths are names.
            process_events: 0,
            paths: 0,
            ..lost
        }
    }

    /// Appends a packet, after what describes it.
    pub(super) fn packet(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), EmitError> {
        let pktap = Pktap::parse(record.link_type, record.data).filter(|pktap| {
            // An interface has 16 bits for its link type.
            !self.keeps_headers && pktap.link_type <= u16::MAX.into()
        });
        let Some(pktap) = pktap else {
            let interface = self.interface(record.link_type, &[], out)?;
            return packet(interface, record, record.data).emit(ORDER, out);
        };
        let interface = self.interface(pktap.link_type, pktap.interface, out)?;
        let pid = pktap.process.map(|(pid, _)| pid);
        self.process(&pktap, record.nanos, out)?;
        self.lost.processes +=
            u64::from(pktap.effective.is_some_and(|(effective, _)| pid.is_some_and(|pid| pid != effective)));
        let header = u32::try_from(record.data.len() - pktap.data.len()).unwrap_or(u32::MAX);
        let packet = Packet {
            original_length: record.original_length.saturating_sub(header),
            flags: pktap.direction.map(|direction| match direction {
                Direction::Inbound => RECEIVED,
                Direction::Outbound => SENT,
            }),
            process: pid,
            process_thread: ProcessThread::of_process(pid),
            ..packet(interface, record, pktap.data)
        };
        packet.emit(ORDER, out)
    }

    /// Appends what a file without a packet becomes.
    pub(super) fn finish(&mut self, link_type: u32, out: &mut Vec<u8>) -> Result<(), EmitError> {
        if self.interfaces.is_empty() {
            self.interface(link_type, &[], out)?;
        }
        Ok(())
    }

    /// The number of an interface. Appends its block before its first packet.
    fn interface(&mut self, link_type: u32, name: &[u8], out: &mut Vec<u8>) -> Result<u32, EmitError> {
        // The reader has masked what is not the link type, and no known one has more than 16 bits.
        let link_type = u16::try_from(link_type).unwrap_or(u16::MAX);
        let name = if self.interfaces.len() < MAX_NAMED { name } else { &[] };
        let number = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        if let Some(known) = self.interfaces.get(&(link_type, name.to_vec())) {
            return Ok(*known);
        }
        if number == 0 {
            Section::default().emit(ORDER, out)?;
        }
        let option = RawOption { code: INTERFACE_NAME, value: Cow::Borrowed(name) };
        let interface = Interface {
            link_type,
            snap_length: 0,
            description: None,
            resolution: Resolution::NANOS,
            offset_seconds: 0,
            other: if name.is_empty() { Vec::new() } else { vec![option] },
        };
        interface.emit(ORDER, out)?;
        self.interfaces.insert((link_type, name.to_vec()), number);
        Ok(number)
    }

    /// Appends the event of a packet's process, unless the last one says the same.
    fn process(&mut self, pktap: &Pktap<'_>, nanos: u64, out: &mut Vec<u8>) -> Result<(), EmitError> {
        let (Some(mut event), Some((pid, name))) = (pktap.event(), pktap.process) else { return Ok(()) };
        if self.described.get(&pid).is_some_and(|(known, uuid)| known == name && *uuid == pktap.uuid) {
            return Ok(());
        }
        if self.described.len() >= MAX_PROCESSES {
            self.described.clear();
        }
        self.described.insert(pid, (name.to_vec(), pktap.uuid));
        self.lost.uuids += u64::from(pktap.uuid.is_some());
        event.timestamp = nanos;
        event.emit(ORDER, out)
    }
}

/// The packet of a record, with this content.
fn packet<'a>(interface: u32, record: &Record<'_>, data: &'a [u8]) -> Packet<'a> {
    Packet {
        interface,
        timestamp: record.nanos,
        original_length: record.original_length,
        data: Cow::Borrowed(data),
        ..Packet::default()
    }
}

#[cfg(test)]
mod tests {
    use hone_pcapng::Reader;

    use super::*;
    use crate::convert::live::Live;
    use crate::show::pktap::LINK_TYPE;

    /// Packets of an interface with a process, a UUID and the process that it acts for.
    fn packet() -> Vec<u8> {
        let mut packet = vec![0; 156 + 40];
        (packet[0], packet[4], packet[8], packet[12], packet[36]) = (156, 1, 101, b'e', 2);
        (packet[52], packet[56], packet[84], packet[88], packet[124]) = (7, b'a', 8, b'b', 1);
        packet
    }

    /// What has become of it is a stream, in each form.
    #[test]
    fn no_byte_of_a_header_makes_a_form_panic() {
        let mut seed = 5_u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize
        };
        for form in [Form::Hone, Form::Wireshark, Form::Darwin, Form::Comments, Form::Pktap] {
            let mut libpcap = Libpcap::new(form);
            let mut live = Live::new(form);
            let mut out = Vec::new();
            for _ in 0..3_000 {
                let mut data = packet();
                for _ in 0..random() % 4 {
                    let at = random() % data.len();
                    data[at] = u8::try_from(random() % 256).unwrap();
                }
                data.truncate(if random() % 4 == 0 { random() % 200 } else { 200 });
                let record = Record { link_type: LINK_TYPE, nanos: 7, original_length: 3, data: &data };
                let mut blocks = Vec::new();
                libpcap.packet(&record, &mut blocks).unwrap();
                out.extend(live.of(&blocks).unwrap());
            }
            assert_eq!(live.lost().packets, 3_000);
            if form != Form::Pktap {
                let mut reader = Reader::new();
                reader.feed(&out).unwrap();
                while reader.next_block().unwrap().is_some() {}
                reader.finish().unwrap();
            }
        }
    }

    #[test]
    fn names_of_interfaces_are_bounded() {
        let mut libpcap = Libpcap::new(Form::Hone);
        let mut out = Vec::new();
        for number in 0_u32..3 * 1024 {
            let mut data = packet();
            data[12..16].copy_from_slice(&(number | 0x0101_0101 << 8).to_le_bytes());
            let record = Record { link_type: LINK_TYPE, nanos: 7, original_length: 200, data: &data };
            libpcap.packet(&record, &mut out).unwrap();
        }
        assert!(libpcap.interfaces.len() <= MAX_NAMED + 1);
    }
}
