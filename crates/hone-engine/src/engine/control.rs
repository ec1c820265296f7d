//! What the read interface calls. For one reader: attach, read, restart mark, filters, snap length, statistics, detach. For
//! all of them: the open-connection list, the size of new ring buffers, and which readers to wake. Under the embedder's one
//! lock.
//!
//! Each call takes time in proportion to its own arguments, whatever else is known, and no call depends on how slow another
//! reader is: a section's beginning is looked up as it is read (`tables::timeline`).

use crate::{
    AttachError, Detached, Engine, Filter, FilterError, Nanos, OpenConnection, OpenList, OpenListError,
    PreparedFilter, Read, ReadError, ReaderId, ReaderOptions, ReaderStatistics, RestartError, RingBuffer,
    RingBytesError, SnapLength, UnknownReader, readers::reader::Reader, tables::table,
};

impl Engine {
    /// Attaches a reader. Its first section begins with a snapshot of the state at this moment; `now` is the reader's time
    /// of attachment.
    ///
    /// # Errors
    /// An option is out of range, there are too many readers, or there is no memory.
    pub fn attach(&mut self, options: &ReaderOptions, now: Nanos) -> Result<ReaderId, AttachError> {
        self.queues.room_for_reader()?;
        let ring = RingBuffer::new(self.ring_bytes(options.ring_bytes)?)?;
        self.attach_with(ring, options, now).map_err(|(error, _)| error)
    }

    /// The same with a ring buffer that exists already; [`ReaderOptions::ring_bytes`] is ignored. Takes the same time
    /// whatever its size.
    ///
    /// # Errors
    /// There are too many readers, or there is no memory. Returns the ring buffer too, to be freed without the lock.
    pub fn attach_with(
        &mut self,
        ring: RingBuffer,
        options: &ReaderOptions,
        now: Nanos,
    ) -> Result<ReaderId, (AttachError, RingBuffer)> {
        self.queues.attach(ring, options, self.tables.timeline(), now)
    }

    /// The size of a ring buffer of `asked` bytes, rounded up to a power of two. `None`: of readers that do not ask.
    ///
    /// # Errors
    /// The size is out of range.
    pub fn ring_bytes(&self, asked: Option<usize>) -> Result<usize, RingBytesError> {
        self.queues.ring_bytes(asked)
    }

    /// Sets the ring buffer of readers that attach from now on and do not ask for another size:
    /// [`MIN_RING_BYTES`](crate::MIN_RING_BYTES) to [`Config::max_ring_bytes`](crate::Config::max_ring_bytes) bytes,
    /// rounded up to a power of two. Returns the size.
    ///
    /// # Errors
    /// The size is out of range; it stays what it was.
    pub fn set_default_ring_bytes(&mut self, bytes: usize) -> Result<usize, RingBytesError> {
        self.queues.set_default_ring_bytes(bytes)
    }

    /// Fills `buffer` with what waits for the reader: as many whole blocks as fit, at most
    /// [`READ_BLOCKS`](crate::READ_BLOCKS). A block larger than all of `buffer` is returned in parts; with a buffer larger
    /// than the largest block every read ends at the end of a block.
    ///
    /// Held packets stay held, whatever the time: what they wait for may have happened and not be reported yet. Only
    /// events and [`tick`](Self::tick) end their wait.
    ///
    /// # Errors
    /// The reader is not attached, or `buffer` is empty.
    pub fn read(&mut self, reader: ReaderId, buffer: &mut [u8], now: Nanos) -> Result<Read, ReadError> {
        self.expire_tables(now, table::EXPIRE_WITH_EVENT);
        self.queues.read(reader, buffer, self.tables.timeline())
    }

    /// Ends the reader's section behind what is queued for it, and begins another with a snapshot of the state at this
    /// moment. The reader reads the rest of its section, the section's statistics block, one [`Read::SectionEnd`], and then
    /// the new section. Nothing is lost, and nothing but the snapshot is repeated.
    ///
    /// # Errors
    /// The reader is not attached, has not read up to its last mark yet, or there is no memory. Then nothing has changed.
    pub fn mark_restart(&mut self, reader: ReaderId, now: Nanos) -> Result<(), RestartError> {
        self.queues.mark_restart(reader, self.tables.timeline(), now)
    }

    /// Detaches a reader; what it has not read is discarded. Does nothing if it is not attached. Takes time in proportion
    /// to what it has not read.
    pub fn detach(&mut self, reader: ReaderId) {
        if let Some(mut detached) = self.begin_detach(reader) {
            while !self.release_blocks(&mut detached) {}
        }
    }

