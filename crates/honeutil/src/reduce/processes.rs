//! Processes: what the section has said of each so far, and what of it is written.
//!
//! A process is known by its first event, which shows where it comes from, and by the events after it. It keeps its
//! parent, also when this has ended and its process id belongs to another process. Memory is limited: ended processes
//! are forgotten first, then those that are not written.

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use hone_pcapng::view::{self, BlockView};
use hone_pcapng::{ByteOrder, ProcessEvent, ProcessEventKind};

/// Most bytes of the table, approximately.
const MAX_BYTES: usize = 64 << 20;
/// Bytes of an entry besides its events, approximately.
const ENTRY_BYTES: usize = 240;
/// Most bytes of a process's events. Beyond, the first and the last are kept.
const MAX_EVENT_BYTES: usize = 128 << 10;
/// Most ancestors of a process that are kept. It also bounds how deep entries are freed.
const MAX_ANCESTORS: u16 = 1000;

/// A process.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    parent: Option<Rc<Process>>,
    /// How many ancestors it has.
    ancestors: u16,
    written: Cell<bool>,
    state: RefCell<State>,
    /// Bytes that the entry takes, and those of all.
    bytes: Cell<usize>,
    total: Rc<Cell<usize>>,
}

#[derive(Debug, Default)]
struct State {
    /// Its events: blocks, one after the other.
    events: Vec<u8>,
    /// How many they are.
    count: u64,
    /// Where the last of them begins.
    last: usize,
    /// The event of its end.
    end: Option<Vec<u8>>,
    /// Another process that has become its parent.
    new_parent: Weak<Process>,
}

impl Process {
    fn state(&self) -> Ref<'_, State> {
        self.state.borrow()
    }

    fn has_ended(&self) -> bool {
        self.state().end.is_some()
    }

    /// Counts its bytes again.
    fn count(&self) {
        let state = self.state();
        let bytes = ENTRY_BYTES + state.events.capacity() + state.end.as_ref().map_or(0, Vec::capacity);
        self.total.set(self.total.get() + bytes - self.bytes.replace(bytes));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.total.set(self.total.get() - self.bytes.get());
    }
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Processes {
    by_pid: HashMap<u32, Rc<Process>>,
    total: Rc<Cell<usize>>,
    /// Whether some were forgotten for lack of room.
    has_forgotten: bool,
    /// How many events came, and how many were written.
    came: u64,
    written: u64,
}

impl Processes {
    /// Removes all processes, because another section begins.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether an event was not written.
    pub(super) fn has_left_out(&self) -> bool {
        self.came != self.written
    }

    /// The process that has this id now.
    pub(super) fn get(&self, pid: u32) -> Option<&Rc<Process>> {
        self.by_pid.get(&pid)
    }

    /// Takes an event, which `raw` is. Writes it if the process was written.
    pub(super) fn event(
        &mut self,
        event: &ProcessEvent<'_>,
        raw: &[u8],
        order: ByteOrder,
        out: &mut Vec<u8>,
    ) {
        self.came += 1;
        let known = self.by_pid.get(&event.process).cloned();
        if event.kind == ProcessEventKind::Ended {
            let Some(process) = known.filter(|process| !process.has_ended()) else { return };
            process.state.borrow_mut().end = Some(raw.to_vec());
            process.count();
            if process.written.get() {
                self.write(raw, out);
            }
            return self.shrink();
        }
        if event.kind == ProcessEventKind::Hashed {
            self.hashed(known.as_deref(), raw, order, out);
            return self.shrink();
        }
        let parent = event.parent.and_then(|parent| self.by_pid.get(&parent).cloned());
        let known = known.filter(|process| !process.has_ended());
        if let Some(process) = &known
            && view::blocks(&process.state().events, order).any(|known| known.bytes() == raw)
        {
            // Another input has reported it already.
            return;
        }
        match known.filter(|_| event.kind != ProcessEventKind::Forked) {
            Some(process) => {
                let raw = &*completed(event, raw, order, Some(&process));
                let mut state = process.state.borrow_mut();
                if state.events.len() + raw.len() > MAX_EVENT_BYTES {
                    let first =
                        view::blocks(&state.events, order).next().map_or(0, |first| first.bytes().len());
                    state.events.truncate(first);
                    state.count = 1;
                }
                state.count += 1;
                state.last = state.events.len();
                state.events.extend(raw);
                if let Some(parent) = parent.filter(|parent| !Rc::ptr_eq(parent, &process)) {
                    state.new_parent = Rc::downgrade(&parent);
                }
                drop(state);
                process.count();
                if process.written.get() {
                    self.need_other(&process.state().new_parent, out);
                    self.write(raw, out);
                }
            }
            None => {
                let base = parent.as_deref().filter(|_| event.kind == ProcessEventKind::Forked);
                let events = completed(event, raw, order, base).into_owned();
                let parent = parent.filter(|parent| parent.ancestors < MAX_ANCESTORS);
                self.add(event.process, parent, State { events, count: 1, ..State::default() }, false);
            }
        }
        self.shrink();
    }

