//! What a client asks for, carried out: each request is checked first, then done under the hub's lock.
//! Called by the connection's thread.

use std::sync::Arc;

use hone_api::limits::MAX_OPEN_CONNECTIONS;
use hone_api::{ApiVersion, ConnectionIds, OpenConnections, Operation, Reply, Request};
use hone_client::protocol::{Asked, Attach, Extra, number};
use hone_client::{LogLevels, Refusal};
use hone_engine::{
    AttachError, FilterError, OpenConnection, OpenList, OpenListError, ProcessKey, ReaderId, ReaderOptions,
    RestartError, RingBuffer, SnapLength,
};

use crate::client::Client;
use crate::filters::Filters;
use crate::hub::{Attached, Hub, Phase, State};
use crate::input::Refused;
use crate::peer::Peer;
use crate::places::{NoPlace, Place, Room};
use crate::{log, statistics};

/// The output, or why not.
type Answer = Result<Vec<u8>, Refused>;

const NOT_ATTACHED: &str = "the connection is no reader: attach first";
/// Records of open connections whose processes are looked up under the lock at once.
const LOOK_UP: usize = 256;

/// Whether a request may come, by its header: with room for its input, or why not.
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

/// What concerns every reader, which is not for one of them to say.
const fn of_all_readers(asked: Asked) -> Option<&'static str> {
    Some(match asked {
        Asked::Control(Operation::SetRingBytes) => "the ring buffer of new readers",
        Asked::Control(Operation::SetOpenConnections | Operation::SetOpenConnections2) => {
            "the list of open connections"
        }
        Asked::Extra(Extra::SetLogLevels) => "log levels",
        Asked::Extra(Extra::Stop) => "stop",
        _ => return None,
    })
}

impl Client {
    /// Carries out a request.
    pub(crate) fn carry_out(&mut self, code: u16, input: &[u8]) -> Answer {
        match Asked::of(code) {
            Some(Asked::Control(operation)) => self.control(operation, input),
            Some(Asked::Extra(extra)) => self.extra(extra, input),
            // Refused by its header.
            None => Err((Refusal::UnknownOperation, String::new())),
        }
    }

    fn control(&mut self, operation: Operation, input: &[u8]) -> Answer {
        let request = Request::parse(operation, input).map_err(refused_input)?;
        match request {
            Request::GetVersion => {
                Ok(encoded(&Reply::Version(ApiVersion::of_service(statistics::version()))))
            }
            Request::GetStatistics | Request::GetStatistics2 => {
                let state = self.hub.lock("a request");
                let all = statistics::statistics(&self.hub, &state, self.reader);
                drop(state);
                Ok(match request {
                    Request::GetStatistics => encoded(&Reply::OriginalStatistics(&all.to_original())),
                    _ => encoded(&Reply::Statistics(&all)),
                })
            }
            Request::SetRingBytes(bytes) => {
                let mut state = self.hub.lock("a request");
                let size = state
                    .engine
                    .set_default_ring_bytes(bytes as usize)
                    .map_err(|error| (Refusal::Input, error.to_string()))?;
                drop(state);
                tracing::info!("{} sets the ring buffer of new readers to {size} bytes", self.peer);
                Ok(Vec::new())
            }
            Request::MarkRestart => self.with_reader(|state, reader| {
                state.engine.mark_restart(reader, hone_linux::now()).map_err(|error| match error {
                    RestartError::Pending => (Refusal::Busy, error.to_string()),
                    RestartError::UnknownReader => (Refusal::NotAttached, error.to_string()),
                    _ => (Refusal::NoMemory, error.to_string()),
                })
            }),
            Request::SetSnapLength(bytes) => self.with_reader(|state, id| {
                state
                    .engine
                    .set_snap_length(id, bytes)
                    .map_err(|error| (Refusal::NotAttached, error.to_string()))?;
                if let Some(reader) = state.reader(id) {
                    reader.snap_length = bytes;
                }
                state.retarget();
                Ok(())
            }),
            Request::GetSnapLength => {
                let mut bytes = None;
                self.with_reader(|state, reader| {
                    bytes = state.engine.snap_length(reader);
                    Ok(())
                })?;
                Ok(encoded(&Reply::SnapLength(bytes.unwrap_or_default())))
            }
            Request::FilterConnections(ids) => {
                // A 32-bit id stands for the connection that has this whole id.
                self.set_filter(
                    |filters| &mut filters.exclude_connections,
                    ConnectionIds::iter(&ids).collect(),
                )
            }
            Request::FilterProcesses(ids) => {
                self.set_filter(|filters| &mut filters.exclude_processes, ids.iter().collect())
            }
            Request::IncludeConnections(ids) => {
                self.set_filter(|filters| &mut filters.include_connections, ids.iter().collect())
            }
            Request::IncludeProcesses(ids) => {
                self.set_filter(|filters| &mut filters.include_processes, ids.iter().collect())
            }
            Request::SetOpenConnections(list) => self.set_open_connections(list),
            Request::SetDataEvent(_) => Err((
                Refusal::Unsupported,
                "there are no event handles on Linux: wait until the socket can be read".to_owned(),
            )),
            _ => Err((Refusal::Unsupported, format!("this honed does not carry out {operation}"))),
        }
    }

