//! The base filtering engine, as drivers reach it: sessions, transactions and filters. A filter that is added or removed
//! at a layer makes the next packet of each connection that was authorised there be authorised again ("ALE
//! Reauthorization").
//!
//! What `honeutil install` has installed is in the file that the stand-in for `fwpuclnt.dll` writes.

use std::collections::HashMap;
use std::ffi::c_void;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::classify;
use crate::windows::{NtStatus, STATUS_INVALID_HANDLE, STATUS_SUCCESS};

/// If this file exists, the engine does not run, as while the system starts.
const STOPPED: &str = r"C:\hone\no-filter-engine";
/// One object in each line: kind, key, flags, objects that it refers to, other words.
const INSTALLED: &str = r"C:\hone\filters.txt";

/// `FWPM_SERVICE_STATE`.
const SERVICE_STOPPED: u32 = 0;
const SERVICE_RUNNING: u32 = 3;

/// `RPC_NT_SERVER_UNAVAILABLE`.
const SERVER_UNAVAILABLE: NtStatus = 0xC002_0017_u32.cast_signed();
// `STATUS_FWP_*`, ntstatus.h. "WFP Error Codes" has the same errors as `FWP_E_*`.
const CALLOUT_NOT_FOUND: NtStatus = 0xC022_0001_u32.cast_signed();
const SUBLAYER_NOT_FOUND: NtStatus = 0xC022_0007_u32.cast_signed();
const NO_TRANSACTION: NtStatus = 0xC022_000D_u32.cast_signed();
const IN_TRANSACTION: NtStatus = 0xC022_000E_u32.cast_signed();
const INCOMPATIBLE_LAYER: NtStatus = 0xC022_0014_u32.cast_signed();
const NULL_DISPLAY_NAME: NtStatus = 0xC022_0023_u32.cast_signed();

/// The handles that the driver gets. They differ, so that it cannot confuse them.
const SESSION: usize = 0x5E55_1070;
const SUBSCRIPTION: usize = 0x50B5_C210;

#[derive(Default)]
struct Engine {
    is_subscribed: bool,
    is_open: bool,
    is_changing: bool,
    /// Keys of the callouts of the filters that the session has added, and whether each is committed.
    filters: Vec<([u8; 16], bool)>,
    /// How often the policy has changed at the layer of each callout, by the callout's key.
    changes: HashMap<[u8; 16], u64>,
    /// Connections that were authorised before the driver was loaded, by endpoint.
    older: HashMap<u64, Older>,
}

/// A connection that is older than the driver.
#[derive(Clone, Copy)]
struct Older {
    process: u64,
    /// The position of the callout at whose layer it was authorised.
    place: usize,
    /// How often the policy had changed when it was authorised last.
    changes: u64,
}

static ENGINE: Mutex<Option<Engine>> = Mutex::new(None);

fn engine() -> MutexGuard<'static, Option<Engine>> {
    let mut engine = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
    engine.get_or_insert_default();
    engine
}

/// `work`, with the engine, if `session` is the open session.
fn with(session: *mut c_void, work: impl FnOnce(&mut Engine) -> Result<(), NtStatus>) -> NtStatus {
    match engine().as_mut() {
        Some(engine) if engine.is_open && session.addr() == SESSION => {
            work(engine).map_or_else(|status| status, |()| STATUS_SUCCESS)
        }
        _ => STATUS_INVALID_HANDLE,
    }
}

/// Number of sessions and subscriptions that the driver has not ended.
pub(crate) fn open() -> usize {
    engine().as_ref().map_or(0, |engine| usize::from(engine.is_open) + usize::from(engine.is_subscribed))
}

/// Notes a connection that is older than the driver.
pub(crate) fn add_older(endpoint: u64, process: u64, place: usize) {
    let mut engine = engine();
    engine.as_mut().map(|engine| engine.older.insert(endpoint, Older { process, place, changes: 0 }));
}

