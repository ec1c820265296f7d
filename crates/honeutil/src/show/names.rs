//! The names that packets say, and those of their connections. `hone-names` finds them; here they are of the packets of
//! one input after the other.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::rc::Rc;
use std::sync::Arc;

use hone_names::{
    ClientHello, Data, DnsMessage, Found, HttpRequest, Names, Noted, response_code_name, type_name,
    version_name,
};
use hone_pcapng::Section;
use hone_select::Selection;

use super::event::{Event, Shown};
use super::host::Host;
use super::input::Input;
use super::stream::{Stream, StreamError};
use crate::messages::Messages;

/// Most answers of a DNS message in a line of text. JSON has all.
const MAX_ANSWERS: usize = 8;

/// Nothing is said.
pub(crate) const NOTHING: Noted<'static> = Noted { found: &[], name: None, process: None, flow: 0 };

/// Most connections of which it is remembered that a name comes later.
const MAX_LATER: usize = 1 << 18;
/// Most names of one of them.
const MAX_LATER_EACH: usize = 16;

/// The names of all inputs. If a selection compares names, a first pass over the inputs collects those that come later than the
/// first packets of their connections; so all packets of these are selected. It must see the same events in the same order
/// as the second pass, of each lane.
#[derive(Debug, Default)]
pub(crate) struct PacketNames {
    pub(crate) finder: Finder,
    later: Later,
}

/// Looks for names, in lanes: rows of packets in their order.
#[derive(Debug, Default)]
pub(crate) struct Finder {
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
    pub(crate) fn next_input(&mut self) {
        self.input += 1;
    }

    /// Goes on in this lane, with the input at this position.
    pub(crate) fn go_on(&mut self, lane: usize, input: usize) {
        (self.lane, self.input) = (lane, input);
    }

    /// Forgets all lanes but the first one.
    pub(crate) fn end_lanes(&mut self) {
        self.lanes.retain(|lane, _| *lane == 0);
    }

    /// Takes note of the next event.
    pub(crate) fn note(&mut self, shown: &Shown<'_>) -> Noted<'_> {
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
pub(crate) struct Said<'a> {
    /// What it completes, and the name of its connection.
    pub(crate) noted: Noted<'a>,
    /// All names of it and its connection, if the selection compares names.
    pub(crate) names: Vec<&'a str>,
}

impl PacketNames {
    /// Goes on to the next input, in the same lane.
    pub(crate) fn next_input(&mut self) {
        self.finder.next_input();
    }

    /// Takes note of the next event, in the second pass.
    pub(crate) fn note(&mut self, shown: &Shown<'_>, selection: &Selection) -> Said<'_> {
        let lane = self.finder.lane;
        let noted = self.finder.note(shown);
        let names = if selection.needs_names() { self.later.names(lane, &noted) } else { Vec::new() };
        Said { noted, names }
    }

    /// Takes note of an event in the first pass.
    pub(crate) fn collect(&mut self, shown: &Shown<'_>) {
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

    /// Makes the first pass, if the selection compares names. What is read from a pipe is not there in a first pass: then there is
    /// none, as the two would differ.
    pub(crate) fn collect_all(&mut self, inputs: &[Input], selection: &Rc<Selection>, chunk: &mut [u8]) {
        if !selection.needs_names() || !inputs.iter().all(Input::is_file) {
            return;
        }
        for input in inputs {
            if let Ok(bytes) = input.open() {
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
    pub(crate) fn end_of_first_pass(&mut self) {
        self.finder = Finder::default();
        if self.later.left_out > 0 {
            let _ = writeln!(
                Messages,
                "honeutil: there is no room for the names of {} connections: of these, packets are selected only from the one on \
                 that has the name; give fewer files at once",
                self.later.left_out
            );
        }
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

/// Appends ` key=value` for what a packet says, and for the name of its connection. The values print, and have no blanks.
pub(super) fn write(noted: &Noted<'_>, line: &mut String) {
    for found in noted.found {
        match found {
            Found::Dns(message) => dns(message, line),
            Found::Hello(hello) => client_hello(hello, line),
            Found::Http(HttpRequest { method, host, is_cut }) => {
                let _ = match host {
                    Some(host) => write!(line, " http={host} method={method}"),
                    None if *is_cut => write!(line, " http=cut-off"),
                    None => write!(line, " http=- method={method}"),
                };
            }
        }
    }
    if let Some((named, _)) = noted.name {
        let _ = write!(line, " name={}", named.name);
    }
}

fn dns(message: &DnsMessage, line: &mut String) {
    let key = if message.is_response { "answer" } else { "ask" };
    match &message.questions[..] {
        [] if message.is_cut => _ = write!(line, " dns=cut-off"),
        // An answer of mDNS.
        [] => _ = write!(line, " {key}={}", message.answers.first().map_or("-", |answer| &answer.name)),
        [question, ..] => _ = write!(line, " {key}={} type={}", question.name, kind(question.kind)),
    }
    if let Some(code) = message.response_code {
        let _ = match response_code_name(code) {
            Some(name) => write!(line, " rcode={name}"),
            None => write!(line, " rcode={code}"),
        };
    }
    let mut separator = " data=";
    for answer in message.answers.iter().filter(|answer| answer.data != Data::Other).take(MAX_ANSWERS) {
        let _ = match &answer.data {
            Data::Address(address) => write!(line, "{separator}{address}"),
            Data::Name(name) => write!(line, "{separator}{name}"),
            Data::Other => Ok(()),
        };
        separator = ",";
    }
    if message.answers.len() > MAX_ANSWERS {
        line.push_str(",...");
    }
    if let Some(ttl) = message.answers.iter().map(|answer| answer.ttl).min() {
        let _ = write!(line, " ttl={ttl}");
    }
}

fn client_hello(hello: &ClientHello, line: &mut String) {
    let key = if hello.is_quic { "quic" } else { "tls" };
    let _ = match &hello.server_name {
        Some(name) => write!(line, " {key}={name}"),
        None if hello.is_cut => write!(line, " {key}=cut-off"),
        None => write!(line, " {key}=-"),
    };
    if !hello.alpn.is_empty() {
        let _ = write!(line, " alpn={}", hello.alpn.join(","));
    }
    if let Some(version) = version_name(hello.version) {
        let _ = write!(line, " version={}", version.replace(' ', "-"));
    }
    if let Some(ja4) = &hello.ja4 {
        let _ = write!(line, " ja4={ja4}");
    }
}

/// The name of a type of DNS records, or its number (RFC 3597, section 5).
pub(crate) fn kind(kind: u16) -> String {
    type_name(kind).map_or_else(|| format!("TYPE{kind}"), str::to_owned)
}
