//! One process id that many programs have, one after another, within a very short time.

use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{dup2_stdout, fexecve};

use super::places::{fork_as, reap};
use super::skip;
use crate::network::End;
use crate::packet::Direction;
use crate::sockets::{receive, udp};
use crate::stage::Stage;
use crate::tag::{LENGTH, Tag};
use crate::told::Fact;

const PORT: u16 = 7980;
const PROCESSES: usize = 300;

/// A program that writes the beginning of its first argument to standard output, as many bytes as a tag has, and ends.
/// It is made by hand, because a linked program would spend longer on its start than on the rest of its life.
fn program() -> Result<Vec<u8>> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Err(skip("the program is made for x86-64"));
    }
    let code = [
        // rsi = argv[1]; edx = the length of a tag; write(1, rsi, edx)
        &[0x48, 0x8b, 0x74, 0x24, 0x10][..],
        &[0xba, u8::try_from(LENGTH)?, 0, 0, 0],
        &[0xbf, 1, 0, 0, 0],
        &[0xb8, 1, 0, 0, 0, 0x0f, 0x05],
        // exit(0)
        &[0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05],
    ]
    .concat();
    let length = HEADERS + u64::try_from(code.len())?;
    // ELF, 64 bits, little-endian; an executable for x86-64 (elf(5)).
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    // Entry point, offsets of the program headers and of the section headers; flags.
    bytes.extend([BASE + HEADERS, 64, 0].map(u64::to_le_bytes).as_flattened());
    bytes.extend([0; 4]);
    // Sizes of this header and of a program header; one program header; no sections.
    bytes.extend([64_u16, 56, 1, 0, 0, 0].map(u16::to_le_bytes).as_flattened());
    // Segment that is loaded, readable and executable; offset, address twice, length twice, alignment.
    bytes.extend([1_u32, 5].map(u32::to_le_bytes).as_flattened());
    bytes.extend([0, BASE, BASE, length, length, 0x1000].map(u64::to_le_bytes).as_flattened());
    bytes.extend(code);
    Ok(bytes)
}

/// Starts the programs so quickly that their start times are hardly different.
pub(super) fn at_once(stage: &mut Stage<'_>) -> Result<()> {
    let program = program()?;
    let to = stage.address(End::B, PORT);
    let mut sink = stage.play(End::B, "sink", |part| {
        let socket = udp(part, to)?;
        part.ready()?;
        (0..PROCESSES).try_for_each(|_| receive(part, &socket).map(drop))
    })?;
    sink.ready()?;
    let mut parent = stage.play(End::A, "parent", |part| {
        let socket = udp(part, stage.address(End::A, 0))?;
        socket.connect(to)?;
        let mut file = File::from(memfd_create("program", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&program)?;
        let free = part.fork_briefly(|_| Ok(()))?;
        reap(free)?;
        let process = free.as_raw().unsigned_abs();
        // Prepared in advance, so that the loop below does as little as possible.
        let mut programs = Vec::new();
        for round in 0..PROCESSES {
            let (Tag { number, .. }, _) = part.message(0);
            let (tag, name) = (Tag { process, number }, format!("name-{round}"));
            programs.push(["program", &tag.to_string(), &name].map(CString::new));
            part.tell(&Fact::Sent(tag, process))?;
            part.tell(&Fact::Named(Direction::Out, tag, name))?;
        }
        for words in programs {
            let words = words.into_iter().collect::<Result<Vec<_>, _>>()?;
            match fork_as(free.as_raw()).context("cannot use a process id again")? {
                Some(again) => reap(again)?,
                None => {
                    dup2_stdout(&socket)?;
                    fexecve::<_, _, CString>(&file, &words, &[]).context("cannot become another program")?;
                }
            }
        }
        Ok(())
    })?;
    parent.finish()?;
    sink.finish()
}
