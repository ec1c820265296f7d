//! Carries out clients' requests. Each is checked first, then done under the hub's lock.
//! Called by the connection's thread.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use hone_api::{Operation, Request};
use hone_client::Refusal;
use hone_client::protocol::{Asked, Attach, Extra, number};
use hone_engine::{
    AttachError, FilterError, NewSelection, OpenListError, PreparedFilter, ReaderId, RestartError,
    RingBuffer, SelectionError, SnapLength,
};
use hone_queue::{Answer, Refused as RefusedByQueue};
use hone_select::Selection;

use crate::hub::{Attached, Hub, Phase};
use crate::input::Refused;
use crate::memory_report;
use crate::peer::Peer;
use crate::places::{NoPlace, Place, Room};
use crate::recent::Saving;
use crate::selections::Limit;
use crate::session::Session;

/// The output, or why the request is refused.
type Output = Result<Vec<u8>, Refused>;

const NOT_ATTACHED: &str = "the connection is no reader: attach first";

/// Whether a request may be received, by its header: memory for its input, or the reason for a refusal.
pub(crate) fn admit(
    hub: &Hub,
    peer: &Peer,
    asked: Option<Asked>,
    code: u16,
    length: usize,
) -> Result<Room, Refused> {
    let Some(asked) = asked else {
        return Err((
            Refusal::UnknownOperation,
            format!("no operation has the number {code:#x}; is the client newer than this honed?"),
        ));
    };
    if let Some(what) = of_all_readers(asked)
        && !peer.is_root()
    {
        return Err((
            Refusal::Permission,
            format!("{what}: this concerns all readers, so only root may ask for it (sudo)"),
        ));
    }
    hub.requests.room(length).ok_or_else(|| {
        (
            Refusal::NoMemory,
            "other clients' requests take all the memory there is for them; try again".to_owned(),
        )
    })
}

/// Operations that affect every reader, which only root may request.
const fn of_all_readers(asked: Asked) -> Option<&'static str> {
    Some(match asked {
        Asked::Control(Operation::SetRingBytes) => "the ring buffer of new readers",
        Asked::Control(Operation::SetOpenConnections | Operation::SetOpenConnections2) => {
            "the list of open connections"
        }
        Asked::Control(Operation::SetLogLevels) => "log levels",
        Asked::Extra(Extra::Stop) => "stop",
        _ => return None,
    })
}

impl Session {
    /// Carries out a request.
    pub(crate) fn carry_out(&mut self, code: u16, input: &[u8]) -> Output {
        match Asked::of(code) {
            Some(Asked::Control(operation)) => self.control(operation, input),
            Some(Asked::Extra(extra)) => self.extra(extra, input),
            // Already refused because of its header.
            None => Err((Refusal::UnknownOperation, String::new())),
        }
    }

    fn control(&mut self, operation: Operation, input: &[u8]) -> Output {
        let request =
            Request::parse(operation, input).map_err(|error| (Refusal::Input, error.to_string()))?;
        if let Request::SetDataEvent(_) = request {
            return Err((
                Refusal::Unsupported,
                "there are no event handles on Linux: wait until the socket can be read".to_owned(),
            ));
        }
        let refused = |why| refused(why, operation);
        if let Some(filter) = hone_queue::prepared_filter(&*self.hub, &request) {
            let filter = filter.map_err(|error| refused(RefusedByQueue::Filter(error)))?;
            return self.set_filter(filter).map(|()| Vec::new()).map_err(refused);
        }
        if let Request::SetSelection(text) = request {
            return self.set_selection(&request, text.len()).map(|()| Vec::new());
        }
        let answer = hone_queue::carry_out(&*self.hub, self.reader, &request).map_err(refused)?;
        match answer {
            Answer::RingBytes(size) => {
                tracing::info!("{} sets the ring buffer of new readers to {size} bytes", self.peer);
            }
            Answer::OpenConnections { listed, known } => {
                tracing::info!("{} lists {listed} open connections, {known} of running processes", self.peer);
            }
            Answer::NewLogLevels(levels) => tracing::info!("{} sets the log levels to {levels}", self.peer),
            _ => {}
        }
        let reply = answer.reply();
        let mut bytes = vec![0; reply.len()];
        // The buffer has the length that the reply needs.
        let _ = reply.encode(&mut bytes);
        Ok(bytes)
    }

    /// Sets a filter of the reader. If there is no reader yet, keeps it until the connection attaches.
    fn set_filter(&mut self, mut filter: PreparedFilter) -> Result<(), RefusedByQueue> {
        self.filters.count(&self.hub, filter.kind(), filter.ids());
        match self.reader {
            Some(reader) => hone_queue::set_filter(&*self.hub, reader, &mut filter).map(drop),
            None => {
                self.filters.keep(filter);
                Ok(())
            }
        }
    }

