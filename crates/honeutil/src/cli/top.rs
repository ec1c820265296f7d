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
use crate::record::wanted::Wanted;
use crate::top;

/// Show live who sends and receives how much
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("{}\n\n{NOTES}", selection::NOTES))]
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

/// Below the help.
const NOTES: &str = "\
Keys:
  p, c     processes, connections
  i, o     sort by bytes in, out
  t        sort by bytes both ways
  a        sort by all bytes since the start
  n        sort by name
  q, Esc   quit (and Ctrl-C)

Environment:
  NO_COLOR  no color

Exit status:
  0  it was quit
  1  something failed; standard error says what
  2  the command line is wrong";

pub(super) fn run(args: &TopArgs) -> anyhow::Result<ExitCode> {
    top::check_terminal()?;
    let mut control = Control::with_signals().context("cannot handle signals")?;
    let selection = &args.selection.selection;
    let mut source = SourceArgs::default();
    source.service.clone_from(&args.service);
    let feed = open_source(&source, &Wanted::new(top::snap_length(selection), selection), &mut control)?;
    top::run(feed, &mut control, args.interval)?;
    Ok(ExitCode::SUCCESS)
}
