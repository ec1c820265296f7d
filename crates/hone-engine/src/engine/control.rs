//! What the read interface calls for one reader: attach, read, restart mark, filters, snap length, statistics, detach;
//! and for all of them: the size of new ring buffers, and whom to wake. Under the embedder's one lock.
//!
//! Every call takes time in proportion to what it says, and none depends on how slow another reader is. How much is
//! known matters to none: a section's beginning is looked up as it is read (`timeline`).

use crate::{
    AttachError, Detached, Engine, Filter, FilterError, MIN_RING_BYTES, Nanos, OutOfMemory, PerKind,
    PreparedFilter, Read, ReadError, ReaderId, ReaderOptions, ReaderStatistics, RestartError, RingBuffer,
    RingBytesError, UnknownReader, engine::attribution::kept_bytes, fallible, readers::reader::Reader,
    readers::section, statistics::Kind,
};

impl Engine {
    /// Attaches a reader. It begins with a section of the state at this moment, stated at `now`.
    ///
    /// # Errors
    /// An option is out of range, there are too many readers, or there is no memory.
    pub fn attach(&mut self, options: &ReaderOptions, now: Nanos) -> Result<ReaderId, AttachError> {
        self.room_for_reader()?;
        let ring = RingBuffer::new(self.ring_bytes(options.ring_bytes)?)?;
        self.attach_with(ring, options, now).map_err(|(error, _)| error)
    }

    /// The same with a ring buffer that is there already; that of `options` is not looked at. Takes the same
    /// time whatever its size.
    ///
    /// # Errors
    /// There are too many readers, or there is no memory. Gives the ring buffer back, to be freed without the lock.
    pub fn attach_with(
        &mut self,
        ring: RingBuffer,
        options: &ReaderOptions,
        now: Nanos,
    ) -> Result<ReaderId, (AttachError, RingBuffer)> {
        let begun = self.room_for_reader().and_then(|()| Ok(self.section(options.snap_length)?));
        let section = match begun {
            Ok(section) => section,
            Err(error) => return Err((error, ring)),
        };
        let id = ReaderId(self.counts.readers_total);
        let mut reader = Reader::new(id, ring.0, options.pinned_bytes, options.snap_length, now);
        reader.begin(section, self.dropped_before());
        self.signals.raise(id, &mut reader.signalled);
        self.now = self.now.max(now);
        if self.readers.is_empty() {
            self.logging_since = self.now;
        }
        fallible::push_reserved(&mut self.readers, reader);
        self.counts.readers_total += 1;
        self.keep = self.keep.max(kept_bytes(options.snap_length));
        Ok(id)
    }

    /// The size of a ring buffer of `asked` bytes, rounded up to a power of two; `None`: of readers that do not ask.
    ///
    /// # Errors
    /// The size is out of range.
    pub fn ring_bytes(&self, asked: Option<usize>) -> Result<usize, RingBytesError> {
        asked.map_or(Ok(self.ring_bytes), |bytes| self.ring_size(bytes))
    }

    /// Makes room in the lists of readers for one more.
    fn room_for_reader(&mut self) -> Result<(), AttachError> {
        if self.readers.len() >= usize::try_from(self.max_readers).unwrap_or(usize::MAX) {
            return Err(AttachError::TooManyReaders);
        }
        self.readers.try_reserve(1).map_err(OutOfMemory::from)?;
        Ok(self.signals.reserve(self.readers.len() + 1)?)
    }

    /// Fills `buffer` with what waits for the reader: as many whole blocks as fit, at most
    /// [`READ_BLOCKS`](crate::READ_BLOCKS). A block larger than all of `buffer` goes in parts; with a buffer larger than the
    /// largest block every read ends at the end of a block.
    ///
    /// Packets that are held stay so, whatever the time: what they wait for may have happened and not be told yet. Only
    /// events and [`tick`](Self::tick) end their wait.
    ///
    /// # Errors
    /// The reader is not attached, or `buffer` is empty.
    pub fn read(&mut self, reader: ReaderId, buffer: &mut [u8], now: Nanos) -> Result<Read, ReadError> {
        self.forget(now);
        let index = self.index(reader).ok_or(ReadError::UnknownReader)?;
        if buffer.is_empty() {
            return Err(ReadError::EmptyBuffer);
        }
        Ok(self.readers[index].read(buffer, &mut self.store, &mut self.timeline))
    }

