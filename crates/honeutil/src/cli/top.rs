//! `honeutil top`: shows live who sends and receives how much.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::parse::interval;
use super::selection::{self, SelectionArgs};
use super::service_choice::ServiceChoice;
use super::source::SourceArgs;
use crate::platform::open_source;
use crate::record::control::Control;
use crate::top::{self, keys};

/// Show live who sends and receives how much
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("{}\n\n{NAMES}\n\nKeys:\n{}\n{NOTES}", selection::NOTES, keys::list()))]
pub struct TopArgs {
    /// Whether to read through the service.
    #[command(flatten)]
    pub service: ServiceChoice,

    /// Time between two pictures: 0.1 to 1d, as 5, 0.5, 10s, 1m
    #[arg(short, long, value_name = "TIME", default_value = "1", value_parser = interval)]
    pub interval: Duration,

    /// Which traffic.
    #[command(flatten)]
    pub selection: SelectionArgs,
}

/// Below the help, about names.
const NAMES: &str = "\
Names:
  Those in packets: of DNS, TLS, QUIC and HTTP, as `honeutil show` finds them. A
  name is known from the packet on that has it. With --domain, all packets are
  looked at, so that names are known which others have asked for; with other words
  only, names are found in the packets that are selected.";

/// Below the help.
const NOTES: &str = "\
Environment:
  NO_COLOR  no color
  LC_ALL, LC_CTYPE, LANG, TERM
            without UTF-8, and on the console of Linux, RECENT is drawn with
            characters of ASCII

Exit status:
  0  it was quit
  1  something failed; standard error says what
  2  the command line is wrong";

pub(super) fn run(args: &TopArgs) -> anyhow::Result<ExitCode> {
    top::check_terminal()?;
    let mut control = Control::with_signals().context("cannot handle signals")?;
    let (wanted, selected) = top::wanted(&args.selection.selection);
    let mut source = SourceArgs::default();
    source.service.clone_from(&args.service);
    let feed = open_source(&source, &wanted, &mut control)?;
    top::run(feed, selected, &mut control, args.interval)?;
    Ok(ExitCode::SUCCESS)
}
