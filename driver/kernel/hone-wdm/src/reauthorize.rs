//! Makes WFP authorise existing connections again. If a filter is added or removed at one of the layers that authorise
//! connections, the next packet of each connection that was authorised there is authorised again, with the connection's
//! process and endpoint handle ("ALE Reauthorization"). So the driver learns of connections that are older than itself.
//!
//! The driver adds a filter for a moment. It inspects like Hone's other filters, so it decides nothing. But the callouts of
//! all drivers at these layers are asked again about each connection, and once more after the filter was removed.

use core::ffi::c_void;
use core::mem;
use core::ptr::{null, null_mut};

use crate::callout::Callouts;
use crate::device::Device;
use crate::sys::{self, FWPM_FILTER0, FWPM_SESSION0, GUID, HANDLE, NTSTATUS};
use crate::{Passive, check, time};

/// How long the base filtering engine may be busy with another transaction, milliseconds. Loading the driver waits.
const PATIENCE: u32 = 2000;

/// Where to authorise again: a layer, and a callout that Hone has installed there.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The layer's key.
    pub layer: GUID,
    /// The callout's key.
    pub callout: GUID,
}

/// A subscription to the state of the base filtering engine. It ends when dropped, at PASSIVE_LEVEL. Dropping waits as long
/// as it cannot end: the driver must not be unloaded before ("FwpmBfeStateUnsubscribeChanges0").
#[derive(Debug)]
pub struct Subscription(HANDLE);

// SAFETY: the handle belongs to no thread.
unsafe impl Send for Subscription {}
// SAFETY: as above; a shared subscription is not used for anything but the state, which anybody may ask for.
unsafe impl Sync for Subscription {}

impl Subscription {
    /// Subscribes. Drop it before the device.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn new(_: Passive, device: &Device) -> Result<Self, NTSTATUS> {
        let mut subscription = null_mut();
        // SAFETY: the device exists, the function is one for this and stays until the subscription has ended, and there is
        // room for the handle.
        let status = unsafe {
            sys::FwpmBfeStateSubscribeChanges0(device.as_ptr(), ignore, null_mut(), &raw mut subscription)
        };
        check(status).map(|()| Self(subscription))
    }

    /// Whether the engine runs. The state can be asked for only while its changes are subscribed to
    /// ("FwpmBfeStateGet0").
    fn is_engine_running(&self) -> bool {
        // SAFETY: at any IRQL up to DISPATCH_LEVEL, while changes are subscribed to.
        let state = unsafe { sys::FwpmBfeStateGet0() };
        state == sys::FWPM_SERVICE_RUNNING
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        time::until_done("the subscription to the filter engine's state", || {
            // SAFETY: it has not ended; this is not the function that it calls.
            unsafe { sys::FwpmBfeStateUnsubscribeChanges0(self.0) }
        });
    }
}

/// Adds a filter at each place, and removes all of them. Returns false if the base filtering engine does not run: while
/// the system starts, when nothing is older than the driver. The callouts must be registered:
/// the engine calls their notify function.
///
/// # Errors
/// The engine refuses, for example because Hone's callouts are not installed. Then no connection is authorised again.
pub fn reauthorize<'a>(
    _: Passive,
    subscription: &Subscription,
    _: &Callouts,
    sublayer: &GUID,
    places: impl Iterator<Item = &'a Place>,
) -> Result<bool, NTSTATUS> {
    if !subscription.is_engine_running() {
        return Ok(false);
    }
    let session = Session::open()?;
    // SAFETY: the session is open; 0 stands for reading and writing.
    check(unsafe { sys::FwpmTransactionBegin0(session.0, 0) })?;
    for place in places {
        session.add(sublayer, place)?;
    }
    // SAFETY: the session is open, and has a transaction.
    check(unsafe { sys::FwpmTransactionCommit0(session.0) })?;
    Ok(true)
}

/// Is called when the state changes. When the engine starts, it adds Hone's filters, which has the same effect.
// SAFETY: it looks at nothing that it is passed.
unsafe extern "system" fn ignore(_: *mut c_void, _: u32) {}

/// A session in which everything is temporary. An unfinished transaction is undone when it ends.
struct Session(HANDLE);

impl Session {
    fn open() -> Result<Self, NTSTATUS> {
        // SAFETY: it has only numbers and pointers, of which zero is one. A key of zeros stands for a new one.
        let mut parameters: FWPM_SESSION0 = unsafe { mem::zeroed() };
        parameters.flags = sys::FWPM_SESSION_FLAG_DYNAMIC;
        parameters.txnWaitTimeoutInMSec = PATIENCE;
        let mut session = null_mut();
        let service = sys::RPC_C_AUTHN_WINNT;
        // SAFETY: the own machine; drivers pass no identity; the parameters live until the call returns, and there is room
        // for the handle.
        let status =
            unsafe { sys::FwpmEngineOpen0(null(), service, null(), &raw const parameters, &raw mut session) };
        check(status).map(|()| Self(session))
    }

    fn add(&self, sublayer: &GUID, place: &Place) -> Result<(), NTSTATUS> {
        // SAFETY: it has only numbers and pointers, of which zero is one: no key, no conditions, any weight.
        let mut filter: FWPM_FILTER0 = unsafe { mem::zeroed() };
        filter.displayData.name = crate::wide!("Hone\0").as_ptr();
        filter.layerKey = place.layer;
        filter.subLayerKey = *sublayer;
        filter.action.r#type = sys::FWP_ACTION_CALLOUT_INSPECTION;
        filter.action.calloutKey = place.callout;
        // SAFETY: the session is open; the filter and its name live until the call returns.
        check(unsafe { sys::FwpmFilterAdd0(self.0, &raw const filter, null(), null_mut()) })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: it is open, and closed once.
        let status = unsafe { sys::FwpmEngineClose0(self.0) };
        if check(status).is_err() {
            crate::debug::show(1, format_args!("the filter engine's session does not close: {status:#x}"));
        }
    }
}