    /// Ends the reader's section behind what is queued for it, and begins another with the state at this moment: the
    /// reader reads the rest of its section, the section's statistics block, one [`Read::SectionEnd`], and then the
    /// new section. Nothing is lost or told twice but that state.
    ///
    /// # Errors
    /// The reader is not attached, has not come to its last mark yet, or there is no memory. Then nothing has changed.
    pub fn mark_restart(&mut self, reader: ReaderId, now: Nanos) -> Result<(), RestartError> {
        let index = self.index(reader).ok_or(RestartError::UnknownReader)?;
        let reader = &self.readers[index];
        if reader.is_marked() {
            return Err(RestartError::Pending);
        }
        let dropped_before = self.dropped_before();
        let (began, totals) = reader.section_totals(dropped_before);
        let statistics = section::statistics(began, now, &totals)?;
        let next = self.section(reader.snap_length)?;
        match self.store.insert(statistics, Kind::Frame, now) {
            Ok(statistics) => {
                let reader = &mut self.readers[index];
                if reader.is_empty() {
                    self.signals.raise(reader.id, &mut reader.signalled);
                }
                reader.mark(statistics, next, dropped_before, now);
                Ok(())
            }
            Err(error) => {
                next.release(&mut self.timeline);
                Err(error.into())
            }
        }
    }

    /// Detaches a reader; what it has not read is given up. Does nothing if it is not attached. Takes time in proportion to
    /// what it has not read.
    pub fn detach(&mut self, reader: ReaderId) {
        if let Some(mut detached) = self.begin_detach(reader) {
            while !self.release_blocks(&mut detached) {}
        }
    }

    /// The same in steps, between which a shell lets go of its lock: the reader is detached at once, its blocks are
    /// released by [`release_blocks`](Self::release_blocks). `None`: it is not attached.
    pub fn begin_detach(&mut self, reader: ReaderId) -> Option<Detached> {
        let index = self.index(reader)?;
        let detached = self.readers.swap_remove(index).detach(&mut self.store, &mut self.timeline);
        self.signals.forget(reader);
        self.keep_longest();
        if self.readers.is_empty() {
            self.counts.logging_time += self.now.saturating_sub(self.logging_since);
            self.release_held();
        }
        Some(detached)
    }

    /// Releases some blocks of a reader of this engine that was detached, at most as many as one read; whether that was all.
    /// Then it is to be dropped, without the lock.
    pub fn release_blocks(&mut self, detached: &mut Detached) -> bool {
        detached.release(&mut self.store)
    }

    /// Sets one of the reader's filters. Applies to packets queued from now on.
    ///
    /// # Errors
    /// The reader is not attached, the list is too long, or there is no memory. Then the filter is as it was.
    pub fn set_filter(&mut self, reader: ReaderId, filter: Filter<'_>) -> Result<(), FilterError> {
        let mut filter = PreparedFilter::new(filter, self.max_filter_ids)?;
        self.exchange_filter(reader, &mut filter).map_err(|UnknownReader| FilterError::UnknownReader)
    }

    /// The same with a list that is sorted already. `filter` then has the reader's former list, to be freed without the lock.
    ///
    /// # Errors
    /// The reader is not attached.
    pub fn exchange_filter(
        &mut self,
        reader: ReaderId,
        filter: &mut PreparedFilter,
    ) -> Result<(), UnknownReader> {
        let index = self.index(reader).ok_or(UnknownReader)?;
        self.readers[index].filters.exchange(filter);
        Ok(())
    }