    /// The same in steps, between which a shell can unlock its lock: the reader is detached at once, its blocks are
    /// released by [`release_blocks`](Self::release_blocks). `None`: it is not attached.
    pub fn begin_detach(&mut self, reader: ReaderId) -> Option<Detached> {
        let detached = self.queues.detach(reader, self.tables.timeline())?;
        if !self.queues.has_readers() {
            self.flush_held();
        }
        Some(detached)
    }

    /// Releases some blocks of a detached reader of this engine, at most [`READ_BLOCKS`](crate::READ_BLOCKS). Returns
    /// whether that was all; then `detached` is to be dropped, without the lock.
    pub fn release_blocks(&mut self, detached: &mut Detached) -> bool {
        detached.release(&mut self.queues.store)
    }

    /// Replaces the open-connection list with `records`. The list names the process of packets whose owner is
    /// [`Owner::Ask`](crate::Owner::Ask) and whose connection has no owner; the connection is then that process's. So held
    /// packets that the new list names an owner for leave. Takes time in proportion to the records and the held packets.
    ///
    /// # Errors
    /// There are more than [`Config::max_open_connections`](crate::Config::max_open_connections) records, or there is no
    /// memory. The list stays as it was.
    pub fn set_open_connections(
        &mut self,
        records: &[OpenConnection],
        now: Nanos,
    ) -> Result<(), OpenListError> {
        let mut list = OpenList::new(records, self.tables.max_open_connections())?;
        self.exchange_open_connections(&mut list, now);
        Ok(())
    }

    /// The same with a list that exists already. `list` is then the former one, to be freed without the lock. Takes time in
    /// proportion to the held packets.
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
    /// The reader is not attached, the list is too long, or there is no memory. Then the filter is as it was.
    pub fn set_filter(&mut self, reader: ReaderId, filter: Filter<'_>) -> Result<(), FilterError> {
        let mut filter = PreparedFilter::new(filter, self.max_filter_ids)?;
        self.exchange_filter(reader, &mut filter).map_err(|UnknownReader| FilterError::UnknownReader)
    }

    /// The same with a list that is sorted already. `filter` then has the reader's former list, to be freed without the
    /// lock.
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

    /// Sets the reader's snap length, bytes of each packet's data; 0: all there is. Applies to packets queued from now
    /// on. A section's interface block names the longest snap length that its packets may have, as far as that is known when
    /// the block is read. Some programs refuse packets that are longer; where the snap length is raised later, a restart mark
    /// makes the file right for them.
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

    /// Sets how many bytes of blocks may wait in the reader's ring from now on. What waits already stays.
    ///
    /// # Errors
    /// The reader is not attached.
    pub fn set_pinned_bytes(&mut self, reader: ReaderId, pinned_bytes: usize) -> Result<(), UnknownReader> {
        self.queues.reader_mut(reader)?.set_max_queued_bytes(pinned_bytes);
        Ok(())
    }

    /// Whether the reader has yet to read the snapshot of a section. The blocks of the snapshot stay in memory for it, also
    /// of processes and connections that have ended since; they are not among the bytes that may wait in its ring. `None` if
    /// it is not attached.
    #[must_use]
    pub fn keeps_state(&self, reader: ReaderId) -> Option<bool> {
        self.queues.reader(reader).map(Reader::keeps_state)
    }

    /// The reader's snap length; `None` if it is not attached.
    #[must_use]
    pub fn snap_length(&self, reader: ReaderId) -> Option<SnapLength> {
        self.queues.reader(reader).map(|reader| reader.snap_length)
    }

    /// What the reader got so far; `None` if it is not attached.
    #[must_use]
    pub fn reader_statistics(&self, reader: ReaderId) -> Option<ReaderStatistics> {
        self.queues.reader(reader).map(Reader::statistics)
    }

    /// Calls `wake` once for each reader that is to be woken: those that had nothing left to read, and for which a block was
    /// queued or a section has begun or ended since the last call; also those newly attached. Takes time in proportion to
    /// their number, so next to none where there are none.
    ///
    /// To be called after each of [`handle`](Self::handle), [`restate`](Self::restate), [`attach`](Self::attach),
    /// [`read`](Self::read), [`mark_restart`](Self::mark_restart), [`tick`](Self::tick) and
    /// [`set_open_connections`](Self::set_open_connections), before the lock is unlocked. A reader reads until
    /// [`Read::Empty`] and then waits. So no wake-up is lost, and a reader that reads by itself is woken at most once in
    /// vain.
    pub fn take_signals(&mut self, wake: impl FnMut(ReaderId)) {
        self.queues.take_signals(wake);
    }
}