    /// Replaces the list of open connections. A record whose process does not run, or is not the one that it was, says
    /// nothing, and is left out.
    fn set_open_connections(&self, list: OpenConnections<'_>) -> Answer {
        let mut records = Vec::with_capacity(list.len());
        let mut state = None;
        for (index, record) in list.iter().enumerate() {
            if index % LOOK_UP == 0 {
                // Others' turn.
                drop(state.take());
            }
            let state = state.get_or_insert_with(|| self.hub.lock("a request"));
            let process = state.engine.process(record.process);
            let same = |process: &ProcessKey| record.process_start.is_none_or(|start| start == process.start);
            let Some(process) = process.filter(same) else { continue };
            records.push(OpenConnection {
                family: record.family,
                protocol: record.protocol,
                local_port: record.local_port,
                local_address: record.local,
                remote: record.remote.map(|remote| (remote.ip(), remote.port())),
                process,
            });
        }
        drop(state);
        let mut made = OpenList::new(&records, MAX_OPEN_CONNECTIONS).map_err(|error| match error {
            OpenListError::TooMany { .. } => (Refusal::Input, error.to_string()),
            _ => (Refusal::NoMemory, error.to_string()),
        })?;
        let mut state = self.hub.lock("a request");
        state.engine.exchange_open_connections(&mut made, hone_linux::now());
        state.wake();
        drop(state);
        tracing::info!(
            "{} lists {} open connections, {} of running processes",
            self.peer,
            list.len(),
            records.len()
        );
        Ok(Vec::new())
    }

