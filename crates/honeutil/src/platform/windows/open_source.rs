//! Opens the source of a recording: the driver.

use super::accounts;
use super::service_feed::ServiceFeed;
use crate::cli::source::SourceArgs;
use crate::record::control::Control;
use crate::record::feed::Feed;
use crate::record::wanted::Wanted;

/// Attaches to the driver: from here on, what happens is recorded.
///
/// # Errors
/// The driver does not run, or refuses; with what to do.
pub fn open_source(
    _args: &SourceArgs,
    wanted: &Wanted,
    _control: &mut Control,
) -> anyhow::Result<Box<dyn Feed>> {
    let selection = accounts::by_identifiers(&wanted.selection)?;
    if !selection.is_empty() {
        tracing::info!("the driver applies the whole selection");
    }
    let driver = ServiceFeed::attach(&Wanted { selection, ..wanted.clone() })?;
    tracing::info!("recording through the driver");
    Ok(Box::new(driver))
}
