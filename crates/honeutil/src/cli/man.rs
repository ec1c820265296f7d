//! `honeutil man`, hidden: writes the man pages, which are made of the help.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::Cli;
use crate::text::shown_path;

/// Write the man pages, made of this help, into a directory
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct ManArgs {
    /// An existing directory
    pub directory: PathBuf,
}

/// Writes `honeutil.1` and a page for each command.
pub(super) fn run(args: &ManArgs) -> anyhow::Result<ExitCode> {
    for (name, page) in pages()? {
        let path = args.directory.join(name);
        std::fs::write(&path, page)
            .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", shown_path(&path)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The man pages, each with its file name: `honeutil.1`, and one for each command.
///
/// # Errors
/// A page cannot be rendered.
pub(crate) fn pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    std::iter::once(("honeutil".to_owned(), command.clone()))
        .chain(
            command
                .get_subcommands()
                .filter(|command| !command.is_hide_set())
                .map(|command| (format!("honeutil-{}", command.get_name()), command.clone())),
        )
        .map(|(name, command)| {
            let mut page = Vec::new();
            Man::new(command.display_name(&name)).title(name.to_uppercase()).render(&mut page)?;
            Ok((format!("{name}.1"), page))
        })
        .collect()
}
