//! A comment about a packet's process, in words: `hone: process=curl pid=812 user=alice path=/usr/bin/curl connection=12
//! direction=out how=current-task`. Names are escaped as `show` does, so that each value is one word.

use std::fmt::Write as _;

use hone_pcapng::{Direction, words};

use crate::show::event::{Packet, Shown};
use crate::text::{escape, known};

/// How a comment of this form begins.
pub(super) const BEGIN: &str = "hone: ";

/// The comment; `None` if nothing is known of the packet. It fits into an option: no name is longer than 4096 bytes, and
/// escaped it is at most four times as long.
pub(super) fn comment(shown: &Shown<'_>, packet: &Packet<'_>) -> Option<String> {
    let mut text = BEGIN.to_owned();
    if let Some(pid) = shown.pid() {
        let name = shown.process.map_or("", |process| process.shown_name.as_str());
        let _ = write!(text, "process={} pid={pid}", known(name));
    }
    if let Some(process) = shown.process {
        match (process.user_name.is_empty(), process.user) {
            (false, _) => word(&mut text, "user", &process.user_name),
            (true, Some(user)) => _ = write!(text, " user={user}"),
            (true, None) => word(&mut text, "user", process.security_id.as_bytes()),
        }
        word(&mut text, "path", &process.path);
        word(&mut text, "container", &process.container);
        word(&mut text, "unit", &process.unit);
    }
    if let Some(connection) = packet.connection {
        let _ = write!(text, " connection={connection}");
    }
    match packet.direction() {
        Some(Direction::Inbound) => text.push_str(" direction=in"),
        Some(Direction::Outbound) => text.push_str(" direction=out"),
        None => {}
    }
    if let Some(how) = packet.how {
        let _ = write!(text, " how={}", words(how).replace(' ', "-"));
    }
    (text.len() > BEGIN.len()).then(|| text.replacen("hone:  ", BEGIN, 1))
}

fn word(text: &mut String, key: &str, value: &[u8]) {
    if !value.is_empty() {
        let _ = write!(text, " {key}=");
        escape(value, text);
    }
}
