//! The queue manager: queues each block for the readers that it is for. Owns the block store, the readers with their
//! ring buffers, their signals, and the counts. Called by the engine, the tables and the held packets, under the
//! embedder's one lock.

use alloc::{borrow::Cow, vec::Vec};

use hone_pcapng::{
    self as pcapng, ProcessThread,
    packet::{DIRECTION, direction_flags},
};
use hone_select::Selection;

use crate::{
    AttachError, Attribution, Config, DEFAULT_RING_BYTES, Detached, EventError, MAX_PACKET_BYTES,
    MIN_RING_BYTES, Nanos, OutOfMemory, Packet, PerKind, RING_SLOT_BYTES, Read, ReadError, ReaderId,
    ReaderOptions, RestartError, RingBuffer, RingBytesError, SelectionError, SnapLength, Statistics,
    UnknownReader,
    blocks::{About, BYTE_ORDER, BlockIndex, Role, Store},
    fallible,
    readers::{
        correction::{Correction, Renewed},
        filter::Subject,
        reader::Reader,
        section::{self, Section},
        selection::{Inspected, Marks, PLACES, Selecting, beside},
        signal::Signals,
    },
    statistics::Kind,
    tables::{Tables, timeline::Timeline},
};

pub(crate) struct Queues {
    pub(crate) store: Store,
    pub(crate) counts: Statistics,
    readers: Vec<Reader>,
    signals: Signals,
    /// Selections with words about processes that readers get when all processes are marked.
    coming: Vec<Selecting>,
    /// Whether any reader has, or gets, a selection, and whether any has one with words about packets.
    selects: bool,
    selects_by_headers: bool,
    /// Most bytes kept of a packet's data: the longest snap length of all readers.
    keep: u32,
    /// Whether any reader asks for packet ids.
    has_packet_ids: bool,
    /// The blocks that begin every section: section header and interface.
    frames: [BlockIndex; section::FRAMES],
    /// The latest time reported to the engine.
    now: Nanos,
    /// When the first of the readers attached now was attached; without meaning if there is none.
    logging_since: Nanos,
    /// Size of the ring buffer for readers that ask for no size, bytes.
    default_ring_bytes: usize,
    max_ring_bytes: usize,
    max_readers: usize,
}

impl Queues {
    /// A queue manager without readers. `known`: most processes and connections that the tables hold.
    pub(crate) fn new(config: &Config, known: usize) -> Result<Self, OutOfMemory> {
        let mut store = Store::new(config.max_block_bytes);
        let frames = section::frames(&config.section, &mut store)?;
        let max_ring_bytes = 1 << config.max_ring_bytes.max(MIN_RING_BYTES).ilog2();
        if config.reserve {
            store.reserve(known.saturating_add(max_ring_bytes / RING_SLOT_BYTES))?;
        }
        Ok(Self {
            store,
            counts: Statistics { loaded: config.loaded, ..Statistics::default() },
            readers: Vec::new(),
            signals: Signals::new(),
            coming: Vec::new(),
            selects: false,
            selects_by_headers: false,
            keep: 0,
            has_packet_ids: false,
            frames,
            now: 0,
            logging_since: 0,
            default_ring_bytes: DEFAULT_RING_BYTES.min(max_ring_bytes),
            max_ring_bytes,
            max_readers: usize::try_from(config.max_readers).unwrap_or(usize::MAX),
        })
    }

    pub(crate) const fn has_readers(&self) -> bool {
        !self.readers.is_empty()
    }

    pub(crate) fn advance(&mut self, now: Nanos) {
        self.now = self.now.max(now);
    }

