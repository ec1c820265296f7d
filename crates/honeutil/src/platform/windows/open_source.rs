//! Opens the source of a recording: the driver.

use anyhow::bail;

use super::service_feed::ServiceFeed;
use crate::cli::read::SourceArgs;
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
    if !wanted.selection.is_empty() {
        bail!(
            "the driver cannot select yet: record everything, and cut out what is wanted with `honeutil show -w OUT`"
        );
    }
    let driver = ServiceFeed::attach(wanted)?;
    tracing::info!("recording through the driver");
    Ok(Box::new(driver))
}
