//! The calls of the read interface. For one reader: attach, read, restart mark, filters, snap length, statistics,
//! detach. For all readers: the open-connection list, the size of new ring buffers, and which readers to wake. Called
//! under the embedder's one lock.
//!
//! The time of a call depends on its own arguments, not on the size of the tables or on how slow another reader is; only
//! some steps of setting a selection look at each process, without comparing it
//! ([`new_selection`](crate::engine::new_selection)). To attach a reader copies no snapshot: the snapshot's blocks are looked up as they are read (`tables::timeline`).

use hone_select::Selection;

use crate::{
    AttachError, Detached, Engine, Filter, FilterError, Nanos, OpenConnection, OpenList, OpenListError,
    PreparedFilter, ProcessKey, Read, ReadError, ReaderId, ReaderOptions, ReaderStatistics, RestartError,
    RingBuffer, RingBytesError, SnapLength, UnknownReader, readers::reader::Reader, tables::table,
};

impl Engine {
    /// Attaches a reader. Its first section begins with a snapshot of the state at this moment; `now` is the reader's
    /// time of attachment.
    ///
    /// # Errors
    /// An option is out of range, there are too many readers, or there is no memory.
    pub fn attach(&mut self, options: &ReaderOptions, now: Nanos) -> Result<ReaderId, AttachError> {
        self.queues.room_for_reader()?;
        let ring = RingBuffer::new(self.ring_bytes(options.ring_bytes)?)?;
        self.attach_with(ring, options, now).map_err(|(error, _)| error)
    }

    /// Like [`attach`](Self::attach), with a ring buffer that exists already; [`ReaderOptions::ring_bytes`] is ignored.
    /// The time that this takes does not depend on the ring buffer's size.
    ///
    /// # Errors
    /// There are too many readers, or there is no memory. The ring buffer is returned too, so that the caller can free
    /// it without the lock.
    pub fn attach_with(
        &mut self,
        ring: RingBuffer,
        options: &ReaderOptions,
        now: Nanos,
    ) -> Result<ReaderId, (AttachError, RingBuffer)> {
        self.queues.attach(ring, options, self.tables.timeline(), now)
    }

    /// The size that a ring buffer of `asked` bytes gets, in bytes: `asked` rounded up to a power of two. For `None`,
    /// the size for readers that ask for none.
    ///
    /// # Errors
    /// The size is out of range.
    pub fn ring_bytes(&self, asked: Option<usize>) -> Result<usize, RingBytesError> {
        self.queues.ring_bytes(asked)
    }

    /// Sets the ring buffer size for readers that attach from now on and ask for no size:
    /// [`MIN_RING_BYTES`](crate::MIN_RING_BYTES) to [`Config::max_ring_bytes`](crate::Config::max_ring_bytes) bytes,
    /// rounded up to a power of two. Returns the rounded size.
    ///
    /// # Errors
    /// The size is out of range; the former size stays.
    pub fn set_default_ring_bytes(&mut self, bytes: usize) -> Result<usize, RingBytesError> {
        self.queues.set_default_ring_bytes(bytes)
    }

    /// Fills `buffer` with the blocks that wait for the reader: as many whole blocks as fit, at most
    /// [`READ_BLOCKS`](crate::READ_BLOCKS). A block larger than the whole `buffer` is returned in parts, one in each
    /// read. If `buffer` is larger than the largest block, every read ends at the end of a block.
    ///
    /// A read never ends the wait of held packets, whatever `now` is: the event that they wait for may have happened
    /// but not be reported yet. Only events and [`tick`](Self::tick) end their wait.
    ///
    /// # Errors
    /// The reader is not attached, or `buffer` is empty.
    pub fn read(&mut self, reader: ReaderId, buffer: &mut [u8], now: Nanos) -> Result<Read, ReadError> {
        self.expire_tables(now, table::EXPIRE_WITH_EVENT);
        self.queues.read(reader, buffer, self.tables.timeline())
    }