/// If the policy has changed since this connection was authorised: the position of the callout at whose layer it is
/// authorised again, and its process.
pub(crate) fn authorize_again(endpoint: u64) -> Option<(usize, u64)> {
    let mut engine = engine();
    let Engine { older, changes, .. } = engine.as_mut()?;
    let connection = older.get_mut(&endpoint)?;
    let now = changes.get(classify::keys().get(connection.place)?).copied().unwrap_or(0);
    let has_changed = connection.changes < now;
    connection.changes = now;
    has_changed.then_some((connection.place, connection.process))
}

fn is_running() -> bool {
    !Path::new(STOPPED).exists()
}

/// A key as the file has it.
fn text(key: &[u8; 16]) -> String {
    let part = |range: std::ops::Range<usize>| -> String {
        key[range].iter().rev().map(|byte| format!("{byte:02x}")).collect()
    };
    let rest: String = key[8..].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{rest}", part(0..4), part(4..6), part(6..8))
}

/// The words of an installed object.
fn installed(kind: &str, key: &[u8; 16]) -> Option<Vec<String>> {
    let key = text(key);
    let objects = std::fs::read_to_string(INSTALLED).ok()?;
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    objects.lines().map(words).find(|words| words.len() > 1 && words[0] == kind && words[1] == key)
}

/// The driver's: `subscription` has room for a handle.
// SAFETY: the name and the signature are those of fwpmk.h; the driver alone calls it.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "system" fn FwpmBfeStateSubscribeChanges0(
    device: *mut c_void,
    callback: *const c_void,
    _: *mut c_void,
    subscription: *mut *mut c_void,
) -> NtStatus {
    assert!(!device.is_null() && !callback.is_null(), "it takes a device and a function");
    if let Some(engine) = engine().as_mut() {
        assert!(!engine.is_subscribed, "there is a subscription already");
        engine.is_subscribed = true;
    }
    // SAFETY: the driver has room for it.
    unsafe { *subscription = std::ptr::without_provenance_mut(SUBSCRIPTION) };
    STATUS_SUCCESS
}

/// The driver's.
// SAFETY: the name and the signature are those of fwpmk.h; the driver alone calls it.
#[unsafe(no_mangle)]
pub(crate) extern "system" fn FwpmBfeStateUnsubscribeChanges0(subscription: *mut c_void) -> NtStatus {
    match engine().as_mut() {
        Some(engine) if engine.is_subscribed && subscription.addr() == SUBSCRIPTION => {
            engine.is_subscribed = false;
            STATUS_SUCCESS
        }
        _ => STATUS_INVALID_HANDLE,
    }
}

/// The driver's.
// SAFETY: the name and the signature are those of fwpmk.h; the driver alone calls it.
#[unsafe(no_mangle)]
pub(crate) extern "system" fn FwpmBfeStateGet0() -> u32 {
    let is_subscribed = engine().as_ref().is_some_and(|engine| engine.is_subscribed);
    assert!(is_subscribed, "a driver subscribes to changes before it asks for the state");
    if is_running() { SERVICE_RUNNING } else { SERVICE_STOPPED }
}

/// `FWPM_SESSION0`.
#[repr(C)]
pub(crate) struct Session {
    key: [u8; 16],
    name: [usize; 2],
    flags: u32,
    patience: u32,
    process: u32,
    user: [usize; 2],
    is_kernel: i32,
}

/// The driver's: `session` is one, and `handle` has room for a handle.
// SAFETY: the name and the signature are those of fwpmk.h; the driver alone calls it.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "system" fn FwpmEngineOpen0(
    server: *const u16,
    authentication: u32,
    _: *const c_void,
    session: *const Session,
    handle: *mut *mut c_void,
) -> NtStatus {
    const DYNAMIC: u32 = 1;
    assert!(server.is_null(), "drivers name no server");
    assert!([10, u32::MAX].contains(&authentication), "drivers name one of these two services");
    // SAFETY: the driver passes one, or nothing.
    let session = unsafe { session.as_ref() };
    assert!(
        session.is_some_and(|session| session.flags == DYNAMIC),
        "what the driver adds has to go when its session ends"
    );
    if !is_running() {
        return SERVER_UNAVAILABLE;
    }
    if let Some(engine) = engine().as_mut() {
        assert!(!engine.is_open, "there is a session already");
        engine.is_open = true;
    }
    // SAFETY: the driver has room for it.
    unsafe { *handle = std::ptr::without_provenance_mut(SESSION) };
    STATUS_SUCCESS
}

