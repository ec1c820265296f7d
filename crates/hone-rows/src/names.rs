//! The names that packets say, and those of their connections. `hone-names` finds them; here they are of the packets of
//! one input after the other.

use std::collections::HashMap;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::Arc;

use hone_names::{Found, Names, Noted, type_name};
use hone_pcapng::Section;
use hone_select::Selection;

use super::event::{Event, Shown};
use super::host::Host;
use super::stream::{Stream, StreamError};

/// Nothing is said.
pub const NOTHING: Noted<'static> = Noted { found: &[], name: None, process: None, flow: 0 };

/// Most connections of which it is remembered that a name comes later.
const MAX_LATER: usize = 1 << 18;
/// Most names of one of them.
const MAX_LATER_EACH: usize = 16;

/// The names of all inputs. If a selection compares names, a first pass over the inputs collects those that come later than the
/// first packets of their connections; so all packets of these are selected. It must see the same events in the same order
/// as the second pass, of each lane.
#[derive(Debug, Default)]
pub struct PacketNames {
    /// Looks for names in packets.
    pub finder: Finder,
    later: Later,
}

/// Looks for names, in lanes: rows of packets in their order.
#[derive(Debug, Default)]
pub struct Finder {
    lanes: HashMap<usize, Lane>,
    lane: usize,
    /// The position of the present input.
    input: usize,
}

/// The packets of one host after the other.
#[derive(Debug, Default)]
struct Lane {
    names: Names,
    /// The host and the boot of the present section.
    host: Option<(Host, Option<[u8; 16]>)>,
}

/// The names of connections, by their lanes and numbers in these.
#[derive(Debug, Default)]
struct Later {
    names: HashMap<(usize, u64), Vec<Arc<str>>>,
    left_out: u64,
}

impl Finder {
    /// Goes on to the next input, in the same lane.
    pub fn next_input(&mut self) {
        self.input += 1;
    }

    /// Goes on in this lane, with the input at this position.
    pub fn go_on(&mut self, lane: usize, input: usize) {
        (self.lane, self.input) = (lane, input);
    }

    /// Forgets all lanes but the first one.
    pub fn end_lanes(&mut self) {
        self.lanes.retain(|lane, _| *lane == 0);
    }

    /// Takes note of the next event. A packet that is recorded once for two says the names of both their connections.
    pub fn note(&mut self, shown: &Shown<'_>) -> Noted<'_> {
        if let Some(received) = shown.received() {
            self.note_one(&received);
        }
        self.note_one(shown)
    }

    fn note_one(&mut self, shown: &Shown<'_>) -> Noted<'_> {
        let (Event::Section(_) | Event::Packet(_)) = &shown.event else { return NOTHING };
        let lane = self.lanes.entry(self.lane).or_default();
        match &shown.event {
            Event::Section(section) => lane.section(section, self.input),
            Event::Packet(packet) => {
                let Some(headers) = packet.headers else { return NOTHING };
                return lane.names.note(&hone_names::Packet {
                    nanos: shown.nanos.unwrap_or_default(),
                    direction: packet.direction(),
                    process: packet.process,
                    connection: packet.connection,
                    headers,
                    length: packet.view().length,
                });
            }
            _ => {}
        }
        NOTHING
    }
}

impl Lane {
    /// What another host knows says nothing here. What was found in the last file of a recording goes on in the next one.
    fn section(&mut self, section: &Section<'_>, input: usize) {
        let host = Some((Host::of(section, input), section.boot));
        if self.host != host {
            self.host = host;
            self.names.clear();
        }
    }
}

/// What is known of the names of a packet.
#[derive(Debug)]
pub struct Said<'a> {
    /// What it completes, and the name of its connection.
    pub noted: Noted<'a>,
    /// All names of it and its connection, if the selection compares names.
    pub names: Vec<&'a str>,
}

impl PacketNames {
    /// Goes on to the next input, in the same lane.
    pub fn next_input(&mut self) {
        self.finder.next_input();
    }

    /// Takes note of the next event, in the second pass.
    pub fn note(&mut self, shown: &Shown<'_>, selection: &Selection) -> Said<'_> {
        let lane = self.finder.lane;
        let noted = self.finder.note(shown);
        let names = if selection.needs_names() { self.later.names(lane, &noted) } else { Vec::new() };
        Said { noted, names }
    }

    /// Takes note of an event in the first pass.
    pub fn collect(&mut self, shown: &Shown<'_>) {
        let lane = self.finder.lane;
        let noted = self.finder.note(shown);
        for found in noted.found.iter().filter(|found| !matches!(found, Found::Dns(_))) {
            if self.later.names.len() >= MAX_LATER && !self.later.names.contains_key(&(lane, noted.flow)) {
                self.later.left_out += 1;
                continue;
            }
            let names = self.later.names.entry((lane, noted.flow)).or_default();
            for name in found.names() {
                if !names.iter().any(|known| **known == *name) && names.len() < MAX_LATER_EACH {
                    names.push(name.into());
                }
            }
        }
    }

    /// Makes the first pass over all inputs, if the selection compares names; each is opened when it is its turn, and
    /// `None` if it cannot be. It must not be made if one of the inputs can be read only once, as the two passes would differ.
    pub fn collect_all<B: Read>(
        &mut self,
        inputs: impl IntoIterator<Item = Option<B>>,
        selection: &Rc<Selection>,
        chunk: &mut [u8],
    ) {
        if !selection.needs_names() {
            return;
        }
        for bytes in inputs {
            if let Some(bytes) = bytes {
                self.collect_from(bytes, selection, chunk);
            }
            self.finder.next_input();
        }
        self.end_of_first_pass();
    }

    /// Takes in those of a whole file, as far as it is sound.
    fn collect_from(&mut self, mut bytes: impl Read, selection: &Rc<Selection>, chunk: &mut [u8]) {
        let mut stream = Stream::new(selection);
        loop {
            let count = match bytes.read(chunk) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let collected = stream.feed(&chunk[..count]).and_then(|()| {
                stream.drain(|shown| {
                    self.collect(&shown);
                    Ok::<_, StreamError>(())
                })
            });
            if collected.is_err() {
                return;
            }
        }
    }

    /// Ends the first pass.
    pub fn end_of_first_pass(&mut self) {
        self.finder = Finder::default();
    }

    /// How many connections have names for which there was no room: their packets are selected only from the one on that
    /// has the name.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.later.left_out
    }
}

impl Later {
    /// All names of a packet and its connection, of this lane.
    fn names<'a>(&'a self, lane: usize, noted: &Noted<'a>) -> Vec<&'a str> {
        let found = noted.found.iter().flat_map(Found::names);
        let name = noted.name.map(|(named, _)| &*named.name);
        let later = self.names.get(&(lane, noted.flow)).into_iter().flatten().map(|name| &**name);
        found.chain(name).chain(later).collect()
    }
}

/// The name of a type of DNS records, or its number (RFC 3597, section 5).
pub fn kind(kind: u16) -> String {
    type_name(kind).map_or_else(|| format!("TYPE{kind}"), str::to_owned)
}
