//! Prints each packet of a recording with the process that sent or received it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program may abort when memory runs out"
)]

use std::collections::HashMap;
use std::error::Error;
use std::io::{Read, Write};

use hone_pcapng::{Block, Direction, Reader, words};

/// Reads a recording to its end.
pub(crate) fn print_packets(mut input: impl Read, output: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut reader = Reader::new();
    let mut programs = HashMap::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = input.read(&mut chunk)?;
        if count == 0 {
            return Ok(reader.finish()?);
        }
        reader.feed(&chunk[..count])?;
        while let Some(item) = reader.next_block()? {
            match item.block {
                Block::Process(event) => {
                    let path = event.path.as_deref().map(String::from_utf8_lossy);
                    programs.insert(event.process, path.unwrap_or_default().into_owned());
                }
                Block::Packet(packet) => {
                    let time = item.nanos.unwrap_or_default();
                    let is_sent = packet.direction() == Some(Direction::Outbound);
                    let direction = if is_sent { "sent" } else { "received" };
                    let bytes = packet.original_length;
                    match packet.process {
                        Some(process) => {
                            let program = programs.get(&process).map_or("?", String::as_str);
                            writeln!(output, "{time} {bytes} bytes {direction} by {process} {program}")?;
                        }
                        None => {
                            let reason = packet.how.map_or("unknown", words);
                            writeln!(output, "{time} {bytes} bytes {direction} by no process: {reason}")?;
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: packets FILE.pcapng")?;
    print_packets(std::fs::File::open(path)?, &mut std::io::stdout().lock())
}