    /// The counts, with the levels of the block store and the readers filled in.
    pub(crate) fn statistics(&self) -> Statistics {
        let logging = if self.has_readers() { self.now.saturating_sub(self.logging_since) } else { 0 };
        Statistics {
            logging_time: self.counts.logging_time + logging,
            ring_bytes: self.default_ring_bytes as u64,
            // A limit that cuts no packet is reported as no limit.
            snap_length: match self.keep {
                MAX_PACKET_BYTES => SnapLength::ALL,
                bytes => SnapLength::lenient(bytes),
            },
            readers: self.readers.len() as u64,
            blocks: self.store.live() as u64,
            block_bytes: self.store.bytes_taken() as u64,
            ..self.counts
        }
    }

    /// Counts a packet by its attribution and queues it for the readers.
    pub(crate) fn queue(
        &mut self,
        packet: &Packet<'_>,
        attribution: Attribution,
        role: Role,
        tables: &Tables,
    ) -> Result<(), EventError> {
        match attribution {
            Ok((_, method)) => self.counts.methods.count(method),
            Err(reason) => self.counts.no_owner.count(reason),
        }
        if self.readers.is_empty() {
            return Ok(());
        }

        let process = attribution.ok().map(|(process, _)| process.pid);
        let subject = Subject { connection: packet.connection, process };
        if self.selects {
            let inspected = Inspected::new(packet, attribution, tables, self.selects_by_headers);
            self.readers.iter_mut().for_each(|reader| reader.filters.inspect(&inspected));
        }
        let block = pcapng::Packet {
            interface: 0,
            timestamp: packet.at,
            original_length: packet.original_length(),
            data: Cow::Borrowed(&packet.data[..self.kept(packet.data)]),
            flags: Some(packet.flags & !DIRECTION | direction_flags(packet.direction)),
            process_thread: ProcessThread::of_process(process),
            connection: packet.connection,
            process,
            how: Some(attribution.map(|(_, method)| method)),
            receiver: None,
            packet_id: packet.packet_id.filter(|_| self.has_packet_ids),
            other: Vec::new(),
        };
        let block = block.measured().map_err(|_| EventError::OutOfMemory)?;
        let length = block.length();
        if !self.readers.iter().any(|reader| reader.takes(subject, length)) {
            self.readers.iter_mut().for_each(|reader| reader.refuse(subject));
            return Ok(());
        }
        let mut bytes = self.store.buffer(length)?;
        block.emit(BYTE_ORDER, &mut bytes).map_err(|_| EventError::OutOfMemory)?;
        let about = About { subject: packet.connection.unwrap_or(0), process, role };
        let block = self.store.insert(bytes, Kind::Packet, packet.at, about)?;
        self.offer_packet(block, subject, length);
        self.store.release(block);
        Ok(())
    }

    /// How many bytes of a packet's data are kept.
    pub(crate) fn kept(&self, data: &[u8]) -> usize {
        data.len().min(usize::try_from(self.keep).unwrap_or(usize::MAX))
    }

    /// Queues a packet for every reader with filters that it passes.
    fn offer_packet(&mut self, block: BlockIndex, packet: Subject, bytes: usize) {
        for reader in &mut self.readers {
            if reader.offer_packet(block, packet, bytes, &mut self.store) {
                self.signals.raise(reader.id, &mut reader.signalled);
            }
        }
    }

    /// Queues a block for every reader.
    pub(crate) fn offer(&mut self, block: BlockIndex, kind: Kind) {
        let bytes = self.store.bytes(block).len();
        for reader in &mut self.readers {
            if reader.offer(block, kind, bytes, &mut self.store) {
                self.signals.raise(reader.id, &mut reader.signalled);
            }
        }
    }

    /// Queues an event about the process or connection `subject` for every reader. The tables keep no reference to it.
    pub(crate) fn offer_event(
        &mut self,
        bytes: Vec<u8>,
        kind: Kind,
        subject: u64,
        at: Nanos,
    ) -> Result<(), OutOfMemory> {
        let block = self.store.insert(bytes, kind, at, About::event(subject, Role::Plain))?;
        self.offer(block, kind);
        self.store.release(block);
        Ok(())
    }