    /// Sets the reader's snap length, bytes of each packet's data; 0: all there is. Applies to packets queued from now
    /// on. A section's interface says the longest snap length that its packets may have, if that is known when it is
    /// read; where it is raised later, a restart mark makes the file right for programs that refuse longer packets.
    ///
    /// # Errors
    /// The reader is not attached.
    pub fn set_snap_length(&mut self, reader: ReaderId, snap_length: u32) -> Result<(), UnknownReader> {
        let index = self.index(reader).ok_or(UnknownReader)?;
        self.readers[index].set_snap_length(snap_length);
        self.keep_longest();
        Ok(())
    }

    /// Sets how many bytes of blocks may wait in the reader's ring from now on. What waits already stays.
    ///
    /// # Errors
    /// The reader is not attached.
    pub fn set_pinned_bytes(&mut self, reader: ReaderId, pinned_bytes: usize) -> Result<(), UnknownReader> {
        let index = self.index(reader).ok_or(UnknownReader)?;
        self.readers[index].set_max_queued_bytes(pinned_bytes);
        Ok(())
    }

    /// Whether the reader has a section's beginning yet to read: what ran and was open then is kept in memory for it, be it
    /// ended since, and is not among the bytes that may wait in its ring. `None` if it is not attached.
    #[must_use]
    pub fn keeps_state(&self, reader: ReaderId) -> Option<bool> {
        self.index(reader).map(|index| self.readers[index].keeps_state())
    }

    /// The reader's snap length; `None` if it is not attached.
    #[must_use]
    pub fn snap_length(&self, reader: ReaderId) -> Option<u32> {
        self.index(reader).map(|index| self.readers[index].snap_length)
    }

    /// Sets the ring buffer of readers that attach from now on and do not ask for another size: [`MIN_RING_BYTES`] to
    /// [`Config::max_ring_bytes`](crate::Config::max_ring_bytes) bytes, rounded up to a power of two. Gives the size.
    ///
    /// # Errors
    /// The size is out of range; it stays what it was.
    pub fn set_default_ring_bytes(&mut self, bytes: usize) -> Result<usize, RingBytesError> {
        self.ring_bytes = self.ring_size(bytes)?;
        Ok(self.ring_bytes)
    }

    /// Gives the readers that are to be woken, each once: those of whom nothing was left to read, and for whom a block
    /// was queued or a section has begun or ended since the last call; also those newly attached. Takes time in
    /// proportion to their number, so next to none where there are none.
    ///
    /// To be called after each of [`handle`](Self::handle), [`restate`](Self::restate), [`attach`](Self::attach),
    /// [`read`](Self::read), [`mark_restart`](Self::mark_restart), [`tick`](Self::tick) and
    /// [`set_open_connections`](Self::set_open_connections), before letting go of the lock. A reader reads until
    /// [`Read::Empty`] and then waits; so no wake-up is lost, and at most one is spent on a reader that came by itself.
    pub fn take_signals(&mut self, wake: impl FnMut(ReaderId)) {
        self.signals.take(wake);
    }

    /// What the reader got so far; `None` if it is not attached.
    #[must_use]
    pub fn reader_statistics(&self, reader: ReaderId) -> Option<ReaderStatistics> {
        self.index(reader).map(|index| self.readers[index].statistics())
    }

    /// Everything lost before any reader could be told.
    fn dropped_before(&self) -> PerKind {
        self.counts.dropped_by_source.plus(self.counts.lost)
    }

    /// A ring buffer's size, rounded up.
    fn ring_size(&self, bytes: usize) -> Result<usize, RingBytesError> {
        let (min, max) = (MIN_RING_BYTES, self.max_ring_bytes);
        if (min..=max).contains(&bytes) {
            Ok(bytes.next_power_of_two())
        } else {
            Err(RingBytesError { min, max })
        }
    }

    fn keep_longest(&mut self) {
        self.keep = self.readers.iter().map(|reader| kept_bytes(reader.snap_length)).max().unwrap_or(0);
    }

    fn index(&self, reader: ReaderId) -> Option<usize> {
        self.readers.iter().position(|candidate| candidate.id == reader)
    }
}
