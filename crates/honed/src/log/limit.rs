//! Clients cause messages as often as they like. So of each message (a place in the code) only some are written in a time,
//! and how many were left out is said after it. Owns the counts; called by every thread.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::{Level, Metadata};

/// Most lines of one message that are written in [`TIME`].
const MOST: u32 = 20;
const TIME: Duration = Duration::from_secs(10);

/// A line about messages that were left out.
pub(super) type LeftOut = (Level, String);

/// Of each message, what was written lately.
static WRITTEN: Mutex<Option<HashMap<Identifier, Written>>> = Mutex::new(None);

/// One message, within [`TIME`].
struct Written {
    since: Instant,
    count: u32,
    left_out: u64,
    level: Level,
    /// The first that was left out.
    example: String,
}

/// Whether this line may be written, and what is to be said before it.
pub(super) fn admit_now(metadata: &Metadata<'_>, text: &str) -> (bool, Option<LeftOut>) {
    admit(WRITTEN.lock().get_or_insert_default(), Instant::now(), metadata, text)
}

/// What is to be said of messages whose time is over, or of all.
pub(super) fn left_out(all: bool) -> Vec<LeftOut> {
    let mut said = Vec::new();
    if let Some(written) = WRITTEN.lock().as_mut() {
        written.retain(|_, known| {
            let over = all || known.since.elapsed() >= TIME;
            if over {
                said.extend(known.left_out());
            }
            !over
        });
    }
    said
}

/// Whether one more line of a message may be written. Gives what is to be said of those left out before.
fn admit(
    written: &mut HashMap<Identifier, Written>,
    now: Instant,
    metadata: &Metadata<'_>,
    text: &str,
) -> (bool, Option<(Level, String)>) {
    let level = *metadata.level();
    let new = || Written { since: now, count: 0, left_out: 0, level, example: String::new() };
    let known = written.entry(metadata.callsite()).or_insert_with(new);
    let mut before = None;
    if now.duration_since(known.since) >= TIME {
        before = known.left_out();
        *known = new();
    }
    if known.count < MOST {
        known.count += 1;
        return (true, before);
    }
    if known.left_out == 0 {
        text.trim_end().clone_into(&mut known.example);
    }
    known.left_out += 1;
    (false, before)
}

impl Written {
    fn left_out(&self) -> Option<(Level, String)> {
        (self.left_out > 0).then(|| {
            let text = match self.left_out {
                1 => format!("1 message was left out: {}", self.example),
                many => format!("{many} messages like this one were left out: {}", self.example),
            };
            (self.level, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks of one message, `count` times at `now`; how many were written, and what was said of others.
    fn ask(written: &mut HashMap<Identifier, Written>, now: Instant, count: u32) -> (u32, Vec<String>) {
        static CALLSITE: tracing::callsite::DefaultCallsite =
            tracing::callsite::DefaultCallsite::new(&METADATA);
        static METADATA: Metadata<'static> = tracing::metadata! {
            name: "test",
            target: "test",
            level: Level::INFO,
            fields: &[],
            callsite: &CALLSITE,
            kind: tracing::metadata::Kind::EVENT,
        };
        let (mut admitted, mut said) = (0, Vec::new());
        for number in 0..count {
            let (may, before) = admit(written, now, &METADATA, &format!("reader {number} attached"));
            admitted += u32::from(may);
            said.extend(before.map(|(_, text)| text));
        }
        (admitted, said)
    }

    #[test]
    fn a_message_that_comes_too_often_is_left_out_and_counted() {
        let (mut written, now) = (HashMap::new(), Instant::now());
        assert_eq!(ask(&mut written, now, 1000), (MOST, vec![]));
        assert_eq!(ask(&mut written, now + TIME / 2, 1), (0, vec![]));
        let said = "981 messages like this one were left out: reader 20 attached".to_owned();
        assert_eq!(ask(&mut written, now + TIME, 3), (3, vec![said]));
        assert_eq!(ask(&mut written, now + TIME * 2, 1), (1, vec![]));
    }
}