    /// Corrects queued packets: puts corrected ones in their place in each reader's ring. For a reader that may have
    /// read one of them already, queues a correction.
    pub(crate) fn correct(&mut self, correction: &Correction, at: Nanos) -> Result<(), EventError> {
        let (mut renewed, mut event) = (Renewed::default(), None);
        let mut result = Ok(());
        let store = &mut self.store;
        for reader in &mut self.readers {
            if !reader.takes_connection(correction.connection)
                || reader.correct(correction, &mut renewed, store)
            {
                continue;
            }
            let made = event.map_or_else(|| correction.event(at, store), Ok);
            let Ok(block) = made else {
                result = Err(EventError::OutOfMemory);
                break;
            };
            event = Some(block);
            let bytes = store.bytes(block).len();
            if reader.offer(block, Kind::Connection, bytes, store) {
                self.signals.raise(reader.id, &mut reader.signalled);
            }
        }
        renewed.release(store);
        event.into_iter().for_each(|block| store.release(block));
        result
    }

    pub(crate) fn reader(&self, id: ReaderId) -> Option<&Reader> {
        self.readers.iter().find(|reader| reader.id == id)
    }

    pub(crate) fn reader_mut(&mut self, id: ReaderId) -> Result<&mut Reader, UnknownReader> {
        self.readers.iter_mut().find(|reader| reader.id == id).ok_or(UnknownReader)
    }

    /// Makes sure that there may be one more reader, and that the lists of readers have room for it.
    pub(crate) fn room_for_reader(&mut self) -> Result<(), AttachError> {
        if self.readers.len() >= self.max_readers {
            return Err(AttachError::TooManyReaders);
        }
        self.readers.try_reserve(1).map_err(OutOfMemory::from)?;
        Ok(self.signals.reserve(self.readers.len() + 1)?)
    }

    /// See [`Engine::attach_with`](crate::Engine::attach_with).
    pub(crate) fn attach(
        &mut self,
        ring: RingBuffer,
        options: &ReaderOptions,
        timeline: &mut Timeline,
        now: Nanos,
    ) -> Result<ReaderId, (AttachError, RingBuffer)> {
        let section = self
            .room_for_reader()
            .and_then(|()| Ok(Section::begin(self.frames, timeline, options.snap_length)?));
        let section = match section {
            Ok(section) => section,
            Err(error) => return Err((error, ring)),
        };
        let id = ReaderId(self.counts.readers_total);
        let mut reader = Reader::new(id, ring.0, options.pinned_bytes, options.snap_length, now);
        reader.begin(section, self.dropped_before());
        self.signals.raise(id, &mut reader.signalled);
        self.advance(now);
        if self.readers.is_empty() {
            self.logging_since = self.now;
        }
        fallible::push_reserved(&mut self.readers, reader);
        self.counts.readers_total += 1;
        self.keep = self.keep.max(options.snap_length.bytes());
        Ok(id)
    }

    /// See [`Engine::read`](crate::Engine::read).
    pub(crate) fn read(
        &mut self,
        reader: ReaderId,
        buffer: &mut [u8],
        timeline: &mut Timeline,
    ) -> Result<Read, ReadError> {
        let reader = self.readers.iter_mut().find(|candidate| candidate.id == reader);
        let reader = reader.ok_or(ReadError::UnknownReader)?;
        if buffer.is_empty() {
            return Err(ReadError::EmptyBuffer);
        }
        Ok(reader.read(buffer, &mut self.store, timeline))
    }

