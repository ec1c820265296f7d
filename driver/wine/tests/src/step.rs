//! What happens in a test: told to the driver by way of the stand-in, and to an engine on Linux.

use std::net::IpAddr;

use crate::hex;
use crate::stand_in::{CONTINUE, StandIn};

/// One thing that happens, in the order of the driver's table of callouts where it is told by one.
#[derive(Debug, Clone)]
pub enum Step {
    /// A process starts.
    Start {
        /// Its id.
        pid: u32,
        /// The parent's.
        parent: u32,
        /// The executable.
        path: &'static str,
        /// The command line.
        command_line: &'static str,
        /// What it is split into.
        arguments: &'static [&'static str],
    },
    /// A process ends.
    End(u32),
    /// A connection opens, told at this layer for IPv4: 0 connect, 2 accept, 6 assignment.
    Open(usize, u64, u32),
    /// A connection closes, told at this layer for IPv4: 4 closure, 8 release.
    Close(usize, u64),
    /// A packet.
    Packet(Packet),
}

/// A packet as the network stack has it: without its IP header if it leaves, and without checksums.
#[derive(Debug, Clone)]
pub struct Packet {
    /// The endpoint.
    pub endpoint: Option<u64>,
    /// The process, if the packet's metadata name it.
    pub process: Option<u32>,
    /// Whether it leaves.
    pub is_outbound: bool,
    /// This host's address.
    pub local: IpAddr,
    /// The other end's.
    pub remote: IpAddr,
    /// Protocol number.
    pub protocol: u8,
    /// Of one that leaves: from the transport header on; of one that arrives: from the IP header on.
    pub bytes: Vec<u8>,
    /// Of one that arrives: lengths of its IP and transport header.
    pub headers: (usize, usize),
    /// Whether it has not left the machine.
    pub is_loopback: bool,
    /// Into how many pieces it is cut.
    pub pieces: usize,
}

/// What is in front of the IP header of a packet that arrives, and is none of it: the link layer's header.
const IN_FRONT: [u8; 14] = [0xEE; 14];

impl StandIn {
    /// Has a thing happen at a time.
    ///
    /// # Panics
    /// The driver would block or permit a packet or connection itself.
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
        self.process.iter().for_each(|process| add("process", process.to_string()));
        add("local", hex(&octets(self.local)));
        add("remote", hex(&octets(self.remote)));
        if !self.is_outbound {
            let (ip, transport) = self.headers;
            add("ip", ip.to_string());
            add("transport", transport.to_string());
            // FWP_CONDITION_FLAG_IS_LOOPBACK, among others.
            add("flags", (0x30 | u32::from(self.is_loopback)).to_string());
            add("headroom", (IN_FRONT.len() + ip + transport).to_string());
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