    /// Ends the reader's section after the last block that is queued for it, and begins another with a snapshot of the
    /// state at this moment. The reader reads the rest of its section, the section's statistics block, one
    /// [`Read::SectionEnd`], and then the new section. No block is lost, and only the snapshot repeats what was read
    /// before.
    ///
    /// # Errors
    /// The reader is not attached, it has not read up to its last mark yet, or there is no memory. Then nothing has
    /// changed.
    pub fn mark_restart(&mut self, reader: ReaderId, now: Nanos) -> Result<(), RestartError> {
        self.queues.mark_restart(reader, self.tables.timeline(), now)
    }

    /// Detaches a reader and discards the blocks that it has not read. Does nothing if the reader is not attached.
    /// Takes time in proportion to the number of those blocks.
    pub fn detach(&mut self, reader: ReaderId) {
        if let Some(mut detached) = self.begin_detach(reader) {
            while !self.release_blocks(&mut detached) {}
        }
    }

    /// Like [`detach`](Self::detach), but in steps, between which a shell can unlock its lock. This step detaches the
    /// reader; [`release_blocks`](Self::release_blocks) then releases its blocks. `None`: the reader is not attached.
    pub fn begin_detach(&mut self, reader: ReaderId) -> Option<Detached> {
        let detached = self.queues.detach(reader, self.tables.timeline())?;
        if !self.queues.has_readers() {
            self.flush_held();
        }
        Some(detached)
    }

    /// Releases some blocks of a detached reader of this engine, at most [`READ_BLOCKS`](crate::READ_BLOCKS). Returns
    /// whether none are left. Then the caller should drop `detached`, without the lock.
    pub fn release_blocks(&mut self, detached: &mut Detached) -> bool {
        detached.release(&mut self.queues.store)
    }

    /// Replaces the open-connection list with `records`. The list is used for packets with
    /// [`Owner::Ask`](crate::Owner::Ask) if their connection has no owner: the process that it names becomes the
    /// connection's owner. Held packets for which the new list names an owner leave at once. Takes time in proportion
    /// to the records and the held packets.
    ///
    /// # Errors
    /// There are more than [`Config::max_open_connections`](crate::Config::max_open_connections) records, or there is
    /// no memory. The list stays as it was.
    pub fn set_open_connections(
        &mut self,
        records: &[OpenConnection],
        now: Nanos,
    ) -> Result<(), OpenListError> {
        let mut list = OpenList::new(records, self.tables.max_open_connections())?;
        self.exchange_open_connections(&mut list, now);
        Ok(())
    }

    /// Like [`set_open_connections`](Self::set_open_connections), with a list that exists already. Afterwards `list` is
    /// the former list, which the caller can free without the lock. Takes time in proportion to the held packets.
    pub fn exchange_open_connections(&mut self, list: &mut OpenList, now: Nanos) {
        self.expire_tables(now, table::EXPIRE_WITH_EVENT);
        self.tables.exchange_open_list(list);
        let mut walk = self.held.queue().walk();
        while let Some(held) = self.held.queue().at(&walk) {
            let connection = held.connection;
            let Some(owner) = held.tuple.and_then(|tuple| self.tables.listed(&tuple)) else {
                self.held.queue().step(&mut walk, None);
                continue;
            };
            self.held.queue().step(&mut walk, Some(connection));
            self.learn(connection, Some(owner), now);
        }
    }

    /// Sets one of the reader's filters. Applies to packets queued from now on.
    ///
    /// # Errors
    /// The reader is not attached, the list is too long, or there is no memory. Then the filter has not changed.
    pub fn set_filter(&mut self, reader: ReaderId, filter: Filter<'_>) -> Result<(), FilterError> {
        let mut filter = PreparedFilter::new(filter, self.max_filter_ids)?;
        self.exchange_filter(reader, &mut filter).map_err(|UnknownReader| FilterError::UnknownReader)
    }

    /// Like [`set_filter`](Self::set_filter), with a list that is sorted already. Afterwards `filter` has the reader's
    /// former list, which the caller can free without the lock.
    ///
    /// # Errors
    /// The reader is not attached.
    pub fn exchange_filter(
        &mut self,
        reader: ReaderId,
        filter: &mut PreparedFilter,
    ) -> Result<(), UnknownReader> {
        self.queues.reader_mut(reader)?.filters.exchange(filter);
        Ok(())
    }