    /// See [`Engine::mark_restart`](crate::Engine::mark_restart).
    pub(crate) fn mark_restart(
        &mut self,
        reader: ReaderId,
        timeline: &mut Timeline,
        now: Nanos,
    ) -> Result<(), RestartError> {
        let dropped_before = self.dropped_before();
        let reader = self.readers.iter_mut().find(|candidate| candidate.id == reader);
        let reader = reader.ok_or(RestartError::UnknownReader)?;
        if reader.is_marked() {
            return Err(RestartError::Pending);
        }
        let (began, totals) = reader.section_totals(dropped_before);
        let statistics = section::statistics(began, now, &totals)?;
        let next = Section::begin(self.frames, timeline, reader.snap_length)?;
        match self.store.insert(statistics, Kind::Frame, now, About::NONE) {
            Ok(statistics) => {
                if reader.is_empty() {
                    self.signals.raise(reader.id, &mut reader.signalled);
                }
                reader.mark(statistics, next, dropped_before, now);
                Ok(())
            }
            Err(error) => {
                next.release(timeline);
                Err(error.into())
            }
        }
    }

    /// Detaches a reader; `None`: the reader is not attached.
    pub(crate) fn detach(&mut self, reader: ReaderId, timeline: &mut Timeline) -> Option<Detached> {
        let index = self.readers.iter().position(|candidate| candidate.id == reader)?;
        let detached = self.readers.swap_remove(index).detach(&mut self.store, timeline);
        self.signals.forget(reader);
        self.keep_longest();
        self.note_packet_ids();
        self.note_selections();
        if self.readers.is_empty() {
            self.counts.logging_time += self.now.saturating_sub(self.logging_since);
        }
        Some(detached)
    }

    /// See [`Engine::set_snap_length`](crate::Engine::set_snap_length).
    pub(crate) fn set_snap_length(
        &mut self,
        reader: ReaderId,
        snap_length: SnapLength,
    ) -> Result<(), UnknownReader> {
        self.reader_mut(reader)?.set_snap_length(snap_length);
        self.keep_longest();
        Ok(())
    }

    /// See [`Engine::set_packet_ids`](crate::Engine::set_packet_ids).
    pub(crate) fn set_packet_ids(&mut self, reader: ReaderId, wanted: bool) -> Result<(), UnknownReader> {
        self.reader_mut(reader)?.wants_packet_ids = wanted;
        self.note_packet_ids();
        Ok(())
    }

    fn note_packet_ids(&mut self) {
        self.has_packet_ids = self.readers.iter().any(|reader| reader.wants_packet_ids);
    }

    /// Notes what the words of the readers' selections say of a process. See `Selecting::mark`.
    pub(crate) fn mark(&self, event: &pcapng::ProcessEvent<'_>, born: Nanos, marks: &mut Marks) {
        if self.selects {
            self.selectings().for_each(|selecting| selecting.mark(event, born, marks));
        }
    }

    /// Those of all readers, and those that readers get.
    fn selectings(&self) -> impl Iterator<Item = &Selecting> {
        self.readers.iter().filter_map(|reader| reader.filters.selecting()).chain(&self.coming)
    }

    /// Takes a selection with words about processes, for this reader if it is attached already. Returns its place.
    pub(crate) fn begin_selection(
        &mut self,
        selection: &mut Option<Selection>,
        reader: Option<ReaderId>,
        since: Nanos,
    ) -> Result<usize, SelectionError> {
        let is_free = |free: &usize| self.selectings().all(|selecting| selecting.place != Some(*free));
        let own = reader.and_then(|reader| self.reader(reader)?.filters.selecting()?.place);
        let place = own.map(beside).filter(is_free);
        let mut new = (0..PLACES).step_by(2).filter(|place| is_free(place) && is_free(&beside(*place)));
        let place = place.or_else(|| new.next()).ok_or(SelectionError::TooMany)?;
        self.coming.try_reserve(1).map_err(|_| SelectionError::OutOfMemory)?;
        if let Some(selection) = selection.take() {
            fallible::push_reserved(&mut self.coming, Selecting { selection, place: Some(place), since });
        }
        self.note_selections();
        Ok(place)
    }

