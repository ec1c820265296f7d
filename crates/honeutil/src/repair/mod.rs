//! `honeutil repair`: removes the torn end of a recording.
//!
//! A killed recorder leaves complete blocks. But when the power fails, a file system can lose what was written last:
//! the end of a file may be missing or contain zeros. `examine` finds the complete blocks. This module decides what to
//! keep and writes it beside the original, which changes only with `--in-place`.

mod examine;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{anyhow, bail};
use hone_pcapng::block::MAGIC;

use self::examine::{Damage, Examined, examine};
use crate::cli::repair::RepairArgs;
use crate::output::part_file::Part;
use crate::show::classic_pcap;
use crate::show::input::Input;
use crate::text::{counted, shown_path, thousands};

/// A file's end is cut off in place only if the file has not changed for this long, because a recorder may be writing
/// it.
const STILL: Duration = Duration::from_secs(1);
/// Most damaged places that are named one by one.
const MAX_NAMED: usize = 8;

/// Repairs a file; returns the report for people.
///
/// # Errors
/// The file was not repaired. The error explains why and what to do.
pub fn repair(args: &RepairArgs) -> anyhow::Result<String> {
    let input = Input::File(args.file.clone());
    let name = input.name();
    let cannot_open = |error: io::Error| anyhow!("cannot open {name}: {error}");
    let before = std::fs::metadata(&args.file).map_err(cannot_open)?;
    if !before.is_file() {
        bail!("{name} is no regular file: write what it holds to one first");
    }
    let out = args.output.clone().unwrap_or_else(|| beside(&args.file));
    let opened = input.open_noting().map_err(cannot_open)?;
    let (mut stream, compressed) = (opened.stream, opened.compressed);
    let mut begin = Vec::new();
    stream
        .by_ref()
        .take(4)
        .read_to_end(&mut begin)
        .map_err(|error| anyhow!("cannot read {name}: {error}"))?;
    check_format(&begin).map_err(|what| anyhow!("{name}: {what}"))?;
    let found = examine(&mut begin.chain(stream)).map_err(|error| anyhow!("{name}: {error}"))?;

    let is_whole = found.damage.is_empty() && found.failed.is_none();
    check_kept(&name, &found, compressed, args.skip_damage)?;
    let written = if is_whole {
        "nothing: the file is whole".to_owned()
    } else if !args.in_place {
        write_kept(&input, &found, &out, &before)?;
        shown_path(&out)
    } else if compressed {
        bail!("{name} is compressed: --in-place cannot cut it; without it, the rest is written beside it");
    } else {
        cut(&args.file, &found, &before).map_err(|error| {
            anyhow!("cannot cut {name}: {error}. Without --in-place, the rest is written beside it")
        })?;
        format!("{name}, in place")
    };
    Ok(report(&found, &written))
}

/// `web.repaired.pcapng` of `web.pcapng` and of `web.pcapng.zst`.
fn beside(path: &Path) -> PathBuf {
    let compressed = path.extension().is_some_and(|end| ["zst", "gz"].iter().any(|known| end == *known));
    let plain = if compressed { path.with_extension("") } else { path.to_owned() };
    let mut name = plain.file_stem().unwrap_or_default().to_owned();
    name.push(".repaired.");
    name.push(plain.extension().unwrap_or(OsStr::new("pcapng")));
    plain.with_file_name(name)
}

/// Whether the file begins like PCAP-NG, or its beginning may be torn or lost.
fn check_format(begin: &[u8]) -> Result<(), &'static str> {
    match begin.first_chunk() {
        Some(&magic) if classic_pcap::is_magic(magic) => Err(
            "it is a libpcap file, and only PCAP-NG is repaired: `honeutil show` shows it as far as it is sound",
        ),
        Some(magic) if *magic != MAGIC && *magic != [0; 4] => {
            Err("it is no PCAP-NG, nor that compressed with gzip or zstd")
        }
        _ => Ok(()),
    }
}

