//! Blocks in, bytes of another form out. Without I/O.
//!
//! The process of a packet is described before the packet: what is known of it waits, encoded, until its first packet. A
//! process that has no packet gets no block of its own.

use std::collections::HashMap;

use hone_pcapng::foreign::{APPLE_PROCESS, CUSTOM, PACKET_APPLE_EFFECTIVE, PACKET_APPLE_PROCESS};
use hone_pcapng::{
    Block, ByteOrder, EmitError, Item, Packet, ProcessEvent, ProcessEventKind, ProcessThread, RawOption,
};

use super::adopted::Adopted;
use super::form::Form;
use super::lost::Lost;
use super::{comment, native, pcap};
use crate::show::event::{Event, Shown};
use crate::show::pktap;
use crate::show::section::is_of_hone;

/// Most bytes that wait for the first packets of their processes.
const MAX_WAITING: usize = 32 << 20;
/// Most processes of a section whose blocks are remembered. Beyond, their blocks are repeated.
const MAX_PROCESSES: usize = 1 << 20;
/// Bytes of an entry besides its block, approximately.
const ENTRY_BYTES: usize = 64;
const COMMENT: u16 = 1;

/// Why a stream has no such form.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Its packets begin with different headers.
    #[error(
        "its packets are of link types {first} and {second}, and a libpcap file has one: convert it to hone, wireshark, darwin or \
         comments, or split it before"
    )]
    LinkTypes {
        /// That of the first packets.
        first: u32,
        /// That of a later one.
        second: u32,
    },
    /// A block does not fit.
    #[error("a block does not fit: {0}")]
    Emit(#[from] EmitError),
}

/// What is known of the process that has a number now.
#[derive(Debug)]
enum Known {
    /// Its block, not yet written.
    Waiting(Vec<u8>),
    /// Written; the block's number in the section.
    Written(u32),
}

/// Turns a stream into another form.
#[derive(Debug)]
pub(super) struct Converter {
    form: Form,
    lost: Lost,
    /// Of the section, by process id.
    processes: HashMap<u32, Known>,
    waiting: usize,
    /// Process blocks of the section.
    written: u32,
    /// Of a libpcap file that has begun.
    link_type: Option<u32>,
    /// What other programs describe in this section, for the form of Hone.
    adopted: Adopted,
    /// Whether Hone has written this section.
    is_of_hone: bool,
}

