//! Which rules the blocks of a recording meet.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hone_engine::BYTE_ORDER;
use hone_packet::Headers;
use hone_pcapng::view::{self, PacketView};
use hone_pcapng::{ProcessEvent, ProcessEventKind, block, packet};
use hone_select::{ProcessView, Selection};

use super::{Destinations, Kind, Rule};
use crate::platform::listeners::Listeners;
use crate::show::processes::Processes;
use crate::text::utc;

/// How often it is looked which sockets listen.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most processes whose last start is remembered. More than a system has, unless their ends were lost.
const MAX_SEEN: usize = 1 << 20;

/// What met a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// The rule as it was given.
    pub rule: String,
    /// What happened, such as `started`.
    pub what: String,
    /// The process, if it is known, and its name, if that is known.
    pub process: Option<(u32, String)>,
    /// When, in nanoseconds since 1970.
    pub at: u64,
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule '{}': ", self.rule)?;
        match &self.process {
            Some((pid, name)) if name.is_empty() => write!(f, "process {pid}")?,
            Some((pid, name)) => write!(f, "process {pid} ({name})")?,
            None => f.write_str("an unknown process")?,
        }
        write!(f, " {}, {}", self.what, utc(self.at))
    }
}

/// How often rules were met, and the first one that was.
#[derive(Debug, Default)]
pub struct Noted {
    /// The first.
    pub first: Option<Met>,
    /// All of them.
    pub count: u64,
}

impl Noted {
    fn add(&mut self, met: impl FnOnce() -> Met) {
        self.first.get_or_insert_with(met);
        self.count += 1;
    }
}

/// A rule, and the processes as it sees them.
#[derive(Debug)]
struct Watched {
    rule: Rule,
    test: Test,
    processes: Processes,
}

#[derive(Debug)]
enum Test {
    /// Of a process that starts.
    Start(Rc<Selection>),
    Packet(Rc<Selection>),
    Destination(Arc<Destinations>),
    Never,
    Listener {
        is_udp: bool,
    },
}

impl Watched {
    fn new(rule: Rule) -> Self {
        let selection = rule.selection();
        let processes = Processes::new(&selection.clone().unwrap_or_default());
        let test = match (&rule.kind, selection) {
            (Kind::Destination(list), _) => Test::Destination(Arc::clone(list)),
            (Kind::Selection, Some(selection)) if selection.has_packet_words() => Test::Packet(selection),
            (Kind::Selection, Some(selection)) => Test::Start(selection),
            (Kind::Listener { is_udp }, _) => Test::Listener { is_udp: *is_udp },
            // It would select everything.
            (Kind::Selection, None) => Test::Never,
        };
        Self { rule, test, processes }
    }

    fn met(&self, what: String, pid: Option<u32>, at: u64) -> Met {
        let name =
            |pid| self.processes.get(pid).map(|process| process.shown_name.clone()).unwrap_or_default();
        Met { rule: self.rule.text.clone(), what, process: pid.map(|pid| (pid, name(pid))), at }
    }

    /// Whether the processes that the selection admits have this one; `None`: what has no process.
    fn has_process(&self, selection: &Selection, pid: Option<u32>) -> bool {
        match pid.map(|pid| (pid, self.processes.get(pid))) {
            None => selection.admits(None),
            Some((_, Some(process))) => selection.admits(Some(process.mark)),
            Some((pid, None)) => {
                selection.process_matches(Some(&ProcessView { pid: Some(pid), ..ProcessView::default() }))
            }
        }
    }

    fn note_packet(&self, packet: &PacketView<'_>, seen: &hone_select::PacketView<'_>, noted: &mut Noted) {
        match &self.test {
            Test::Packet(selection)
                if self.has_process(selection, packet.process) && selection.packet_matches(seen) =>
            {
                let what = || if packet.is_outbound() { "sent a packet" } else { "received a packet" };
                noted.add(|| self.met(what().to_owned(), packet.process, packet.timestamp));
            }
            Test::Destination(list) if packet.is_outbound() => {
                if let Some(headers) = seen.headers.filter(|headers| list.contains(headers.destination)) {
                    let what = format!("sent to {}", headers.destination);
                    noted.add(|| self.met(what, packet.process, packet.timestamp));
                }
            }
            _ => {}
        }
    }
}

/// The rules, and what they know of the recording.
#[derive(Debug)]
pub struct Watch {
    rules: Vec<Watched>,
    /// When the recording began, in nanoseconds since 1970: what was running before has not started.
    began: u64,
    /// When each process last started. Each section has all starts of the running processes again.
    seen: HashMap<u32, u64>,
    /// Whether the section has had what only happens, so that it has reported all that was running when it began.
    is_live: bool,
    has_packet_rules: bool,
    listeners: Option<Listeners>,
    looked: Instant,
}

