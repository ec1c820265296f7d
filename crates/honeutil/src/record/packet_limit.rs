//! `--count`: records an exact number of packets from a stream that may contain more. The service's stream continues
//! until the end of the section was requested.

use hone_engine::BYTE_ORDER;
use hone_pcapng::view::{self, BlockView};
use hone_pcapng::{Statistics, block};

/// Leaves out packets beyond a number, and corrects the section's statistics.
#[derive(Debug)]
pub(crate) struct PacketLimit {
    /// Packets still wanted.
    left: u64,
    /// Packets of the section that were left out.
    out: u64,
}

impl PacketLimit {
    pub(crate) fn new(packets: u64) -> Self {
        Self { left: packets, out: 0 }
    }

    /// Removes the packets beyond the number from the `whole` bytes of blocks at the start of `bytes`. Returns how many bytes
    /// stay.
    pub(crate) fn apply(&mut self, bytes: &mut [u8], whole: usize) -> usize {
        let lengths: Vec<(u32, usize)> = view::blocks(&bytes[..whole], BYTE_ORDER)
            .map(|block| (block.kind(), block.bytes().len()))
            .collect();
        let (mut from, mut to) = (0, 0);
        for (kind, length) in lengths {
            let keep = match kind {
                block::PACKET if self.left == 0 => {
                    self.out += 1;
                    false
                }
                block::PACKET => {
                    self.left -= 1;
                    true
                }
                block::STATISTICS if self.out > 0 => {
                    // It ended before the packets that were left out.
                    correct(&mut bytes[from..from + length], std::mem::take(&mut self.out));
                    true
                }
                _ => true,
            };
            if keep {
                if from != to {
                    bytes.copy_within(from..from + length, to);
                }
                to += length;
            }
            from += length;
        }
        to
    }
}

/// Corrects the statistics of a section, of which so many packets are not recorded.
pub(super) fn correct(block: &mut [u8], out: u64) {
    let mut corrected = Vec::new();
    let Ok(mut statistics) = Statistics::parse(BlockView::new(block, BYTE_ORDER).body(), BYTE_ORDER) else {
        return;
    };
    for count in [&mut statistics.received, &mut statistics.accepted, &mut statistics.delivered] {
        *count = count.map(|count| count.saturating_sub(out));
    }
    // Numbers have a fixed length, so it has the room that it had.
    if statistics.emit(BYTE_ORDER, &mut corrected).is_ok() && corrected.len() == block.len() {
        block.copy_from_slice(&corrected);
    }
}

#[cfg(test)]
mod tests {
    use hone_pcapng::Packet;

    use super::*;

    fn stream(packets: u32, counted: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for original_length in 0..packets {
            Packet { original_length, ..Packet::default() }.emit(BYTE_ORDER, &mut out).unwrap();
        }
        let statistics =
            Statistics { received: Some(counted), delivered: Some(counted), ..Statistics::default() };
        statistics.emit(BYTE_ORDER, &mut out).unwrap();
        out
    }

    #[test]
    fn packets_beyond_the_number_go_and_the_statistics_agree() {
        for wanted in 0..6 {
            let mut limit = PacketLimit::new(wanted);
            let mut bytes = stream(5, 5);
            let whole = bytes.len();
            let kept = limit.apply(&mut bytes, whole);
            let there = wanted.min(5);
            assert_eq!(bytes[..kept], stream(u32::try_from(there).unwrap(), there));
        }
    }
}