/// The driver's.
// SAFETY: the name and the signature are those of fwpmk.h; the driver alone calls it.
#[unsafe(no_mangle)]
pub(crate) extern "system" fn FwpmEngineClose0(session: *mut c_void) -> NtStatus {
    let mut removed = Vec::new();
    let status = with(session, |engine| {
        engine.is_open = false;
        // An unfinished transaction is undone: its filters were never there.
        engine.is_changing = false;
        removed = std::mem::take(&mut engine.filters);
        removed.retain(|&(_, is_committed)| is_committed);
        for (callout, _) in &removed {
            *engine.changes.entry(*callout).or_default() += 1;
        }
        Ok(())
    });
    for (callout, _) in &removed {
        classify::notify(callout, classify::Change::Removed);
    }
    status
}

/// The driver's.
// SAFETY: the name and the signature are those of fwpmk.h; the driver alone calls it.
#[unsafe(no_mangle)]
pub(crate) extern "system" fn FwpmTransactionBegin0(session: *mut c_void, flags: u32) -> NtStatus {
    assert_eq!(flags, 0, "filters are added in a transaction that writes");
    with(session, |engine| {
        if engine.is_changing {
            return Err(IN_TRANSACTION);
        }
        engine.is_changing = true;
        Ok(())
    })
}

/// The driver's.
// SAFETY: the name and the signature are those of fwpmk.h; the driver alone calls it.
#[unsafe(no_mangle)]
pub(crate) extern "system" fn FwpmTransactionCommit0(session: *mut c_void) -> NtStatus {
    with(session, |engine| {
        if !engine.is_changing {
            return Err(NO_TRANSACTION);
        }
        engine.is_changing = false;
        for (callout, is_committed) in &mut engine.filters {
            *is_committed = true;
            *engine.changes.entry(*callout).or_default() += 1;
        }
        Ok(())
    })
}

/// `FWPM_FILTER0`, 200 bytes. These are the fields that the driver sets.
#[repr(C)]
pub(crate) struct Filter {
    key: [u8; 16],
    name: *const u16,
    description: *const u16,
    flags: u32,
    provider: [usize; 3],
    layer: [u8; 16],
    sublayer: [u8; 16],
    weight: u32,
    weight_value: u64,
    conditions: u32,
    condition: *const c_void,
    action: u32,
    callout: [u8; 16],
    rest: [u32; 13],
}

const _: () = assert!(std::mem::size_of::<Filter>() == 200);

/// The driver's: `filter` is one.
// SAFETY: the name and the signature are those of fwpmk.h; the driver alone calls it.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "system" fn FwpmFilterAdd0(
    session: *mut c_void,
    filter: *const Filter,
    _: *const c_void,
    _: *mut u64,
) -> NtStatus {
    const INSPECTION: u32 = 0x6004;
    // SAFETY: the driver passes one.
    let filter = unsafe { &*filter };
    assert_eq!(filter.action, INSPECTION, "a filter of Hone's only inspects");
    assert_eq!(
        (filter.key, filter.flags),
        ([0; 16], 0),
        "the engine makes the key of a filter that does not stay"
    );
    assert_eq!((filter.conditions, filter.weight), (0, 0), "it is for all connections, and of any weight");
    assert!(classify::keys().contains(&filter.callout), "the callout is registered first");
    let status = with(session, |engine| {
        if filter.name.is_null() {
            return Err(NULL_DISPLAY_NAME);
        }
        installed("Sublayer", &filter.sublayer).ok_or(SUBLAYER_NOT_FOUND)?;
        let callout = installed("Callout", &filter.callout).ok_or(CALLOUT_NOT_FOUND)?;
        if callout.last() != Some(&text(&filter.layer)) {
            return Err(INCOMPATIBLE_LAYER);
        }
        assert!(engine.is_changing, "all filters are added, or none");
        engine.filters.push((filter.callout, false));
        Ok(())
    });
    if status == STATUS_SUCCESS {
        classify::notify(&filter.callout, classify::Change::Added);
    }
    status
}