impl Watch {
    /// Watches from now on, which is `began`.
    #[must_use]
    pub fn new(rules: Vec<Rule>, began: u64) -> Self {
        let rules: Vec<_> = rules.into_iter().map(Watched::new).collect();
        let has = |test: fn(&Test) -> bool| rules.iter().any(|watched| test(&watched.test));
        let has_packet_rules = has(|test| matches!(test, Test::Packet(_) | Test::Destination(_)));
        let listeners = has(|test| matches!(test, Test::Listener { .. })).then(Listeners::now);
        let (seen, looked) = (HashMap::new(), Instant::now());
        Self { rules, began, seen, is_live: false, has_packet_rules, listeners, looked }
    }

    /// Whether there is nothing to watch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Looks at whole blocks that are recorded.
    pub fn note(&mut self, blocks: &[u8]) -> Noted {
        let mut noted = Noted::default();
        if self.rules.is_empty() {
            return noted;
        }
        for found in view::blocks(blocks, BYTE_ORDER) {
            match found.kind() {
                block::PACKET => {
                    self.is_live = true;
                    if self.has_packet_rules
                        && let Some(packet) = found.packet()
                    {
                        self.note_packet(&packet, &mut noted);
                    }
                }
                block::PROCESS => {
                    if let Ok(event) = ProcessEvent::parse(found.body(), BYTE_ORDER) {
                        self.note_process(&event, &mut noted);
                    }
                }
                block::SECTION => {
                    self.is_live = false;
                    if let Some(listeners) = &mut self.listeners {
                        listeners.forget_processes();
                    }
                    self.rules.iter_mut().for_each(|watched| watched.processes.clear());
                }
                _ => {}
            }
        }
        noted
    }

    fn note_packet(&self, packet: &PacketView<'_>, noted: &mut Noted) {
        let seen = hone_select::PacketView {
            names: &[],
            ip: packet.data,
            headers: Headers::parse(packet.data).ok(),
            length: packet.original_length,
            direction: packet.flags.and_then(packet::direction),
            connection: packet.connection,
            is_undecoded: false,
        };
        for watched in &self.rules {
            watched.note_packet(packet, &seen, noted);
        }
    }

    fn note_process(&mut self, event: &ProcessEvent<'_>, noted: &mut Noted) {
        let has_started = self.has_started(event);
        if let Some(listeners) = &mut self.listeners {
            listeners.note(event, !self.is_live && event.timestamp < self.began);
        }
        for watched in &mut self.rules {
            watched.processes.note(event, None);
            if let Test::Start(selection) = &watched.test
                && has_started
                && watched.has_process(selection, Some(event.process))
            {
                noted.add(|| watched.met("started".to_owned(), Some(event.process), event.timestamp));
            }
        }
    }

    /// Whether a process has executed a program since the recording began, and no earlier section said so.
    fn has_started(&mut self, event: &ProcessEvent<'_>) -> bool {
        match event.kind {
            ProcessEventKind::Ended => {
                self.is_live = true;
                self.seen.remove(&event.process);
                false
            }
            ProcessEventKind::Started => {
                if self.seen.len() >= MAX_SEEN {
                    self.seen.clear();
                }
                let before = self.seen.insert(event.process, event.timestamp);
                if self.is_live {
                    // A clock that was set back says nothing about the order.
                    return before != Some(event.timestamp);
                }
                event.timestamp >= self.began && before.is_none_or(|before| before < event.timestamp)
            }
            _ => false,
        }
    }