    fn extra(&mut self, extra: Extra, input: &[u8]) -> Answer {
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
            Extra::SetLogLevels => {
                let mask = number("log levels", input).map_err(wrong)?;
                let levels = LogLevels::from_mask(mask).map_err(|error| wrong(error.to_string()))?;
                log::set_levels(levels);
                tracing::info!("{} sets the log levels to {levels}", self.peer);
                Ok(Vec::new())
            }
            Extra::GetLogLevels => {
                none("log levels")?;
                Ok(log::levels().mask().to_le_bytes().to_vec())
            }
            Extra::GetMemory => {
                none("memory report")?;
                let rows = statistics::memory(&self.hub, &self.hub.lock("a request"));
                Ok(rows.iter().flat_map(|row| row.encode()).collect())
            }
            Extra::Stop => {
                let force = match number("stop", input).map_err(wrong)? {
                    0 => false,
                    1 => true,
                    other => return Err(wrong(format!("stop: {other}; allowed: 0, 1 (force)"))),
                };
                let readers = self.hub.lock("a request").readers.len();
                if readers > 0 && !force {
                    let text = format!("{readers} readers are attached; end them, or force the stop");
                    return Err((Refusal::Busy, text));
                }
                tracing::info!("{} stops honed, {readers} readers attached", self.peer);
                self.hub.ask_stop();
                Ok(Vec::new())
            }
            _ => Err((Refusal::Unsupported, format!("this honed does not carry out {extra:?}"))),
        }
    }

    fn attach(&mut self, asked: Attach) -> Answer {
        if self.reader.is_some() {
            return Err((Refusal::Attached, "the connection is a reader already: detach first".to_owned()));
        }
        let (place, ring_bytes) = self.take_place(asked.ring_bytes)?;
        match self.attach_at(place, ring_bytes, asked.snap_length) {
            Ok(id) => {
                // It may be in its long sleep.
                self.hub.sensor.wake();
                self.set_attached(Some(id));
                tracing::info!("reader {} attached: {}", id.get(), self.peer);
                Ok(id.get().to_le_bytes().to_vec())
            }
            Err(refused) => {
                self.hub.lock("a request").places.give_back(place);
                Err(refused)
            }
        }
    }

    /// Takes a place for a reader; with the size of its ring buffer. `asked`: bytes; 0: the default.
    fn take_place(&self, asked: u32) -> Result<(Place, usize), Refused> {
        let mut state = self.hub.lock("a request");
        if self.hub.phase() != Phase::Running {
            return Err(stopping());
        }
        let default = state.engine.ring_bytes(None).unwrap_or_default();
        let bytes = (asked > 0).then_some(asked as usize);
        let bytes = state.engine.ring_bytes(bytes).map_err(|error| (Refusal::Input, error.to_string()))?;
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
        &self,
        place: Place,
        ring_bytes: usize,
        snap_length: SnapLength,
    ) -> Result<ReaderId, Refused> {
        let no_memory = |error: &dyn std::fmt::Display| (Refusal::NoMemory, error.to_string());
        let ring = RingBuffer::new(ring_bytes).map_err(|error| no_memory(&error))?;
        let mut filters = self.filters.prepare().map_err(|error| no_memory(&error))?;
        let mut state = self.hub.lock("a request");
        if self.hub.phase() != Phase::Running {
            drop(state);
            return Err(stopping());
        }
        let pinned_bytes = state.share(self.peer.user(), 1);
        let options = ReaderOptions { ring_bytes: None, pinned_bytes, snap_length };
        let attached = state.engine.attach_with(ring, &options, hone_linux::now());
        let id = match attached {
            Ok(id) => id,
            Err((error, ring)) => {
                drop((state, ring));
                let why =
                    if error == AttachError::TooManyReaders { Refusal::TooMany } else { Refusal::NoMemory };
                return Err((why, error.to_string()));
            }
        };
        // It is attached.
        let _ = filters.exchange(&mut state.engine, id);
        let waker = Arc::clone(&self.waker);
        let given_up = Arc::clone(&self.given_up);
        state.readers.push(Attached { id, waker, snap_length, place, beginning: None, given_up });
        state.retarget();
        state.wake();
        drop(state);
        Ok(id)
    }

    /// Gives up the reader and its filters, if there are any.
    pub(crate) fn detach(&mut self) {
        self.filters.clear(&self.hub);
        let Some(id) = self.reader else { return };
        let mut state = self.hub.lock("a request");
        let detached = state.engine.begin_detach(id);
        let index = state.readers.iter().position(|reader| reader.id == id);
        let place = index.map(|index| state.readers.swap_remove(index).place);
        state.retarget();
        drop(state);
        if let Some(mut detached) = detached {
            while !self.hub.lock("a request").engine.release_blocks(&mut detached) {}
        }
        if let Some(place) = place {
            self.hub.lock("a request").places.give_back(place);
        }
        self.set_attached(None);
        tracing::info!("reader {} detached: {}", id.get(), self.peer);
    }

    fn with_reader(&self, act: impl FnOnce(&mut State, ReaderId) -> Result<(), (Refusal, String)>) -> Answer {
        let Some(reader) = self.reader else {
            return Err((Refusal::NotAttached, NOT_ATTACHED.to_owned()));
        };
        let mut state = self.hub.lock("a request");
        let result = act(&mut state, reader);
        state.wake();
        result.map(|()| Vec::new())
    }

    /// Sets one list, here and for the reader if there is one.
    fn set_filter<T>(&mut self, list: impl Fn(&mut Filters) -> &mut Vec<T>, ids: Vec<T>) -> Answer {
        self.filters.set(&self.hub, list, ids);
        let Some(reader) = self.reader else { return Ok(Vec::new()) };
        let mut prepared = self.filters.prepare().map_err(|error| match error {
            FilterError::TooMany { .. } => (Refusal::Input, error.to_string()),
            _ => (Refusal::NoMemory, error.to_string()),
        })?;
        let exchanged = prepared.exchange(&mut self.hub.lock("a request").engine, reader);
        exchanged.map(|()| Vec::new()).map_err(|error| (Refusal::NotAttached, error.to_string()))
    }
}

fn stopping() -> Refused {
    (Refusal::Stopping, "honed is stopping".to_owned())
}

fn refused_input(error: hone_api::RequestError) -> (Refusal, String) {
    (Refusal::Input, error.to_string())
}

fn encoded(reply: &Reply<'_>) -> Vec<u8> {
    let mut bytes = vec![0; reply.len()];
    // The buffer has the length that the reply says.
    let _ = reply.encode(&mut bytes);
    bytes
}