    /// Sets the selection that the request has, of so many bytes of text.
    fn set_selection(&mut self, request: &Request<'_>, bytes: usize) -> Result<(), Refused> {
        let (user, former) = (self.peer.user(), self.filters.selection_bytes());
        self.hub.selections.set(user, former, bytes, Instant::now()).map_err(|limit| {
            let why = match limit {
                Limit::Often => Refusal::Busy,
                Limit::Long => Refusal::TooMany,
            };
            (why, limit.to_string())
        })?;
        let prepared = hone_queue::prepared_selection(&*self.hub, request).unwrap_or(Ok(None));
        let set =
            prepared.map_err(RefusedByQueue::SelectionText).and_then(|selection| self.exchange(selection));
        match set {
            Ok(()) => self.filters.count_selection(user, bytes),
            Err(_) => self.hub.selections.put_back(user, bytes, former),
        }
        set.map_err(|why| refused(why, Operation::SetSelection))
    }

    /// Exchanges the selection of the reader. If there is no reader yet, keeps it until the connection attaches.
    fn exchange(&mut self, selection: Option<Selection>) -> Result<(), RefusedByQueue> {
        match self.reader {
            Some(reader) => hone_queue::set_selection(&*self.hub, reader, selection).map(drop),
            None => {
                self.filters.keep_selection(selection);
                Ok(())
            }
        }
    }

    fn extra(&mut self, extra: Extra, input: &[u8]) -> Output {
        let wrong = |text| (Refusal::Input, text);
        let none = |what: &str| match input.len() {
            0 => Ok(()),
            length => Err(wrong(format!("{what}: the input has {length} bytes; allowed: 0"))),
        };
        match extra {
            Extra::Attach => self.attach(Attach::decode(input).map_err(wrong)?),
            Extra::Detach => {
                none("detach")?;
                if self.reader.is_none() {
                    return Err((Refusal::NotAttached, NOT_ATTACHED.to_owned()));
                }
                self.detach();
                Ok(Vec::new())
            }
            Extra::GetMemory => {
                none("memory report")?;
                let rows = memory_report::rows(&self.hub, &self.hub.lock("a request"));
                Ok(rows.iter().flat_map(|row| row.encode()).collect())
            }
            Extra::Stop => {
                let force = match number("stop", input).map_err(wrong)? {
                    0 => false,
                    1 => true,
                    other => return Err(wrong(format!("stop: {other}; allowed: 0, 1 (force)"))),
                };
                let own = self.hub.recent.as_ref().map_or(0, |recent| recent.readers.load(Relaxed));
                let readers = (self.hub.lock("a request").queue.readers() as u64).saturating_sub(own);
                if readers > 0 && !force {
                    let text = format!("{readers} readers are attached; end them, or force the stop");
                    return Err((Refusal::Busy, text));
                }
                tracing::info!("{} stops honed, {readers} readers attached", self.peer);
                self.hub.ask_stop();
                Ok(Vec::new())
            }
            Extra::Save => {
                none("save")?;
                self.save()
            }
            _ => Err((Refusal::Unsupported, format!("this honed does not carry out {extra:?}"))),
        }
    }

    /// Sends what the flight recorder keeps, after the reply.
    fn save(&mut self) -> Output {
        if self.reader.is_some() {
            return Err((Refusal::Attached, "the connection is a reader: save over another one".to_owned()));
        }
        if self.saving.is_some() {
            return Err((Refusal::Busy, "this connection is saving already".to_owned()));
        }
        let recent = self.hub.recent.as_ref().ok_or_else(|| {
            let text = "this honed keeps nothing: set [recent] in /etc/hone/hone.toml, and restart it";
            (Refusal::Unsupported, text.to_owned())
        })?;
        let (saving, kept) = Saving::begin(recent, self.peer.is_root())?;
        tracing::info!("{} saves what is kept: {} bytes", self.peer, kept.bytes);
        self.set_saving(saving);
        Ok(kept.encode())
    }

    fn attach(&mut self, asked: Attach) -> Output {
        if self.saving.is_some() {
            return Err((Refusal::Busy, "the connection is saving: attach over another one".to_owned()));
        }
        if self.reader.is_some() {
            return Err((Refusal::Attached, "the connection is a reader already: detach first".to_owned()));
        }
        let (place, ring_bytes) = self.take_place(asked.ring_bytes)?;
        // The processes are marked before there is a reader, so that its selection counts from the first packet on.
        let mut selection = NewSelection::new(self.filters.take_selection());
        let attached = hone_queue::mark_processes(&*self.hub, None, &mut selection)
            .map_err(|error| refused(error, Operation::SetSelection))
            .and_then(|()| self.attach_at(place, ring_bytes, asked.snap_length, &mut selection));
        self.hub.lock("a request").queue.engine.abandon_selection(&mut selection);
        self.filters.keep_selection(selection.into_selection());
        match attached {
            Ok(id) => {
                // The thread may be in its long wait.
                self.hub.sensor.wake();
                self.set_attached(Some(id));
                self.count_recorder();
                tracing::info!("reader {} attached: {}", id.get(), self.peer);
                Ok(id.get().to_le_bytes().to_vec())
            }
            Err(refused) => {
                self.hub.lock("a request").places.give_back(place);
                Err(refused)
            }
        }
    }

