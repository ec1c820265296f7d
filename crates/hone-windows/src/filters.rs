//! The filters that make the Windows Filtering Platform call Hone's driver. An administrator installs them once. They
//! stay until they are removed, whether the driver runs or not. All of them only inspect: without the driver they have
//! no effect, and with it they block nothing.
//!
//! Installed are a provider, a sublayer, the callouts, and two filters for each callout: one for the time while the
//! platform's service runs, and one for the time before, while the system starts. All this is one transaction: either
//! everything is installed or nothing.

mod engine;

use std::fmt::{self, Display, Formatter};

use hone_api::callouts::CALLOUTS;

use engine::Engine;

/// An error of the filtering platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What was being done.
    pub what: &'static str,
    /// The platform's number: a Win32 error or `FWP_E_*`.
    pub code: u32,
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the filtering platform answers {:#x}", self.what, self.code)?;
        match self.code {
            5 => f.write_str("; run this as administrator"),
            1062 | 1722 => f.write_str("; is the service \"Base Filtering Engine\" running?"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Installs the filters, in place of those that are installed already.
///
/// # Errors
/// The platform refuses something; then nothing has changed.
pub fn install() -> Result<(), Error> {
    let engine = Engine::open()?;
    engine.transaction(|engine| {
        remove(engine)?;
        engine.add_provider()?;
        engine.add_sublayer()?;
        for callout in &CALLOUTS {
            engine.add_callout(callout)?;
            engine.add_filter(callout)?;
            engine.add_boot_filter(callout)?;
        }
        Ok(())
    })
}

/// Removes all that [`install`] has made; what is not there is no error.
///
/// # Errors
/// The platform refuses something; then nothing has changed.
pub fn uninstall() -> Result<(), Error> {
    Engine::open()?.transaction(remove)
}

/// What is installed of the filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// Whether the provider is there.
    pub provider: bool,
    /// The weight of Hone's sublayer, if it is there.
    pub weight: Option<u16>,
    /// The weight of Windows' own sublayer `FWPM_SUBLAYER_UNIVERSAL`, if it is there.
    pub universal_weight: Option<u16>,
    /// How many of the callouts are there.
    pub callouts: usize,
    /// How many of the filters are there: two for each callout.
    pub filters: usize,
}

/// What is installed of the filters.
///
/// # Errors
/// The platform cannot be reached, or refuses.
pub fn installed() -> Result<Installed, Error> {
    let engine = Engine::open()?;
    let mut found = Installed {
        provider: engine.has_provider()?,
        weight: engine.weight()?,
        universal_weight: engine.universal_weight()?,
        callouts: 0,
        filters: 0,
    };
    for callout in &CALLOUTS {
        found.callouts += usize::from(engine.has_callout(&callout.key)?);
        for filter in [callout.filter(), callout.boot_filter()] {
            found.filters += usize::from(engine.has_filter(&filter)?);
        }
    }
    Ok(found)
}

/// Removes each object before the objects that it refers to.
fn remove(engine: &Engine) -> Result<(), Error> {
    for callout in &CALLOUTS {
        engine.remove_filter(&callout.filter())?;
        engine.remove_filter(&callout.boot_filter())?;
        engine.remove_callout(&callout.key)?;
    }
    engine.remove_sublayer()?;
    engine.remove_provider()
}