    /// The selection that a reader gets, by its place.
    pub(crate) fn coming(&self, place: usize) -> Option<&Selecting> {
        self.coming.iter().find(|selecting| selecting.place == Some(place))
    }

    fn take_coming(&mut self, place: usize) -> Option<Selecting> {
        let index = self.coming.iter().position(|selecting| selecting.place == Some(place))?;
        Some(self.coming.swap_remove(index))
    }

    /// Gives a selection back that no reader gets.
    pub(crate) fn abandon_selection(&mut self, place: usize) -> Option<Selection> {
        let selecting = self.take_coming(place);
        self.note_selections();
        selecting.map(|selecting| selecting.selection)
    }

    /// Replaces a reader's selection: by the one that has this place, or by `selection`. Afterwards `selection` is the
    /// former one.
    pub(crate) fn exchange_selection(
        &mut self,
        reader: ReaderId,
        place: Option<usize>,
        selection: &mut Option<Selection>,
    ) -> Result<(), UnknownReader> {
        self.reader_mut(reader)?;
        let new = match place {
            Some(place) => self.take_coming(place),
            None => selection.take().map(|selection| Selecting { selection, place: None, since: 0 }),
        };
        *selection = self.reader_mut(reader)?.filters.exchange_selection(new).map(|former| former.selection);
        self.note_selections();
        Ok(())
    }

    /// See [`Engine::selections`](crate::Engine::selections).
    pub(crate) fn selections(&self) -> impl Iterator<Item = Option<&Selection>> {
        self.readers.iter().map(|reader| Some(&reader.filters.selecting()?.selection))
    }

    /// Whether any reader may want packets of a process with these marks.
    pub(crate) fn may_want(&self, marks: Marks) -> bool {
        let wants =
            |reader: &Reader| reader.filters.selecting().is_none_or(|selecting| selecting.may_want(marks));
        self.readers.iter().any(wants)
    }

    /// See [`Engine::report_filtered_by_source`](crate::Engine::report_filtered_by_source).
    pub(crate) fn report_filtered_by_source(&mut self, total: u64) {
        let packets = total.saturating_sub(self.counts.filtered_by_source);
        self.counts.filtered_by_source += packets;
        self.readers.iter_mut().for_each(|reader| reader.filter_unseen(packets));
    }

    fn note_selections(&mut self) {
        (self.selects, self.selects_by_headers) = (
            self.selectings().next().is_some(),
            self.selectings().any(|selecting| selecting.selection.has_packet_words()),
        );
    }

    fn keep_longest(&mut self) {
        self.keep = self.readers.iter().map(|reader| reader.snap_length.bytes()).max().unwrap_or(0);
    }

    /// See [`Engine::ring_bytes`](crate::Engine::ring_bytes).
    pub(crate) fn ring_bytes(&self, asked: Option<usize>) -> Result<usize, RingBytesError> {
        let Some(bytes) = asked else { return Ok(self.default_ring_bytes) };
        let (min, max) = (MIN_RING_BYTES, self.max_ring_bytes);
        if (min..=max).contains(&bytes) {
            Ok(bytes.next_power_of_two())
        } else {
            Err(RingBytesError { min, max })
        }
    }

    /// See [`Engine::set_default_ring_bytes`](crate::Engine::set_default_ring_bytes).
    pub(crate) fn set_default_ring_bytes(&mut self, bytes: usize) -> Result<usize, RingBytesError> {
        self.default_ring_bytes = self.ring_bytes(Some(bytes))?;
        Ok(self.default_ring_bytes)
    }

    /// See [`Engine::take_signals`](crate::Engine::take_signals).
    pub(crate) fn take_signals(&mut self, wake: impl FnMut(ReaderId)) {
        self.signals.take(wake);
    }

    /// Events that the platform or the engine lost before they could be queued for any reader.
    fn dropped_before(&self) -> PerKind {
        self.counts.dropped_by_source.plus(self.counts.lost)
    }
}
