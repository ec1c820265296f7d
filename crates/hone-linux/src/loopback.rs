//! Packets of loopback devices, which are seen as they are sent and again as they are received: which two are one.
//!
//! Nothing of a packet itself says that, but where its bytes lie in the kernel does: they are not copied on the way. Memory
//! is used again, so a received packet is the latest sent one at that place, and only once. Records come in the order in
//! which their packets passed. What passes in between without a record (lost, or left out) can make two packets look like
//! one, so whoever joins them compares their bytes.

use hone_engine::Direction;

/// Packets that are on their way at most: each processor has a queue of some 1,000 (`net.core.netdev_max_backlog`). Those
/// that fall together with others are not recognized when they are received.
const ENTRIES: usize = 1 << 12;
/// Bits of an address that are equal in many: buffers begin at multiples of 64 bytes.
const ALIGNMENT: u32 = 6;

/// A sent packet.
#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    buffer: u64,
    length: u32,
    packet_id: u64,
}

/// Numbers packets of loopback devices.
#[derive(Debug)]
pub(crate) struct Loopback {
    sent: Box<[Sent]>,
    last_id: u64,
}

impl Default for Loopback {
    fn default() -> Self {
        Self { sent: vec![Sent::default(); ENTRIES].into_boxed_slice(), last_id: 0 }
    }
}

impl Loopback {
    /// The number of a packet of `length` bytes that lie at `buffer`; 0: it is on no loopback device. A sent packet gets a
    /// new one; a received one that of the packet that was sent, if it is known.
    pub(crate) fn packet_id(&mut self, buffer: u64, direction: Direction, length: u32) -> Option<u64> {
        if buffer == 0 {
            return None;
        }
        let sent = &mut self.sent[place(buffer)];
        match direction {
            Direction::Outbound => {
                self.last_id += 1;
                *sent = Sent { buffer, length, packet_id: self.last_id };
                Some(self.last_id)
            }
            Direction::Inbound => {
                let is_same = sent.buffer == buffer && sent.length == length;
                is_same.then(|| std::mem::take(sent).packet_id)
            }
        }
    }
}

/// Where the packet at `buffer` is noted: Fibonacci hashing, as buffers lie in rows.
fn place(buffer: u64) -> usize {
    let hash = (buffer >> ALIGNMENT).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(hash >> (u64::BITS - ENTRIES.ilog2())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use hone_engine::Direction::{Inbound, Outbound};

    use super::*;

    #[test]
    fn a_received_packet_has_the_number_of_the_sent_one_once() {
        let mut loopback = Loopback::default();
        assert_eq!(loopback.packet_id(0, Outbound, 60), None, "another device");
        assert_eq!(loopback.packet_id(64, Inbound, 60), None, "it was not seen as it was sent");
        assert_eq!(loopback.packet_id(64, Outbound, 60), Some(1));
        assert_eq!(loopback.packet_id(128, Outbound, 60), Some(2));
        assert_eq!(loopback.packet_id(64, Inbound, 60), Some(1));
        assert_eq!(loopback.packet_id(64, Inbound, 60), None, "another socket gets the same");
        assert_eq!(loopback.packet_id(128, Inbound, 61), None, "another packet in the same memory");
    }

    #[test]
    fn the_latest_packet_in_the_same_memory_counts() {
        let mut loopback = Loopback::default();
        assert_eq!(loopback.packet_id(64, Outbound, 60), Some(1));
        assert_eq!(loopback.packet_id(64, Outbound, 60), Some(2));
        assert_eq!(loopback.packet_id(64, Inbound, 60), Some(2));
    }

    #[test]
    fn many_packets_on_their_way_are_recognized() {
        let mut loopback = Loopback::default();
        let buffers = |base: u64| (0..500).map(move |at| 0xFFFF_8880_0000_0000 + base + 1024 * at);
        for buffer in buffers(0) {
            loopback.packet_id(buffer, Outbound, 60);
        }
        let known = buffers(0).filter(|buffer| loopback.packet_id(*buffer, Inbound, 60).is_some()).count();
        assert!(known >= 450, "{known}");
    }
}