    /// Takes an event that only has the hash of the executable of a process, which may have ended. It is never taken for
    /// the process's last event, which has everything else.
    fn hashed(&mut self, known: Option<&Process>, raw: &[u8], order: ByteOrder, out: &mut Vec<u8>) {
        let Some(process) = known else { return };
        let mut state = process.state.borrow_mut();
        if state.events.len() + raw.len() > MAX_EVENT_BYTES
            || view::blocks(&state.events, order).any(|known| known.bytes() == raw)
        {
            return;
        }
        state.count += 1;
        state.events.extend(raw);
        drop(state);
        process.count();
        if process.written.get() {
            self.write(raw, out);
        }
    }

    fn add(&mut self, pid: u32, parent: Option<Rc<Process>>, state: State, is_written: bool) {
        let process = Process {
            pid,
            ancestors: parent.as_ref().map_or(0, |parent| parent.ancestors + 1),
            parent,
            written: Cell::new(is_written),
            state: RefCell::new(state),
            bytes: Cell::new(0),
            total: Rc::clone(&self.total),
        };
        process.count();
        self.by_pid.insert(pid, Rc::new(process));
    }

    /// Writes the process with this id, unless it is written; false: it may have been forgotten.
    pub(super) fn need(&mut self, pid: u32, out: &mut Vec<u8>) -> bool {
        if let Some(process) = self.by_pid.get(&pid).cloned() {
            self.need_process(&process, out);
            return true;
        }
        // Of one that nothing is known of, later events are written.
        self.add(pid, None, State::default(), true);
        self.shrink();
        !self.has_forgotten
    }

    fn need_other(&mut self, process: &Weak<Process>, out: &mut Vec<u8>) {
        if let Some(process) = process.upgrade() {
            self.need_process(&process, out);
        }
    }

    /// Writes a process after its ancestors, unless it is written.
    pub(super) fn need_process(&mut self, process: &Rc<Process>, out: &mut Vec<u8>) {
        if process.written.get() {
            return;
        }
        // Each process, once all its ancestors are in the list.
        let mut list: Vec<Rc<Process>> = Vec::new();
        let mut next = vec![(Rc::clone(process), false)];
        while let Some((process, has_ancestors)) = next.pop() {
            if has_ancestors {
                list.push(process);
            } else if !process.written.replace(true) {
                next.push((Rc::clone(&process), true));
                let new_parent = process.state().new_parent.upgrade();
                next.extend(
                    process.parent.clone().into_iter().chain(new_parent).map(|parent| (parent, false)),
                );
            }
        }
        for process in &list {
            let state = process.state();
            self.written += state.count;
            out.extend(&state.events);
        }
        for process in &list {
            if let Some(end) = &process.state().end {
                self.write(end, out);
            }
        }
        // If another process has the id of an ancestor by now, the events just written must not be taken for its own.
        for ancestor in &list {
            if let Some(process) = self.by_pid.get(&ancestor.pid).cloned()
                && !Rc::ptr_eq(&process, ancestor)
                && process.written.get()
            {
                let state = process.state();
                out.extend(&state.events[state.last..]);
            }
        }
    }

    fn write(&mut self, event: &[u8], out: &mut Vec<u8>) {
        self.written += 1;
        out.extend(event);
    }

