//! Traffic by process and peer, counted from the blocks of a stream.

pub(crate) mod history;
mod names;
pub mod peers;
mod processes;
mod recent_packets;
pub mod tally;

pub use self::names::Names;

/// Packets and bytes on the wire, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Packets received.
    pub packets_in: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

impl Traffic {
    /// Packets both ways.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets_in + self.packets_out
    }

    /// Bytes both ways.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes_in + self.bytes_out
    }

    pub(crate) fn count(&mut self, outbound: bool, bytes: u64) {
        let (packets, sum) = if outbound {
            (&mut self.packets_out, &mut self.bytes_out)
        } else {
            (&mut self.packets_in, &mut self.bytes_in)
        };
        *packets += 1;
        *sum += bytes;
    }

    pub(crate) fn uncount(&mut self, outbound: bool, bytes: u64) {
        let (packets, sum) = if outbound {
            (&mut self.packets_out, &mut self.bytes_out)
        } else {
            (&mut self.packets_in, &mut self.bytes_in)
        };
        *packets = packets.saturating_sub(1);
        *sum = sum.saturating_sub(bytes);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.packets_in += other.packets_in;
        self.packets_out += other.packets_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}
