//! Clients can cause messages as often as they like. So only a limited number of lines of each message (one place in
//! the code) is written in a period. Afterwards the number of lines left out is written. Owns the counts. Called by
//! every thread.

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

/// For each message, the lines that were written in the current period.
static WRITTEN: Mutex<Option<HashMap<Identifier, Written>>> = Mutex::new(None);

/// One message within [`TIME`].
struct Written {
    since: Instant,
    count: u32,
    left_out: u64,
    level: Level,
    /// The first line that was left out.
    example: String,
}

/// Whether this line may be written, and the lines about left-out messages to write before it.
pub(super) fn admit_now(metadata: &Metadata<'_>, text: &str) -> (bool, Option<LeftOut>) {
    admit(WRITTEN.lock().get_or_insert_default(), Instant::now(), metadata, text)
}

/// The lines about left-out messages whose period is over, or about all of them.
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

/// Whether one more line of a message may be written. Returns also the lines about messages left out before.
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

    /// Tries to write one message `count` times at `now`. Returns how many lines were written, and what was reported
    /// about others.
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