    /// How many processes are known: those that run, and those that have ended but are remembered for a while.
    #[must_use]
    pub fn known_processes(&self) -> usize {
        self.tables.known_processes()
    }

    /// The selection of each reader that is attached; `None`: it wants all packets.
    pub fn selections(&self) -> impl Iterator<Item = Option<&Selection>> {
        self.queues.selections()
    }

    /// Whether any reader may want packets of this process, as far as the words about processes say. One that is not known
    /// may be wanted.
    #[must_use]
    pub fn may_want(&self, process: ProcessKey) -> bool {
        let Some(known) = self.tables.same_process(process) else { return true };
        self.queues.may_want(known.identity.marks)
    }

    /// Calls `look` for each running process.
    pub fn for_each_process(&self, mut look: impl FnMut(ProcessKey)) {
        self.tables.for_each_running(&mut look);
    }

    /// Sets the reader's snap length: most bytes of each packet's data. Applies to packets queued from now on.
    ///
    /// A section's interface block states the longest snap length of the section's packets, as far as it is known when
    /// the block is read. Some programs refuse longer packets. For them, set a restart mark after raising the snap
    /// length: the new section states the new one.
    ///
    /// # Errors
    /// The reader is not attached.
    pub fn set_snap_length(
        &mut self,
        reader: ReaderId,
        snap_length: SnapLength,
    ) -> Result<(), UnknownReader> {
        self.queues.set_snap_length(reader, snap_length)
    }

    /// Sets whether the reader wants packets that are seen twice, as they are sent and as they are received, to have the
    /// same number both times ([`Packet::packet_id`](crate::Packet::packet_id)). Applies to packets queued from now on. Blocks
    /// are stored once for all readers, so the others get these numbers, too.
    ///
    /// # Errors
    /// The reader is not attached.
    pub fn set_packet_ids(&mut self, reader: ReaderId, wanted: bool) -> Result<(), UnknownReader> {
        self.queues.set_packet_ids(reader, wanted)
    }

    /// Sets how many bytes of blocks may wait in the reader's ring from now on. Blocks that wait already stay.
    ///
    /// # Errors
    /// The reader is not attached.
    pub fn set_pinned_bytes(&mut self, reader: ReaderId, pinned_bytes: usize) -> Result<(), UnknownReader> {
        self.queues.reader_mut(reader)?.set_max_queued_bytes(pinned_bytes);
        Ok(())
    }

    /// Whether the reader has not read the snapshot of a section to its end yet. Until then the snapshot's blocks stay
    /// in memory, also those of processes and connections that have ended since. They do not count towards the bytes
    /// that may wait in the reader's ring. `None`: the reader is not attached.
    #[must_use]
    pub fn keeps_state(&self, reader: ReaderId) -> Option<bool> {
        self.queues.reader(reader).map(Reader::keeps_state)
    }

    /// The reader's snap length; `None`: the reader is not attached.
    #[must_use]
    pub fn snap_length(&self, reader: ReaderId) -> Option<SnapLength> {
        self.queues.reader(reader).map(|reader| reader.snap_length)
    }

    /// The reader's counts since it was attached; `None`: the reader is not attached.
    #[must_use]
    pub fn reader_statistics(&self, reader: ReaderId) -> Option<ReaderStatistics> {
        self.queues.reader(reader).map(Reader::statistics)
    }

    /// Calls `wake` once for each reader to wake. That is a reader that attached since the last call, or had nothing
    /// left to read and for which, since then, a block was queued or a section began or ended. Takes time in proportion
    /// to the number of these readers; with none it takes almost no time.
    ///
    /// Call this before you unlock the lock, after each of [`handle`](Self::handle), [`restate`](Self::restate),
    /// [`attach`](Self::attach), [`read`](Self::read), [`mark_restart`](Self::mark_restart), [`tick`](Self::tick) and
    /// [`set_open_connections`](Self::set_open_connections). A reader reads until [`Read::Empty`] and then waits. So no
    /// wake-up is lost, and a reader that reads without being woken gets at most one wake-up that it did not need.
    pub fn take_signals(&mut self, wake: impl FnMut(ReaderId)) {
        self.queues.take_signals(wake);
    }
}
