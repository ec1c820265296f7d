//! Runs tcpdump at both ends of a scenario's network and reads what it saw.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::network::{End, Family, INTERFACE, Network};
use crate::packet::{Direction, Packet};
use crate::recorder::Running;
use crate::score::Seen;
use crate::stage::{pause, wait_for};

/// tcpdump's buffer has one slot of this size for each packet, so a smaller size means more slots.
const SNAP_LENGTH: u32 = 70_000;

/// Two tcpdump processes, one at each end.
#[derive(Debug)]
pub(crate) struct Tcpdump([(Running, PathBuf); 2]);

impl Tcpdump {
    /// Starts both. Returns when they capture.
    ///
    /// # Errors
    /// tcpdump is not installed, or refuses.
    pub(crate) fn start(network: &Network, directory: &Path) -> Result<Self> {
        let start = |end: End, name: &str| -> Result<(Running, PathBuf)> {
            let file = directory.join(format!("{name}.pcap"));
            let mut command = Command::new("tcpdump");
            // tcpdump stays root, because only root may write here. The buffer size is in KiB.
            command.args(["-i", INTERFACE, "-n", "-Z", "root", "-U", "--immediate-mode", "-B", "131072"]);
            command.args(["-s", &SNAP_LENGTH.to_string(), "-w"]).arg(&file);
            let words = directory.join(format!("{name}.log"));
            let mut running = network.at(end).within(|| Running::start(&mut command, words))?;
            wait_for("tcpdump listens", || {
                running.still_runs("tcpdump")?;
                Ok(running.said().contains("listening on"))
            })?;
            Ok((running, file))
        };
        Ok(Self([start(End::A, "tcpdump-a")?, start(End::B, "tcpdump-b")?]))
    }

    /// Ends both and reads what they saw. Each packet has its direction at that end.
    ///
    /// # Errors
    /// A tcpdump has lost packets, or its file is not valid.
    pub(crate) fn stop(self, network: &Network) -> Result<Vec<Seen>> {
        // tcpdump reads its buffer a moment after the packets arrive.
        pause();
        let mut seen = Vec::new();
        for ((running, file), end) in self.0.into_iter().zip([End::A, End::B]) {
            let said = running.stop(Signal::SIGINT, "tcpdump")?;
            ensure!(said.contains("\n0 packets dropped by kernel"), "tcpdump lost packets itself: {said}");
            let own = [Family::V4, Family::V6].map(|family| network.address(end, family));
            let other = if end == End::A { End::B } else { End::A };
            let others = [Family::V4, Family::V6].map(|family| network.address(other, family));
            for data in read(&file)? {
                let Some(packet) = Packet::parse(&data) else { continue };
                let (from, to) = (packet.source.ip(), packet.destination.ip());
                // Compares only packets between the two ends: not those inside one host, those that are forwarded, or
                // those without a receiver here.
                if own.contains(&from) && others.contains(&to) {
                    seen.push(Seen { direction: Direction::Out, data });
                } else if others.contains(&from) && own.contains(&to) {
                    seen.push(Seen { direction: Direction::In, data });
                }
            }
        }
        Ok(seen)
    }
}

/// Reads the IP packets of a classic pcap file of Ethernet frames in this machine's byte order, as tcpdump writes it.
fn read(file: &Path) -> Result<Vec<Vec<u8>>> {
    const HEADER: usize = 24;
    const RECORD: usize = 16;
    const ETHERNET: usize = 14;
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let mut rest = bytes.get(HEADER..).context("tcpdump's file has no header")?;
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let length = rest.get(8..).and_then(<[u8]>::first_chunk).map(|word| u32::from_ne_bytes(*word));
        let length = length.context("tcpdump's file ends in a record")? as usize;
        let frame = rest.get(RECORD..RECORD + length).context("tcpdump's file ends in a packet")?;
        packets.push(frame.get(ETHERNET..).unwrap_or_default().to_vec());
        rest = &rest[RECORD + length..];
    }
    Ok(packets)
}