/// Whether the valid blocks may be kept and the rest left out.
fn check_kept(name: &str, found: &Examined, compressed: bool, skip_damage: bool) -> anyhow::Result<()> {
    let inner = found.inner_damage();
    if let Some(error) = &found.failed {
        if !compressed || error.raw_os_error().is_some() {
            bail!(
                "cannot read {name} after {} bytes: {error}. Nothing was written. A program such as ddrescue copies \
                 what can be read of a broken disk; then repair the copy",
                found.length
            );
        }
        if error.kind() != ErrorKind::UnexpectedEof && !skip_damage {
            bail!(
                "{name} cannot be decompressed behind {} bytes of what it holds: {error}. Nothing was written. \
                 --skip-damage keeps what comes before: {}, {} among them; the rest is lost",
                found.length,
                counted(found.counts.blocks, "block"),
                counted(found.counts.packets, "packet")
            );
        }
    }
    if found.sound.is_empty() && (found.length > 0 || found.failed.is_some()) {
        bail!("{name} has no whole block: there is nothing to keep");
    }
    if !inner.is_empty() && !skip_damage {
        let mut places = String::new();
        for damage in inner.iter().take(MAX_NAMED) {
            let _ = write!(places, "\n  {}", place(damage));
        }
        if inner.len() > MAX_NAMED {
            let _ = write!(places, "\n  and {} more", thousands((inner.len() - MAX_NAMED) as u64));
        }
        let (all, before) = (found.counts, found.before_damage);
        bail!(
            "{name} is damaged, and not only at its end:{places}\nBefore are {}, behind {} with {}. Nothing was \
             written. --skip-damage leaves out the damaged bytes and keeps what is before and behind them",
            counted(before.blocks, "block"),
            counted(all.blocks - before.blocks, "sound block"),
            counted(all.packets - before.packets, "packet")
        );
    }
    Ok(())
}

/// Where it is damaged, and how.
fn place(damage: &Damage) -> String {
    let (from, to) = (damage.bytes.start, damage.bytes.end);
    let zeros = if damage.zeros { ", all zero," } else { "" };
    format!("{}{zeros} from offset {from} to {to}: {}", counted(to - from, "byte"), damage.why)
}

/// Writes what is kept to a new file, all or nothing.
fn write_kept(input: &Input, found: &Examined, out: &Path, like: &Metadata) -> anyhow::Result<()> {
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::AlreadyExists => {
            anyhow!("{} exists already: remove it, or name another (-o OUT)", shown_path(out))
        }
        _ => anyhow!("cannot write {}: {error}", shown_path(out)),
    };
    if out.symlink_metadata().is_ok() {
        return Err(failed(ErrorKind::AlreadyExists.into()));
    }
    let part = Part::create(out).map_err(failed)?;
    let mut stream = input.open()?;
    let mut at = 0;
    for run in &found.sound {
        let skipped = io::copy(&mut stream.by_ref().take(run.start - at), &mut io::sink())?;
        let copied =
            io::copy(&mut stream.by_ref().take(run.end - run.start), &mut part.file()).map_err(failed)?;
        at += skipped + copied;
        if at != run.end {
            bail!("{} became shorter meanwhile: nothing was written", input.name());
        }
    }
    part.file().set_permissions(like.permissions()).map_err(failed)?;
    part.finish().map_err(failed)
}

/// Cuts the torn end off the file itself, unless another program is writing it.
fn cut(path: &Path, found: &Examined, before: &Metadata) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    std::thread::sleep(STILL);
    let now = file.metadata()?;
    if now.len() != before.len() || now.len() != found.length || now.modified().ok() != before.modified().ok()
    {
        return Err(io::Error::other("it has just been written: end the recording first"));
    }
    // There is only one series of blocks, from the beginning: damage in the middle was refused before.
    file.set_len(found.sound_bytes())?;
    file.sync_all()
}

/// What was found and done, as lines that each end with a newline.
fn report(found: &Examined, written: &str) -> String {
    let mut out = String::new();
    let mut line = |label: &str, text: String| {
        let _ = writeln!(out, "{label:12}{text}");
    };
    let inner = found.inner_damage().len();
    for (number, damage) in found.damage.iter().enumerate() {
        if number < inner && number >= MAX_NAMED {
            continue;
        }
        line(if number < inner { "Left out" } else { "Cut off" }, place(damage));
    }
    if inner > MAX_NAMED {
        line("", format!("and {} more damaged places", thousands((inner - MAX_NAMED) as u64)));
    }
    if let Some(error) = &found.failed {
        line("Missing", format!("what comes after {} bytes cannot be decompressed: {error}", found.length));
    }
    let counts = found.counts;
    line(
        "Kept",
        format!(
            "{}, {} and {} among them: {}",
            counted(counts.blocks, "block"),
            counted(counts.packets, "packet"),
            counted(counts.sections, "section"),
            counted(found.sound_bytes(), "byte")
        ),
    );
    if counts.blocks > 0 && !found.has_end {
        line("", "the last section has no statistics: it was not ended".to_owned());
    }
    line("Written", written.to_owned());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repaired_file_is_beside_the_torn_one() {
        for (path, expected) in [
            ("a/web.pcapng", "a/web.repaired.pcapng"),
            ("a/web.pcapng.zst", "a/web.repaired.pcapng"),
            ("web.pcapng.gz", "web.repaired.pcapng"),
            ("web", "web.repaired.pcapng"),
            ("web.zst", "web.repaired.pcapng"),
            ("h.example_2026.pcapng", "h.example_2026.repaired.pcapng"),
        ] {
            assert_eq!(beside(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
