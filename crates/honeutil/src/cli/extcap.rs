//! `honeutil extcap`: an interface of Wireshark.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::extcap;

/// Be an interface of Wireshark and tshark, which start this by themselves
///
/// Wireshark starts every program in its folder `extcap`. Hone's file there, `hone`, starts this command.
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct ExtcapArgs {
    /// What Wireshark says: see extcap(4), and below
    #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<OsString>,
}

/// Below the help.
const NOTES: &str = "\
Settings:
  The dialog of the interface has the words of `honeutil read` that select, the
  snap length and the socket of honed. In tshark, each is a preference without
  hyphens: -o extcap.hone.name:curl -o extcap.hone.notport:22,53. Several values
  are separated by commas. The capture filter (-f) is one of tcpdump's language.

Rights:
  Those of `honeutil read`: root, or a member of the group hone while honed runs.

Exit status:
  0  done, or Wireshark has ended the capture
  1  something failed; standard error says what, and a window of Wireshark

Examples:
  tshark -D
  tshark -i hone -o extcap.hone.name:curl -f 'tcp port 443'";

pub(super) fn run(args: &ExtcapArgs) -> anyhow::Result<ExitCode> {
    extcap::run(&args.options)
}
