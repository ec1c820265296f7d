//! `honeutil save`: writes out what `honeutil read --last` keeps.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::service_choice::ServiceAddress;
use crate::messages::{Messages, print};
use crate::platform::Service;
use crate::recent::report::{self, Cause};
use crate::recent::{self, ReceiveError, Saved};
use crate::record::control::Control;
use crate::text::shown_path;

/// Write the newest part that honed or `honeutil read --last` keeps to a file
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct SaveArgs {
    /// The directory where `honeutil read --last` keeps it: FILE.recent of -w FILE, DIR/hone.recent of -d DIR
    /// [default: what honed keeps]
    #[arg(long, value_name = "DIR", conflicts_with = "socket")]
    pub from: Option<PathBuf>,

    /// What the honed that listens on PATH keeps [default: /run/hone/hone.sock]
    #[command(flatten)]
    pub address: ServiceAddress,

    /// What was saved as one JSON object, on standard output
    #[arg(long)]
    pub json: bool,

    /// The recording to write; compressed if it ends with .zst or .gz [default: HOST_YYYYMMDD_HHMMSS.pcapng]
    ///
    /// An existing file is not changed. The file is this user's.
    pub file: Option<PathBuf>,
}

/// Below the help.
const NOTES: &str = "\
Without --from, honed sends what it keeps, to root and to members of its group.
That needs a section [recent] in /etc/hone/hone.toml, whose comments explain it.
One save at a time is sent to root, and one to the others; it may take 10
minutes, and is ended if nothing of it is taken for 30 seconds.

While `read --last` runs, its signal USR1 does the same, and also ends the
segment: see `honeutil help read`. If it was killed, this writes what it has
left, up to the last whole block; remove DIR then. The next `read --last` with
the same name would take it over.

JSON:
  event    saved; or `not saved`, with error
  file     the file; also packets and bytes, its size
  seconds  how long before the save its oldest part was begun, or null
  less     why that is less than --last, or null
  whole    false: a message on standard error says what is missing
  cause    request, end (of the recording), or rule. Of a rule:
           rule, what (has happened), time, pid and name of the process (or
           null), more: how many events met a rule after it, before the save

Exit status:
  0  it is written
  1  it is not; standard error says why
  2  the command line is wrong

Examples:
  honeutil save incident.pcapng.zst
  sudo honeutil save --from /var/tmp/web.pcapng.recent incident.pcapng.zst";

pub(super) fn run(args: &SaveArgs) -> anyhow::Result<ExitCode> {
    let file = args.file.clone().unwrap_or_else(recent::unnamed);
    let (what, saved) = match &args.from {
        Some(directory) => {
            (shown_path(directory), recent::join(directory, &file).map_err(|error| error.to_string()))
        }
        None => ("what honed keeps".to_owned(), from_honed(args, &file).map_err(|error| error.to_string())),
    };
    if args.json {
        print(&report::json(saved.as_ref().map_err(String::as_str), &Cause::Asked))?;
    }
    Ok(match saved {
        Ok(saved) => {
            if !args.json {
                let _ = writeln!(Messages, "{saved}");
            }
            // A warning has named what is missing.
            if saved.is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            let _ = writeln!(Messages, "honeutil: cannot save {what}: {error}");
            ExitCode::FAILURE
        }
    })
}

fn from_honed(args: &SaveArgs, file: &Path) -> Result<Saved, ReceiveError> {
    let mut service = Service::open(&args.address, &Control::new())?;
    recent::receive(service.connection(), file)
}
