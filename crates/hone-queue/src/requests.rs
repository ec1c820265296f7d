//! Carries out control requests. Each is checked and prepared first, then done with the lock.

use hone_api::limits::MAX_OPEN_CONNECTIONS;
use hone_api::{
    ApiVersion, ConnectionIds, LogLevels, OpenConnections, OriginalStatistics, Reply, Request, Statistics,
};
use hone_engine::{
    Detached, Filter, FilterError, Nanos, NewSelection, OpenConnection, OpenList, OpenListError,
    PreparedFilter, ProcessKey, ReaderId, RestartError, RingBytesError, SelectionError, SnapLength,
    UnknownReader, fallible,
};
use hone_select::{ParseError, Selection};

use crate::{Capture, Queue, Reader, Service, statistics::statistics};

/// How many records of open connections are looked up at once with the lock.
const LOOK_UP: usize = 256;

/// A [`Queue`] with the system's lock and clock around it.
pub trait Shell: Sync {
    /// Its readers.
    type Reader: Reader;
    /// What captures its packets.
    type Capture: Capture;
    /// Most ids in one list of a filter: the engine's bound.
    const MAX_FILTER_IDS: usize;

    /// Takes the lock, calls `work` with the time, and unlocks. `work` must not call it again. It is [`Send`]: that keeps
    /// out of it what the driver must not use under its lock.
    fn locked<T>(
        &self,
        purpose: Purpose,
        work: impl FnOnce(&mut Queue<Self::Reader, Self::Capture>, Nanos) -> T + Send,
    ) -> T;

    /// Does what takes memory for this purpose, without the lock.
    fn prepare<T>(&self, purpose: Purpose, work: impl FnOnce() -> T) -> T {
        let _ = purpose;
        work()
    }

    /// What only the service itself knows of the statistics, at this time.
    fn service(&self, now: Nanos) -> Service;

    /// Which messages the service writes.
    fn log_levels(&self) -> LogLevels;

    /// Sets which messages the service writes, from now on.
    fn set_log_levels(&self, levels: LogLevels);
}

/// What work is done for, where a system distinguishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A reader attaches or detaches.
    Reader,
    /// A section begins or ends.
    Section,
    /// A reader reads, or asks something.
    Read,
    /// A reader's lists of ids are set.
    IdLists,
    /// The open-connection list is replaced.
    OpenConnections,
}

/// What a request has done.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is on the way to its encoding, and no system here wants a Box"
)]
pub enum Answer {
    /// What was asked for.
    Done,
    /// The ring buffer of readers that attach from now on has so many bytes.
    RingBytes(usize),
    /// So many open connections were listed, and so many of them are of running processes.
    OpenConnections {
        /// All of the list.
        listed: usize,
        /// Those that are used.
        known: usize,
    },
    /// From now on, the service writes these messages.
    NewLogLevels(LogLevels),
    /// The service writes these messages.
    LogLevels(LogLevels),
    /// The reader's snap length.
    SnapLength(SnapLength),
    /// The service's version.
    Version(ApiVersion),
    /// The statistics as the original has them.
    OriginalStatistics(OriginalStatistics),
    /// The statistics.
    Statistics(Statistics),
}

