//! The events of a test. They are reported to the driver through the stand-in, and to an engine on Linux.

use std::net::IpAddr;

use hone_api::callouts::Layer;
use hone_documented::{Data, Direction, data, protocol};

use crate::hex;
use crate::stand_in::{CONTINUE, StandIn};

/// One event. Numbers of layers are positions in the driver's table of callouts.
#[derive(Debug, Clone)]
pub enum Step {
    /// A process starts.
    Start {
        /// Process id.
        pid: u32,
        /// Process id of the parent.
        parent: u32,
        /// Path of the executable.
        path: &'static str,
        /// The command line.
        command_line: &'static str,
        /// The arguments into which the command line is split.
        arguments: &'static [&'static str],
    },
    /// A process ends.
    End(u32),
    /// A connection opens, reported at this layer (for IPv4): 0 connect, 2 accept, 6 assignment.
    Open(usize, u64, u32),
    /// A connection closes, reported at this layer (for IPv4): 4 closure, 8 release.
    Close(usize, u64),
    /// A packet.
    Packet(Packet),
}

/// A packet as the network stack has it: an outgoing packet has no IP header, and no packet has checksums.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Handle of the endpoint.
    pub endpoint: Option<u64>,
    /// Whether the packet is outgoing.
    pub is_outbound: bool,
    /// This host's address.
    pub local: IpAddr,
    /// The remote address.
    pub remote: IpAddr,
    /// Protocol number.
    pub protocol: u8,
    /// Outgoing: the bytes from the transport header on. Incoming: the bytes from the IP header on.
    pub bytes: Vec<u8>,
    /// Incoming: lengths of the IP header and of the transport header.
    pub headers: (usize, usize),
    /// Whether it is a loopback packet.
    pub is_loopback: bool,
    /// The number of pieces into which it is cut.
    pub pieces: usize,
}

/// Bytes in front of an incoming packet's IP header that do not belong to it: the link layer's header.
const IN_FRONT: [u8; 14] = [0xEE; 14];

impl StandIn {
    /// Makes the event happen at a given time.
    ///
    /// # Panics
    /// The driver itself would block or permit a packet or connection.
    pub fn step(&mut self, at: u64, step: &Step) {
        self.set_clock(at);
        match step {
            Step::Start { pid, parent, path, command_line, .. } => {
                let text = |text: &str| hex(text.as_bytes());
                self.tell(&format!("start {pid} {parent} {} {}", text(path), text(command_line)));
            }
            Step::End(pid) => {
                self.tell(&format!("end {pid}"));
            }
            Step::Open(place, endpoint, pid) => {
                let answer = self.tell(&format!("classify {place} endpoint={endpoint} process={pid}"));
                assert_eq!(answer, CONTINUE);
            }
            Step::Close(place, endpoint) => {
                let answer = self.tell(&format!("classify {place} endpoint={endpoint}"));
                assert_eq!(answer, CONTINUE);
            }
            Step::Packet(packet) => {
                let answer = self.tell(&packet.command());
                assert_eq!(answer, CONTINUE);
            }
        }
    }
}

impl Packet {
    /// Source and destination port, if the protocol has them.
    fn ports(&self) -> Option<[u16; 2]> {
        let segment = self.bytes.get(self.headers.0..)?;
        let &[a, b, c, d] =
            segment.first_chunk().filter(|_| matches!(self.protocol, protocol::TCP | protocol::UDP))?;
        Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])])
    }

    fn command(&self) -> String {
        let place = match (self.is_outbound, self.local) {
            (false, IpAddr::V4(_)) => 10,
            (false, IpAddr::V6(_)) => 11,
            (true, IpAddr::V4(_)) => 12,
            (true, IpAddr::V6(_)) => 13,
        };
        let mut command = format!("classify {place} protocol={}", self.protocol);
        let mut add = |key: &str, value: String| command.push_str(&format!(" {key}={value}"));
        self.endpoint.iter().for_each(|endpoint| add("endpoint", endpoint.to_string()));
        if let Some([source, destination]) = self.ports() {
            let [local, remote] =
                if self.is_outbound { [source, destination] } else { [destination, source] };
            add("ports", format!("{local},{remote}"));
        }
        add("local", hex(&octets(self.local)));
        add("remote", hex(&octets(self.remote)));
        if !self.is_outbound {
            let (ip, transport) = self.headers;
            add("ip", ip.to_string());
            add("transport", transport.to_string());
            // FWP_CONDITION_FLAG_IS_LOOPBACK, among others.
            add("flags", (0x30 | u32::from(self.is_loopback)).to_string());
            let in_front = match data(Layer::InboundTransport, Direction::Inbound, self.protocol) {
                Data::BehindTransportHeader => ip + transport,
                _ => ip,
            };
            add("headroom", (IN_FRONT.len() + in_front).to_string());
        }
        let in_front = if self.is_outbound { &[][..] } else { &IN_FRONT };
        let bytes = [in_front, &self.bytes].concat();
        let length = bytes.len().div_ceil(self.pieces).max(1);
        let pieces: Vec<String> = bytes.chunks(length).map(hex).collect();
        add("packet", pieces.join(","));
        command
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
