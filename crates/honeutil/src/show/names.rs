//! What packets say of names, as text. `hone-rows` finds it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::rc::Rc;

use hone_names::{
    ClientHello, Data, DnsMessage, Found, HttpRequest, Noted, response_code_name, version_name,
};
use hone_select::Selection;

pub(crate) use hone_rows::names::{Finder, PacketNames, Said, kind};

use super::input::Input;
use crate::messages::Messages;

/// Most answers of a DNS message in a line of text. JSON has all.
const MAX_ANSWERS: usize = 8;

/// Makes the first pass over the inputs, if the selection compares names. What is read from a pipe is not there in a first
/// pass: then there is none.
pub(crate) fn collect_all(
    names: &mut PacketNames,
    inputs: &[Input],
    selection: &Rc<Selection>,
    chunk: &mut [u8],
) {
    if selection.needs_names() && inputs.iter().all(Input::is_file) {
        names.collect_all(inputs.iter().map(|input| input.open().ok()), selection, chunk);
        report_left_out(names);
    }
}

/// Reports that there was no room for the names of some connections.
pub(crate) fn report_left_out(names: &PacketNames) {
    if names.left_out() > 0 {
        let _ = writeln!(
            Messages,
            "honeutil: there is no room for the names of {} connections: of these, packets are selected only from the one on \
             that has the name; give fewer files at once",
            names.left_out()
        );
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