    /// Takes a place for a reader. Returns it with the size of the ring buffer. `asked`: bytes; 0: the default.
    fn take_place(&self, asked: u32) -> Result<(Place, usize), Refused> {
        let mut state = self.hub.lock("a request");
        if self.hub.phase() != Phase::Running {
            return Err(stopping());
        }
        let default = state.queue.engine.ring_bytes(None).unwrap_or_default();
        let bytes = (asked > 0).then_some(asked as usize);
        let bytes =
            state.queue.engine.ring_bytes(bytes).map_err(|error| (Refusal::Input, error.to_string()))?;
        if bytes > default && !self.peer.is_root() {
            let text = format!(
                "a ring buffer of {bytes} bytes: only root may have more than new readers have, which is {default} \
                 (ring_buffer_size in hone.toml; sudo honeutil ring-size)"
            );
            return Err((Refusal::Permission, text));
        }
        let place = state.places.take(self.peer.user(), bytes as u64);
        place.map(|place| (place, bytes)).map_err(|full| {
            let why = match full {
                NoPlace::Readers(_) => Refusal::TooMany,
                NoPlace::RingBytes(_) => Refusal::NoMemory,
            };
            (why, full.to_string())
        })
    }

    fn attach_at(
        &mut self,
        place: Place,
        ring_bytes: usize,
        snap_length: SnapLength,
        selection: &mut NewSelection,
    ) -> Result<ReaderId, Refused> {
        let ring = RingBuffer::new(ring_bytes).map_err(|error| (Refusal::NoMemory, error.to_string()))?;
        let (waker, given_up) = (Arc::clone(&self.waker), Arc::clone(&self.given_up));
        let attached = Attached { waker, place, beginning: None, given_up };
        let mut state = self.hub.lock("a request");
        if self.hub.phase() != Phase::Running {
            drop(state);
            return Err(stopping());
        }
        let id = match state.queue.attach(attached, ring, snap_length, hone_linux::now()) {
            Ok(id) => id,
            Err((error, ring, _)) => {
                drop((state, ring));
                let why =
                    if error == AttachError::TooManyReaders { Refusal::TooMany } else { Refusal::NoMemory };
                return Err((why, error.to_string()));
            }
        };
        self.filters.hand_over(&mut state.queue, id);
        // It is attached.
        let _ = state.queue.exchange_selection(id, selection);
        state.queue.wake();
        Ok(id)
    }

    /// Notes whether the reader is that of the flight recorder.
    fn count_recorder(&mut self) {
        let process = self.peer.process();
        if let Some(recent) = self.hub.recent.as_ref().filter(|recent| recent.is_recorder(process)) {
            recent.attached();
            self.is_recorder = true;
        }
    }

    /// Detaches the reader, if there is one, and turns the filters off.
    pub(crate) fn detach(&mut self) {
        self.filters.clear(&self.hub);
        let Some(id) = self.reader else { return };
        let left = self.hub.lock("a request").queue.detach(id);
        if let Some((attached, detached)) = left {
            detached.into_iter().for_each(|detached| hone_queue::release(&*self.hub, detached));
            self.hub.lock("a request").places.give_back(attached.place);
        }
        self.set_attached(None);
        if std::mem::take(&mut self.is_recorder)
            && let Some(recent) = &self.hub.recent
        {
            recent.detached();
        }
        tracing::info!("reader {} detached: {}", id.get(), self.peer);
    }
}

fn stopping() -> Refused {
    (Refusal::Stopping, "honed is stopping".to_owned())
}

/// The refusal of a request, with advice what to do.
fn refused(why: RefusedByQueue, operation: Operation) -> Refused {
    let (refusal, text): (_, &dyn std::fmt::Display) = match &why {
        RefusedByQueue::NotAttached => (Refusal::NotAttached, &NOT_ATTACHED),
        RefusedByQueue::Unsupported => {
            return (Refusal::Unsupported, format!("this honed does not carry out {operation}"));
        }
        RefusedByQueue::RingBytes(error) => (Refusal::Input, error),
        RefusedByQueue::Restart(error @ RestartError::Pending) => (Refusal::Busy, error),
        RefusedByQueue::Restart(error @ RestartError::UnknownReader) => (Refusal::NotAttached, error),
        RefusedByQueue::Restart(error) => (Refusal::NoMemory, error),
        RefusedByQueue::Filter(error @ FilterError::TooMany { .. }) => (Refusal::Input, error),
        RefusedByQueue::Filter(error) => (Refusal::NoMemory, error),
        RefusedByQueue::SelectionText(error) if error.is_out_of_memory() => (Refusal::NoMemory, error),
        RefusedByQueue::SelectionText(error) => (Refusal::Input, error),
        RefusedByQueue::Selection(error @ (SelectionError::TooMany | SelectionError::TooLong { .. })) => {
            (Refusal::TooMany, error)
        }
        RefusedByQueue::Selection(error @ SelectionError::Busy) => (Refusal::Busy, error),
        RefusedByQueue::Selection(error) => (Refusal::NoMemory, error),
        RefusedByQueue::OpenList(error @ OpenListError::TooMany { .. }) => (Refusal::Input, error),
        RefusedByQueue::OpenList(error) => (Refusal::NoMemory, error),
    };
    (refusal, text.to_string())
}