impl Answer {
    /// The reply, to be encoded.
    #[must_use]
    pub const fn reply(&self) -> Reply<'_> {
        match self {
            Self::Done | Self::RingBytes(_) | Self::OpenConnections { .. } | Self::NewLogLevels(_) => {
                Reply::Done
            }
            Self::LogLevels(levels) => Reply::LogLevels(*levels),
            Self::SnapLength(length) => Reply::SnapLength(*length),
            Self::Version(version) => Reply::Version(*version),
            Self::OriginalStatistics(statistics) => Reply::OriginalStatistics(statistics),
            Self::Statistics(statistics) => Reply::Statistics(statistics),
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is for readers, and this is none.
    NotAttached,
    /// This service does not carry it out.
    Unsupported,
    /// The ring buffer's size is out of range.
    RingBytes(RingBytesError),
    /// The section could not be ended.
    Restart(RestartError),
    /// The filter could not be set.
    Filter(FilterError),
    /// The selection's text is not sound.
    SelectionText(ParseError),
    /// The selection could not be set.
    Selection(SelectionError),
    /// The open-connection list could not be replaced.
    OpenList(OpenListError),
}

impl From<UnknownReader> for Refused {
    fn from(_: UnknownReader) -> Self {
        Self::NotAttached
    }
}

/// Carries out a request of a client; `reader`: which reader it is, if it is one.
///
/// # Errors
/// It is refused. Then nothing has changed.
// Its answers take much of a kernel's stack, which other requests of a shell should not.
#[inline(never)]
pub fn carry_out<S: Shell>(
    shell: &S,
    reader: Option<ReaderId>,
    request: &Request<'_>,
) -> Result<Answer, Refused> {
    let reader_id = || reader.ok_or(Refused::NotAttached);
    if let Some(filter) = prepared_filter(shell, request) {
        let id = reader_id()?;
        return set_filter(shell, id, &mut filter.map_err(Refused::Filter)?);
    }
    if let Some(selection) = prepared_selection(shell, request) {
        let id = reader_id()?;
        return set_selection(shell, id, selection.map_err(Refused::SelectionText)?);
    }
    let all =
        || shell.locked(Purpose::Read, |queue, now| statistics(queue, reader, &shell.service(now), now));
    Ok(match *request {
        Request::GetVersion => Answer::Version(ApiVersion::of_service(shell.service(0).version)),
        Request::GetStatistics => Answer::OriginalStatistics(all()?.to_original()),
        Request::GetStatistics2 => Answer::Statistics(all()?),
        Request::GetSnapLength => {
            let id = reader_id()?;
            let length = shell.locked(Purpose::Read, |queue, _| queue.engine.snap_length(id));
            Answer::SnapLength(length.ok_or(Refused::NotAttached)?)
        }
        Request::SetSnapLength(length) => {
            let id = reader_id()?;
            shell.locked(Purpose::Read, |queue, _| {
                queue.engine.set_snap_length(id, length)?;
                queue.retarget();
                Ok::<_, Refused>(Answer::Done)
            })?
        }
        Request::SetPacketIds(wanted) => {
            let id = reader_id()?;
            shell.locked(Purpose::Read, |queue, _| queue.engine.set_packet_ids(id, wanted))?;
            Answer::Done
        }
        Request::MarkRestart => {
            let id = reader_id()?;
            shell.locked(Purpose::Section, |queue, now| {
                queue.count_left_out();
                queue.engine.mark_restart(id, now).map_err(Refused::Restart)?;
                queue.wake();
                Ok::<_, Refused>(Answer::Done)
            })?
        }
        Request::SetRingBytes(bytes) => {
            let set =
                |bytes| shell.locked(Purpose::Read, |queue, _| queue.engine.set_default_ring_bytes(bytes));
            Answer::RingBytes(set(bytes as usize).map_err(Refused::RingBytes)?)
        }
        Request::SetLogLevels(levels) => {
            shell.set_log_levels(levels);
            Answer::NewLogLevels(levels)
        }
        Request::GetLogLevels => Answer::LogLevels(shell.log_levels()),
        Request::SetOpenConnections(list) => set_open_connections(shell, list).map_err(Refused::OpenList)?,
        _ => return Err(Refused::Unsupported),
    })
}

/// The filter that a request sets, with its list copied and sorted; `None`: the request sets none.
pub fn prepared_filter<S: Shell>(
    shell: &S,
    request: &Request<'_>,
) -> Option<Result<PreparedFilter, FilterError>> {
    Some(match *request {
        // A 32-bit id stands for the connection that has this whole id.
        Request::FilterConnections(ids) => {
            prepare(shell, ids.len(), ConnectionIds::iter(&ids), |ids| Filter::ExcludeConnections(ids))
        }
        Request::FilterProcesses(ids) => {
            prepare(shell, ids.len(), ids.iter(), |ids| Filter::ExcludeProcesses(ids))
        }
        Request::IncludeConnections(ids) => {
            prepare(shell, ids.len(), ids.iter(), |ids| Filter::IncludeConnections(ids))
        }
        Request::IncludeProcesses(ids) => {
            prepare(shell, ids.len(), ids.iter(), |ids| Filter::IncludeProcesses(ids))
        }
        _ => return None,
    })
}

fn prepare<S: Shell, T>(
    shell: &S,
    length: usize,
    ids: impl Iterator<Item = T>,
    filter: impl FnOnce(&[T]) -> Filter<'_>,
) -> Result<PreparedFilter, FilterError> {
    shell.prepare(Purpose::IdLists, || {
        let mut list = fallible::vec(length)?;
        ids.take(length).for_each(|id| fallible::push_reserved(&mut list, id));
        PreparedFilter::new(filter(&list), S::MAX_FILTER_IDS)
    })
}

/// Sets a filter of a reader; `filter` then has the former one.
///
/// # Errors
/// The reader is not attached.
pub fn set_filter<S: Shell>(
    shell: &S,
    reader: ReaderId,
    filter: &mut PreparedFilter,
) -> Result<Answer, Refused> {
    shell.locked(Purpose::IdLists, |queue, _| queue.engine.exchange_filter(reader, filter))?;
    Ok(Answer::Done)
}

/// The selection that a request sets, `None` in it for all packets; `None`: the request sets none.
pub fn prepared_selection<S: Shell>(
    shell: &S,
    request: &Request<'_>,
) -> Option<Result<Option<Selection>, ParseError>> {
    let Request::SetSelection(text) = *request else { return None };
    let parsed = shell.prepare(Purpose::IdLists, || Selection::parse(text));
    Some(parsed.map(|selection| Some(selection).filter(|selection| !selection.is_everything())))
}

/// Sets the selection of a reader. Its former one counts until all processes are compared with the new one.
///
/// # Errors
/// The reader is not attached, or the engine has no room for the selection. Then the former one stays.
pub fn set_selection<S: Shell>(
    shell: &S,
    reader: ReaderId,
    selection: Option<Selection>,
) -> Result<Answer, Refused> {
    let mut new = NewSelection::new(selection);
    mark_processes(shell, Some(reader), &mut new)?;
    let set = shell.locked(Purpose::IdLists, |queue, _| {
        let set = queue.exchange_selection(reader, &mut new);
        queue.engine.abandon_selection(&mut new);
        set
    });
    // What it has now is freed here, without the lock.
    drop(new);
    set.map(|()| Answer::Done).map_err(Refused::from)
}

/// Compares all processes with a selection that a reader gets, in steps between which the lock is unlocked; `reader` is
/// `None` if it is not attached yet. Then exchange or abandon the selection.
///
/// # Errors
/// The reader is not attached, or the engine has no room for the selection. Then it is abandoned.
pub fn mark_processes<S: Shell>(
    shell: &S,
    reader: Option<ReaderId>,
    new: &mut NewSelection,
) -> Result<(), Refused> {
    let purpose = Purpose::IdLists;
    let refused = |error| match error {
        SelectionError::UnknownReader => Refused::NotAttached,
        error => Refused::Selection(error),
    };
    if !new.has_process_words() {
        return Ok(());
    }
    let processes = shell.locked(purpose, |queue, _| queue.engine.known_processes());
    shell.prepare(purpose, || new.reserve(processes)).map_err(refused)?;
    shell.locked(purpose, |queue, now| queue.engine.begin_selection(new, reader, now)).map_err(refused)?;
    loop {
        new.sort();
        let step = shell.locked(purpose, |queue, _| {
            let step = queue.engine.mark_processes(new);
            if step.is_err() {
                queue.engine.abandon_selection(new);
            }
            step
        });
        if step.map_err(refused)? {
            return Ok(());
        }
    }
}

/// Releases what a detached reader has left, in steps between which the lock is unlocked.
pub fn release<S: Shell>(shell: &S, mut detached: Detached) {
    while !shell.locked(Purpose::Reader, |queue, _| queue.engine.release_blocks(&mut detached)) {}
}

/// Replaces the open-connection list. A record whose process does not run, or is not the one that it was, is left out.
fn set_open_connections<S: Shell>(shell: &S, list: OpenConnections<'_>) -> Result<Answer, OpenListError> {
    let purpose = Purpose::OpenConnections;
    let mut records = shell.prepare(purpose, || fallible::vec(list.len()))?;
    let mut rest = list.iter().peekable();
    while rest.peek().is_some() {
        shell.locked(purpose, |queue, _| {
            for record in rest.by_ref().take(LOOK_UP) {
                let same = |process: &ProcessKey| record.process_start.is_none_or(|at| at == process.start);
                let Some(process) = queue.engine.process(record.process).filter(same) else { continue };
                let record = OpenConnection {
                    family: record.family,
                    protocol: record.protocol,
                    local_port: record.local_port,
                    local_address: record.local,
                    remote: record.remote.map(|remote| (remote.ip(), remote.port())),
                    process,
                };
                fallible::push_reserved(&mut records, record);
            }
        });
    }
    let mut made = shell.prepare(purpose, || OpenList::new(&records, MAX_OPEN_CONNECTIONS))?;
    shell.locked(purpose, |queue, now| {
        queue.engine.exchange_open_connections(&mut made, now);
        queue.wake();
    });
    Ok(Answer::OpenConnections { listed: list.len(), known: records.len() })
}
