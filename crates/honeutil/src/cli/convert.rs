//! `honeutil convert`: writes a recording in the form that another program reads.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::convert::{ConvertError, Converted, Form, convert};
use crate::cut::{CutFile, FileError};
use crate::messages::Messages;
use crate::show::ShowError;
use crate::show::input::Input;
use crate::text::counted;

/// Write a recording in a form that other programs read the processes of
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct ConvertArgs {
    /// The recording or libpcap file, also if compressed with zstd or gzip; - is standard input
    #[arg(value_name = "IN")]
    pub input: PathBuf,

    /// The file to write, compressed if it ends with .zst or .gz; - is standard output
    ///
    /// It must not exist yet, and gets its name when it is complete.
    #[arg(value_name = "OUT")]
    pub output: PathBuf,

    /// The form of OUT
    #[arg(long, value_name = "FORM", value_enum)]
    pub to: Form,
}

/// Below the help.
const NOTES: &str = "\
Forms:
  wireshark, darwin and comments keep every block of Hone's, so nothing is lost,
  and --to hone takes out what they added. pktap and pcap are libpcap files:
  these have only packets. Standard error says how much has no place there.

  wireshark  A block before a process's first packet, and another one after it
             has run another program. Wireshark before 5.0 shows each of these
             blocks as a row without a time, so that packets have other numbers.
  pktap      Names are cut to 19 bytes. A header that is there already stays.
  pcap       Fails if packets are of several link types.
  hone       Blocks and options of other programs stay as they are. A libpcap
             file becomes a recording; the processes in its PKTAP headers, which
             macOS writes, become events and options of Hone.

Corrections:
  A file is read twice: packets get the process that a later correction gives
  them. A pipe and standard input are read once: packets have the process that
  was recorded with them.

Exit status:
  0  done
  1  IN could not be read to its end, or OUT could not be written; standard
     error says what, where and why. What comes before a damaged place in IN is
     in OUT.
  2  the command line is wrong

Examples:
  honeutil convert web.pcapng web5.pcapng --to wireshark
  honeutil convert web.pcapng.zst - --to pktap | tcpdump -r -
  honeutil convert mac.pcap mac.pcapng --to hone
  honeutil read -w - | honeutil convert - web.pcap.gz --to pcap";

pub(super) fn run(args: &ConvertArgs) -> ExitCode {
    let input = Input::named(&args.input);
    let converted = CutFile::create(&args.output).map_err(ConvertError::from).and_then(|file| {
        let name = file.name().to_owned();
        convert(&input, args.to, file).map(|converted| (name, converted))
    });
    match converted {
        Ok((name, converted)) => report(&input, &name, &converted),
        Err(ConvertError::File(FileError::Closed { .. })) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(Messages, "honeutil: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says what was written and what was not.
fn report(input: &Input, name: &str, converted: &Converted) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    if let Some(error) = &converted.failed {
        status = ExitCode::FAILURE;
        if !matches!(error, ShowError::Closed) {
            super::show::report(input, error, "written");
        }
    }
    if !converted.is_written {
        if converted.failed.is_none() {
            let _ = writeln!(Messages, "honeutil: there is nothing to write: {name} was not made");
        }
        return ExitCode::FAILURE;
    }
    let _ = writeln!(Messages, "{}: {name}", counted(converted.lost.packets, "packet"));
    if let Some(lost) = converted.lost.sentence() {
        let _ = writeln!(Messages, "honeutil: {lost}");
    }
    status
}
