//! What takes bytes from the kernel, for `hone-fuzz`: the fuzz targets, and the golden recordings.

use hone_engine::Event;

use crate::clock::WallClock;
use crate::decoder::Decoder;
use crate::record::{PacketRecord, Process, Record};

/// Turns records into events.
#[derive(Debug)]
pub struct Records(Decoder);

impl Records {
    /// With clocks as they are now.
    #[must_use]
    pub fn start() -> Self {
        Self(Decoder::start())
    }

    /// With times as the records have them, since boot: the same events whenever it runs.
    #[must_use]
    pub fn since_boot() -> Self {
        Self(Decoder::with(WallClock::since_boot()))
    }

    /// Hands the events of the records that stand one behind the other in `bytes` to `sink`; how many bytes they have,
    /// up to the first that is none.
    ///
    /// Users and groups are a handful: who they are is asked of the system.
    pub fn deliver(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> usize {
        let mut rest = bytes;
        loop {
            if let Some((packet, length)) = PacketRecord::parse(rest) {
                self.0.packet(&packet, sink);
                rest = &rest[length..];
                continue;
            }
            let Ok((mut record, length)) = Record::parse(rest) else { break };
            if let Record::ProcessForked(Process { user, group, .. })
            | Record::ProcessStarted(Process { user, group, .. }) = &mut record
            {
                *user %= 4;
                *group %= 4;
            }
            self.0.deliver(record, sink);
            rest = &rest[length..];
        }
        bytes.len() - rest.len()
    }
}