    /// Looks at what no block says: from time to time, at the sockets that listen.
    pub fn look(&mut self, now: u64) -> Noted {
        let mut noted = Noted::default();
        let Some(known) = &mut self.listeners else { return noted };
        known.settle();
        if self.looked.elapsed() < LOOK_EVERY {
            return noted;
        }
        self.looked = Instant::now();
        for listener in known.new_ones() {
            let is_it = |watched: &&Watched| matches!(watched.test, Test::Listener { is_udp } if is_udp == listener.is_udp);
            let Some(watched) = self.rules.iter().find(is_it) else { continue };
            noted.add(|| {
                let protocol = if listener.is_udp { "UDP" } else { "TCP" };
                let mut what = format!("listens at {protocol} {}", listener.local);
                if let Some(namespace) = listener.namespace {
                    let _ = write!(what, " in network namespace {namespace}");
                }
                Met { process: listener.holder(), ..watched.met(what, None, now) }
            });
        }
        noted
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use hone_pcapng::{Block, Packet, Section};

    use super::*;

    fn watch(rules: &[&str]) -> Watch {
        Watch::new(rules.iter().map(|rule| rule.parse().unwrap()).collect(), 1000)
    }

    fn bytes(block: &Block<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        block.emit(BYTE_ORDER, &mut out).unwrap();
        out
    }

    fn process(pid: u32, kind: ProcessEventKind, path: Option<&'static str>, at: u64) -> Vec<u8> {
        bytes(&Block::Process(ProcessEvent {
            process: pid,
            kind,
            path: path.map(|path| Cow::Borrowed(path.as_bytes())),
            timestamp: at,
            parent: Some(1),
            ..ProcessEvent::default()
        }))
    }

    /// A UDP datagram to 192.0.2.`to`, port 53. `flags`: 1 received, 2 sent.
    fn packet(pid: u32, to: u8, flags: u32) -> Vec<u8> {
        let mut data = [0; 28];
        (data[0], data[9], data[3]) = (0x45, 17, 28);
        data[16..20].copy_from_slice(&[192, 0, 2, to]);
        (data[23], data[25]) = (53, 8);
        bytes(&Block::Packet(Packet {
            timestamp: 2000,
            original_length: 28,
            data: Cow::Borrowed(&data),
            flags: Some(flags),
            process: Some(pid),
            ..Packet::default()
        }))
    }

    #[test]
    fn a_process_starts_once_however_often_sections_report_it() {
        use ProcessEventKind::{Ended, Forked, Started};
        let mut watch = watch(&["--name nc"]);
        let section = bytes(&Block::Section(Section::default()));
        let running = process(5, Started, Some("/bin/nc"), 900);
        assert_eq!(watch.note(&[&section[..], &running].concat()).count, 0, "it was running before");
        let fork = process(6, Forked, None, 1100);
        let start = process(6, Started, Some("/usr/bin/nc"), 1200);
        let noted = watch.note(&[&fork[..], &start].concat());
        let text = noted.first.unwrap().to_string();
        assert_eq!(text, "rule '--name nc': process 6 (nc) started, 1970-01-01 00:00:00 UTC");
        assert_eq!(watch.note(&[&section[..], &running, &fork, &start].concat()).count, 0, "told again");
        assert_eq!(watch.note(&process(6, Started, Some("/bin/cat"), 1300)).count, 0);
        assert_eq!(watch.note(&process(6, Started, Some("/bin/nc"), 1400)).count, 1);
        watch.note(&process(6, Ended, None, 1500));
        assert_eq!(watch.note(&process(6, Started, Some("/bin/nc"), 1600)).count, 1, "another one");
    }

    #[test]
    fn a_process_starts_also_when_the_clock_was_set_back() {
        use ProcessEventKind::Started;
        let mut watch = watch(&["--name nc"]);
        let section = bytes(&Block::Section(Section::default()));
        let (running, start) =
            (process(5, Started, Some("/bin/nc"), 900), process(6, Started, Some("/bin/nc"), 10));
        assert_eq!(watch.note(&[&section[..], &running, &packet(5, 1, 2)].concat()).count, 0);
        assert_eq!(watch.note(&start).count, 1);
        assert_eq!(
            watch.note(&[&section[..], &start, &running, &packet(5, 1, 2)].concat()).count,
            0,
            "told again"
        );
        assert_eq!(watch.note(&process(6, Started, Some("/bin/nc"), 5)).count, 1, "it is executed again");
    }

    #[test]
    fn packets_meet_words_expressions_and_destinations() {
        let list = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(list.path(), "192.0.2.64/26\n").unwrap();
        let start = process(5, ProcessEventKind::Started, Some("/bin/nc"), 1100);
        let rule = format!("destination in {}", list.path().display());
        for (rule, packets, count, what) in [
            ("--name nc --port 53", &[(5, 1, 2), (6, 1, 2)][..], 1, "sent a packet"),
            ("udp port 53", &[(5, 1, 1), (6, 1, 2)], 2, "received a packet"),
            ("--not-name nc --port 53", &[(5, 1, 2), (6, 1, 2), (7, 1, 1)], 2, "sent a packet"),
            (rule.as_str(), &[(5, 1, 2), (5, 127, 1), (5, 127, 2)], 1, "sent to 192.0.2.127"),
        ] {
            let mut watch = watch(&[rule]);
            watch.note(&start);
            let blocks: Vec<u8> =
                packets.iter().flat_map(|(pid, to, flags)| packet(*pid, *to, *flags)).collect();
            let noted = watch.note(&blocks);
            assert_eq!((noted.count, noted.first.unwrap().what.as_str()), (count, what), "{rule}");
        }
    }
}