impl Converter {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            lost: Lost::default(),
            processes: HashMap::new(),
            waiting: 0,
            written: 0,
            link_type: None,
            adopted: Adopted::default(),
            is_of_hone: false,
        }
    }

    /// What has no place, if this is the end.
    pub(super) fn lost(&self) -> Lost {
        let mut lost = self.lost.clone();
        lost.process_events += self.adopted.waiting();
        lost
    }

    /// Takes the next block, and the event that it is; appends what it becomes.
    pub(super) fn take(
        &mut self,
        item: &Item<'_>,
        shown: Option<&Shown<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        if self.form.is_classic() { self.classic(item, shown, out) } else { self.augmented(item, shown, out) }
    }

    /// Writes packets and nothing else.
    fn classic(
        &mut self,
        item: &Item<'_>,
        shown: Option<&Shown<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let lost = &mut self.lost;
        match &item.block {
            Block::Section(_) => lost.sections += 1,
            Block::Interface(interface) => {
                // Packets behind PKTAP headers are of another type, which the first one has.
                match (self.form, u32::from(interface.link_type)) {
                    (Form::Pcap, pktap::LINK_TYPE) => {}
                    (_, link_type) => self.begin(link_type, out),
                }
            }
            Block::Process(_) => lost.process_events += 1,
            Block::Connection(_) => lost.connection_events += 1,
            Block::Statistics(_) => lost.statistics += 1,
            Block::Unknown { .. } => lost.other_blocks += 1,
            Block::Packet(block) => {
                lost.comments += block.other.iter().filter(|option| option.code == COMMENT).count() as u64;
            }
            Block::ObsoletePacket(_) | Block::SimplePacket(_) => {}
        }
        let Some(shown @ Shown { event: Event::Packet(packet), .. }) = shown else { return Ok(()) };
        let has_pktap = self.form == Form::Pktap;
        self.begin(packet.link_type, out);
        let lost = &mut self.lost;
        let had_pktap = !packet.header.is_empty();
        if let Some(first) = self.link_type
            && first != packet.link_type
            && !has_pktap
        {
            return Err(Refused::LinkTypes { first, second: packet.link_type });
        }
        let process = shown.process;
        lost.packets += 1;
        lost.receivers += u64::from(packet.receiver.is_some());
        lost.connections += u64::from(packet.connection.is_some());
        lost.hows += u64::from(packet.how.is_some());
        lost.paths += u64::from(!had_pktap && process.is_some_and(|process| !process.path.is_empty()));
        lost.users +=
            u64::from(process.is_some_and(|process| process.user.is_some() || !process.user_name.is_empty()));
        // A header that is there already stays as it is, also one that cannot be read.
        if has_pktap && (had_pktap || packet.link_type == pktap::LINK_TYPE) {
            pcap::record(packet, shown.nanos, packet.header, lost, out);
        } else if has_pktap {
            let header = pcap::pktap(shown, packet, lost);
            pcap::record(packet, shown.nanos, &header, lost, out);
        } else {
            lost.processes += u64::from(packet.process.is_some()) + u64::from(packet.effective.is_some());
            lost.directions +=
                u64::from(packet.flags.is_some_and(|flags| hone_pcapng::packet::direction(flags).is_some()));
            pcap::record(packet, shown.nanos, &[], lost, out);
        }
        Ok(())
    }

    /// Begins a libpcap file of packets of this link type.
    fn begin(&mut self, link_type: u32, out: &mut Vec<u8>) {
        if self.link_type.is_none() {
            self.link_type = Some(link_type);
            pcap::header(if self.form == Form::Pktap { pktap::LINK_TYPE } else { link_type }, out);
        }
    }

    /// Keeps every block, and adds what the form has, or takes it out.
    fn augmented(
        &mut self,
        item: &Item<'_>,
        shown: Option<&Shown<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        match (&item.block, shown) {
            (Block::Section(_), _) => {
                // What still waits has no packet.
                self.processes.clear();
                (self.waiting, self.written) = (0, 0);
                self.lost.process_events += self.adopted.clear();
                self.is_of_hone = false;
            }
            (Block::Interface(interface), _) if self.form == Form::Hone => self.adopted.interface(interface),
            (Block::Connection(_), _) => self.is_of_hone = true,
            (Block::Process(event), Some(shown)) => {
                self.is_of_hone = true;
                out.extend(item.raw);
                return self.process(event, shown, item.order, out);
            }
            (&Block::Unknown { kind, ref body }, shown) => {
                return self.foreign(kind, body, item, shown, out);
            }
            (Block::Packet(_), Some(shown)) => {
                self.lost.packets += 1;
                // The block keeps its options, but what is added is the sender's.
                let has_receiver = matches!(&shown.event, Event::Packet(packet) if packet.receiver.is_some());
                self.lost.receivers += u64::from(has_receiver && self.form != Form::Hone);
                return self.packet(item, shown, out);
            }
            (Block::ObsoletePacket(_) | Block::SimplePacket(_), _) => {
                self.lost.packets += 1;
                self.lost.optionless += u64::from(self.form != Form::Hone);
            }
            _ => {}
        }
        out.extend(item.raw);
        Ok(())
    }

    /// Takes a block of another program, which may describe a process.
    fn foreign(
        &mut self,
        kind: u32,
        body: &[u8],
        item: &Item<'_>,
        shown: Option<&Shown<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let number = self.written;
        let has_place = (self.form, kind) == (Form::Darwin, APPLE_PROCESS);
        self.written += u32::from(has_place);
        let Some(pid) = native::described(kind, body, item.order) else {
            out.extend(item.raw);
            return Ok(());
        };
        // Hone's own events say the same of this process. Those of other programs stay.
        if self.form == Form::Hone && self.processes.contains_key(&pid) {
            return Ok(());
        }
        if let Some(shown @ Shown { event: Event::Process(event), .. }) = shown
            && let Some(process) = shown.process.filter(|_| self.form == Form::Hone && !self.is_of_hone)
        {
            self.lost.uuids += u64::from(process.uuid.is_some());
            return Ok(self.adopted.block(event, process, shown.nanos, item.order, out)?);
        }
        out.extend(item.raw);
        if has_place || (self.form, kind) == (Form::Wireshark, CUSTOM) {
            self.make_room(out);
            if let Some(Known::Waiting(before)) = self.processes.insert(pid, Known::Written(number)) {
                self.waiting -= before.len() + ENTRY_BYTES;
            }
        } else if let Some(shown @ Shown { event: Event::Process(event), .. }) = shown
            && self.form != Form::Hone
        {
            return self.process(event, shown, item.order, out);
        }
        Ok(())
    }

    /// Takes note of a process.
    fn process(
        &mut self,
        event: &ProcessEvent<'_>,
        shown: &Shown<'_>,
        order: ByteOrder,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let pid = event.process;
        let block = match (self.form, shown.process) {
            (Form::Comments | Form::Pktap | Form::Pcap, _) | (_, None) => return Ok(()),
            (_, Some(_)) if matches!(event.kind, ProcessEventKind::Ended | ProcessEventKind::Hashed) => {
                return Ok(());
            }
            (Form::Hone, Some(_)) => Vec::new(),
            (Form::Wireshark, Some(process)) => {
                native::wireshark(pid, process, Some(event), shown.nanos.unwrap_or(0), order, &mut self.lost)?
            }
            (Form::Darwin, Some(process)) => native::apple(pid, process, order)?,
        };
        self.make_room(out);
        self.waiting += block.len() + ENTRY_BYTES;
        if let Some(Known::Waiting(before)) = self.processes.insert(pid, Known::Waiting(block)) {
            self.waiting -= before.len() + ENTRY_BYTES;
        }
        Ok(())
    }

    /// Writes everything that waits if it has become too much.
    fn make_room(&mut self, out: &mut Vec<u8>) {
        if self.waiting < MAX_WAITING && self.processes.len() < MAX_PROCESSES {
            return;
        }
        let all: Vec<u32> = self.processes.keys().copied().collect();
        for pid in all {
            self.described(pid, out);
        }
        if self.processes.len() >= MAX_PROCESSES {
            self.processes.clear();
        }
    }

    /// Writes the block of a process, if it waits; returns its number in the section, if there is one.
    fn described(&mut self, pid: u32, out: &mut Vec<u8>) -> Option<u32> {
        match self.processes.get_mut(&pid)? {
            Known::Written(number) => Some(*number),
            known @ Known::Waiting(_) => {
                let number = self.written;
                if let Known::Waiting(block) = std::mem::replace(known, Known::Written(number)) {
                    self.waiting -= block.len() + ENTRY_BYTES;
                    out.extend(block);
                }
                self.written += 1;
                Some(number)
            }
        }
    }

    /// Writes a packet with what the form adds to it.
    fn packet(&mut self, item: &Item<'_>, shown: &Shown<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
        let (Event::Packet(event), Block::Packet(block)) = (&shown.event, &item.block) else { return Ok(()) };
        let is_apple = |option: &RawOption<'_>| option.code == PACKET_APPLE_PROCESS;
        let form = self.form;
        // What this form replaces, and what each form has added for that of Hone.
        let is_added = |option: &RawOption<'_>| match option.code {
            COMMENT => form != Form::Darwin && option.value.starts_with(comment::BEGIN.as_bytes()),
            PACKET_APPLE_PROCESS => form != Form::Comments,
            _ => false,
        };
        // Another program's packet has what its own form says.
        if self.form == Form::Darwin && block.process.is_none() && block.other.iter().any(is_apple) {
            out.extend(item.raw);
            return Ok(());
        }
        if self.form == Form::Hone && !self.is_of_hone && !is_of_hone(block) {
            return self.adopt(block, item, shown, out);
        }
        let added = match (self.form, event.process) {
            (Form::Hone, _) => {
                if !block.other.iter().any(is_added) {
                    out.extend(item.raw);
                    return Ok(());
                }
                None
            }
            (Form::Comments, _) => comment::comment(shown, event)
                .map(|text| RawOption { code: COMMENT, value: text.into_bytes().into() }),
            (Form::Wireshark, Some(pid)) => {
                self.describe(pid, shown, item.order, out)?;
                let named = ProcessThread::of_process(Some(pid));
                // What names this process already stays, with its thread.
                if block.process_thread.map(|named| named.process) == named.map(|named| named.process) {
                    out.extend(item.raw);
                    return Ok(());
                }
                let packet = Packet { process_thread: named, ..parsed(item)? };
                return Ok(packet.emit(item.order, out)?);
            }
            (Form::Darwin, Some(pid)) => {
                self.describe(pid, shown, item.order, out)?.map(|number| RawOption {
                    code: PACKET_APPLE_PROCESS,
                    value: native::word(number, item.order).to_vec().into(),
                })
            }
            (_, None) | (Form::Pktap | Form::Pcap, _) => None,
        };
        // What says the same already stays as it is.
        if self.form != Form::Hone && added.as_ref().is_none_or(|added| block.other.contains(added)) {
            out.extend(item.raw);
            return Ok(());
        }
        let mut packet = parsed(item)?;
        packet.other.retain(|option| !is_added(option));
        packet.other.extend(added);
        Ok(packet.emit(item.order, out)?)
    }

    /// Writes a packet of another program as one of Hone. Its comments stay.
    fn adopt(
        &mut self,
        block: &Packet<'_>,
        item: &Item<'_>,
        shown: &Shown<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let Some(pid) = shown.pid() else {
            self.adopted.packet(shown.nanos, None, item.order, out)?;
            out.extend(item.raw);
            return Ok(());
        };
        let process = shown.process.map(|process| (pid, process));
        self.adopted.packet(shown.nanos, process, item.order, out)?;
        let is_apple =
            |option: &RawOption<'_>| [PACKET_APPLE_PROCESS, PACKET_APPLE_EFFECTIVE].contains(&option.code);
        let named = block.other.iter().filter(|option| is_apple(option)).count() as u64;
        // The process for which another one has sent it.
        self.lost.processes += named.saturating_sub(1);
        let mut packet = parsed(item)?;
        packet.process = Some(pid);
        packet.process_thread = packet.process_thread.or(ProcessThread::of_process(Some(pid)));
        packet.other.retain(|option| !is_apple(option));
        Ok(packet.emit(item.order, out)?)
    }

    /// Describes the process of a packet, if that has not been done; returns its block's number in the section.
    fn describe(
        &mut self,
        pid: u32,
        shown: &Shown<'_>,
        order: ByteOrder,
        out: &mut Vec<u8>,
    ) -> Result<Option<u32>, Refused> {
        if !self.processes.contains_key(&pid)
            && let Some(process) = shown.process
        {
            // A correction is the first to tell of it.
            let block = match self.form {
                Form::Darwin => native::apple(pid, process, order)?,
                _ => native::wireshark(pid, process, None, shown.nanos.unwrap_or(0), order, &mut self.lost)?,
            };
            self.waiting += block.len() + ENTRY_BYTES;
            self.processes.insert(pid, Known::Waiting(block));
        }
        Ok(self.described(pid, out))
    }
}

/// The packet of a block that the reader has parsed already, to be changed.
fn parsed<'a>(item: &Item<'a>) -> Result<Packet<'a>, EmitError> {
    let body = &item.raw[8..item.raw.len() - 4];
    Packet::parse(body, item.order).map_err(|_| EmitError::OutOfMemory)
}