    /// Makes room.
    fn shrink(&mut self) {
        if self.total.get() <= MAX_BYTES {
            return;
        }
        self.has_forgotten = true;
        self.by_pid.retain(|_, process| !process.has_ended());
        if self.total.get() > MAX_BYTES / 2 {
            self.by_pid.retain(|_, process| process.written.get());
        }
        if self.total.get() > MAX_BYTES / 2 {
            self.by_pid.clear();
        }
    }
}

/// An event with what a reader takes from an earlier one: a child has its parent's program and user until an event
/// reports others, and the parent may execute another program before the child is written. Mostly nothing is missing.
fn completed<'a>(
    event: &ProcessEvent<'_>,
    raw: &'a [u8],
    order: ByteOrder,
    base: Option<&Process>,
) -> std::borrow::Cow<'a, [u8]> {
    let has_user = event.user.is_some() || event.security_id.is_some() || event.user_name.is_some();
    let has_group = event.group.is_some() || event.group_name.is_some();
    if event.path.is_some() && has_user && has_group {
        return raw.into();
    }
    let Some(base) = base else { return raw.into() };
    let state = base.state();
    // Behind it can stand hashes.
    let last = view::blocks(&state.events[state.last..], order).next();
    let last = last.unwrap_or(BlockView::new(&[], order));
    let (Ok(base), Ok(mut event)) = (
        ProcessEvent::parse(last.body(), order),
        ProcessEvent::parse(BlockView::new(raw, order).body(), order),
    ) else {
        return raw.into();
    };
    let mut is_changed = false;
    if event.path.is_none() && base.path.is_some() {
        event.path = base.path;
        event.arguments = event.arguments.or(base.arguments);
        is_changed = true;
    }
    if !has_user && (base.user.is_some() || base.security_id.is_some() || base.user_name.is_some()) {
        (event.user, event.user_name, event.security_id) = (base.user, base.user_name, base.security_id);
        is_changed = true;
    }
    if !has_group && (base.group.is_some() || base.group_name.is_some()) {
        (event.group, event.group_name) = (base.group, base.group_name);
        is_changed = true;
    }
    let mut emitted = Vec::new();
    if is_changed && event.emit(order, &mut emitted).is_ok() { emitted.into() } else { raw.into() }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn the_table_is_bounded_and_says_what_it_has_forgotten() {
        let (mut processes, mut out) = (Processes::default(), Vec::new());
        let path = vec![b'x'; 100_000];
        for pid in 0..1_500 {
            let path = Some(Cow::Borrowed(&path[..]));
            let event =
                ProcessEvent { process: pid, path, parent: pid.checked_sub(1), ..ProcessEvent::default() };
            let mut raw = Vec::new();
            event.emit(ByteOrder::Little, &mut raw).unwrap();
            processes.event(&event, &raw, ByteOrder::Little, &mut out);
            assert!(processes.total.get() <= MAX_BYTES);
        }
        assert!(out.is_empty());
        assert!(processes.need(1_499, &mut out) && !processes.need(0, &mut out));
        processes.clear();
        assert_eq!(processes.total.get(), 0);
        assert!(processes.need(0, &mut out), "nobody knew it");
    }

    #[test]
    fn a_long_line_of_ancestors_is_cut_and_freed() {
        let (mut processes, mut out) = (Processes::default(), Vec::new());
        for pid in 1..20_000 {
            for kind in [ProcessEventKind::Forked, ProcessEventKind::Ended] {
                let process = if kind == ProcessEventKind::Ended { pid - 1 } else { pid };
                let event = ProcessEvent { process, kind, parent: Some(pid - 1), ..ProcessEvent::default() };
                let mut raw = Vec::new();
                event.emit(ByteOrder::Big, &mut raw).unwrap();
                processes.event(&event, &raw, ByteOrder::Big, &mut out);
            }
        }
        processes.need(19_999, &mut out);
        let written = view::blocks(&out, ByteOrder::Big).count();
        assert!((2..=2 * usize::from(MAX_ANCESTORS) + 1).contains(&written), "{written}");
    }
}
