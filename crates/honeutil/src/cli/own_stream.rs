//! Leaves the traffic of a stream out of the stream, also when the programs that send it on connect later.

use std::fs::Metadata;
use std::io::Write as _;
use std::os::unix::fs::FileTypeExt as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hone_select::Selection;

use super::read::ReadArgs;
use crate::messages::Messages;
use crate::output::Output;
use crate::platform::own_traffic::OwnTraffic;
use crate::record::companion::Companion;
use crate::record::error::RecordError;
use crate::record::feed::Feed;
use crate::record::wanted::Wanted;

/// After how much of the stream it is looked again. What records itself soon has more than this, and an idle host makes no
/// work.
const LOOK_BYTES: usize = 256 << 10;
/// And after how long. It is the double each time that nothing has changed.
const LOOK_AFTER: Duration = Duration::from_secs(1);
const LOOK_AFTER_AT_MOST: Duration = Duration::from_secs(8);

/// What is wanted, but for the stream's own traffic; and, for a stream, what looks for more of it.
pub(super) fn without_own(
    args: &ReadArgs,
    wanted: &Wanted,
    output: &Output,
) -> anyhow::Result<(Wanted, Option<OwnStream>)> {
    let can_send_on = |data: &Metadata| data.file_type().is_fifo() || data.file_type().is_socket();
    let stream = output.stream().filter(|data| can_send_on(data) && !args.include_own);
    let Some(stream) = stream else { return Ok((wanted.clone(), None)) };
    let known = OwnTraffic::of(&stream);
    if known.consumers.is_empty() {
        tracing::warn!(
            "it cannot be found out which program reads {}: if that sends on what it reads, the recording records itself",
            output.name()
        );
    }
    let own = OwnStream {
        stream,
        asked: wanted.clone(),
        known,
        bytes: 0,
        looked: Instant::now(),
        look_after: LOOK_AFTER,
        is_quiet: args.quiet,
        is_given_up: false,
    };
    if own.known != OwnTraffic::default() && !args.quiet {
        // Not only with -v: a program that opens the pipe would be left out, too, and is seen here.
        let _ = writeln!(Messages, "Left out: the traffic of {}; --include-own records it", own.known);
    }
    let wanted = own.rest(&own.known)?;
    Ok((wanted, Some(own)))
}

/// A stream whose traffic is left out.
pub(super) struct OwnStream {
    stream: Metadata,
    asked: Wanted,
    known: OwnTraffic,
    /// Since it was looked for.
    bytes: usize,
    looked: Instant,
    look_after: Duration,
    is_quiet: bool,
    is_given_up: bool,
}

impl OwnStream {
    /// What is asked for without this.
    fn rest(&self, own: &OwnTraffic) -> anyhow::Result<Wanted> {
        if *own == OwnTraffic::default() {
            return Ok(self.asked.clone());
        }
        let mut selection = Selection::parse(&self.asked.selection)?;
        own.exclude(&mut selection)
            .context("the stream's own traffic cannot be left out, too; --include-own records it")?;
        Ok(Wanted::new(self.asked.snap_length, &selection))
    }
}

impl Companion for OwnStream {
    fn begun(&mut self) {}

    fn note(&mut self, blocks: &[u8]) {
        self.bytes = self.bytes.saturating_add(blocks.len());
    }

    fn is_over(&mut self) -> bool {
        false
    }

    fn steer(&mut self, feed: &mut dyn Feed) -> Result<(), RecordError> {
        if self.is_given_up || self.bytes < LOOK_BYTES || self.looked.elapsed() < self.look_after {
            return Ok(());
        }
        let own = OwnTraffic::of(&self.stream);
        if own == self.known {
            self.look_after = (2 * self.look_after).min(LOOK_AFTER_AT_MOST);
        } else {
            let has_new = own.consumers.iter().any(|consumer| !self.known.consumers.contains(consumer));
            let set = self.rest(&own).and_then(|rest| Ok(feed.set_selection(&rest.selection)?));
            if let Err(error) = set {
                tracing::warn!("what the readers of the stream send from now on is recorded, too: {error:#}");
                self.is_given_up = true;
            } else if has_new && !self.is_quiet {
                let _ = writeln!(
                    Messages,
                    "Left out from now on: the traffic of {own}; --include-own records it"
                );
            }
            self.known = own;
            self.look_after = LOOK_AFTER;
        }
        (self.bytes, self.looked) = (0, Instant::now());
        Ok(())
    }
}
