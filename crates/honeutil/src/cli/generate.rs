//! What is made of the definition of the command line: completions and man pages.

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;

/// A shell's completions.
#[must_use]
pub(crate) fn completions(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "honeutil", &mut text);
    text
}

/// The man pages, each with its file name: `honeutil.1`, and one for each command.
///
/// # Errors
/// A page cannot be rendered.
pub(crate) fn man_pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
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
