//! For tests only: replaces Wine's `fwpuclnt.dll`, which has no filters. It keeps the objects of the filtering platform
//! with their references, and it has transactions. Committed objects are in `C:\hone\filters.txt`, one object per line.
//! If `C:\hone\filters.fail` contains a number, that number of filters is accepted and the next one is refused.
#![cfg(windows)]
#![allow(
    clippy::missing_safety_doc,
    missing_docs,
    reason = "the platform's functions, with its own contracts"
)]

mod store;

use std::ffi::c_void;
use std::ptr::NonNull;

use store::{Kind, Object, Store};
use windows_sys::Win32::NetworkManagement::WindowsFilteringPlatform::{
    FWPM_CALLOUT0, FWPM_FILTER0, FWPM_PROVIDER0, FWPM_SUBLAYER_UNIVERSAL, FWPM_SUBLAYER0,
};
use windows_sys::core::GUID;

type Session = *mut c_void;

/// The session of a handle, which `FwpmEngineOpen0` has made.
fn with(session: Session, work: impl FnOnce(&mut Store) -> Result<(), i32>) -> u32 {
    let Some(mut store) = NonNull::new(session.cast::<Store>()) else { return 6 };
    // SAFETY: the test has one thread, and passes what `FwpmEngineOpen0` gave, until it closes it.
    match work(unsafe { store.as_mut() }) {
        Ok(()) => 0,
        Err(code) => code.cast_unsigned(),
    }
}

/// A key that may be missing.
///
/// # Safety
/// `key` is null or points to a key.
unsafe fn key(key: *const GUID) -> Option<GUID> {
    // SAFETY: the caller passes null or a key.
    unsafe { key.as_ref() }.copied()
}

// SAFETY: the name and the signature are those of fwpmu.h; only the tests' programs call it, with what that asks for.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn FwpmEngineOpen0(
    _: *const u16,
    _: u32,
    _: *const c_void,
    _: *const c_void,
    session: *mut Session,
) -> u32 {
    let store = Box::into_raw(Box::new(Store::read()));
    // SAFETY: the caller has room for a handle.
    unsafe { *session = store.cast() };
    0
}

// SAFETY: the name and the signature are those of fwpmu.h; only the tests' programs call it, with what that asks for.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn FwpmEngineClose0(session: Session) -> u32 {
    // SAFETY: the caller closes once what `FwpmEngineOpen0` gave.
    drop(unsafe { Box::from_raw(session.cast::<Store>()) });
    0
}

// SAFETY: the name and the signature are those of fwpmu.h; only the tests' programs call it, with what that asks for.
#[unsafe(no_mangle)]
pub extern "system" fn FwpmTransactionBegin0(session: Session, _: u32) -> u32 {
    with(session, Store::begin)
}

// SAFETY: the name and the signature are those of fwpmu.h; only the tests' programs call it, with what that asks for.
#[unsafe(no_mangle)]
pub extern "system" fn FwpmTransactionCommit0(session: Session) -> u32 {
    with(session, Store::commit)
}

// SAFETY: the name and the signature are those of fwpmu.h; only the tests' programs call it, with what that asks for.
#[unsafe(no_mangle)]
pub extern "system" fn FwpmTransactionAbort0(session: Session) -> u32 {
    with(session, Store::abort)
}

// SAFETY: the name and the signature are those of fwpmu.h; only the tests' programs call it, with what that asks for.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn FwpmProviderAdd0(
    session: Session,
    provider: *const FWPM_PROVIDER0,
    _: *mut c_void,
) -> u32 {
    // SAFETY: the caller passes one.
    let provider = unsafe { &*provider };
    let object = Object::new(Kind::Provider, provider.providerKey, provider.flags);
    with(session, |store| store.add(object))
}

// SAFETY: the name and the signature are those of fwpmu.h; only the tests' programs call it, with what that asks for.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn FwpmSubLayerAdd0(
    session: Session,
    sublayer: *const FWPM_SUBLAYER0,
    _: *mut c_void,
) -> u32 {
    // SAFETY: the caller passes one.
    let sublayer = unsafe { &*sublayer };
    let mut object = Object::new(Kind::Sublayer, sublayer.subLayerKey, sublayer.flags);
    // SAFETY: its keys are null or keys.
    object.refers(Kind::Provider, unsafe { key(sublayer.providerKey) });
    object.note(format!("{:x}", sublayer.weight));
    with(session, |store| store.add(object))
}

// SAFETY: the name and the signature are those of fwpmu.h; only the tests' programs call it, with what that asks for.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn FwpmCalloutAdd0(
    session: Session,
    callout: *const FWPM_CALLOUT0,
    _: *mut c_void,
    _: *mut u32,
) -> u32 {
    // SAFETY: the caller passes one.
    let callout = unsafe { &*callout };
    let mut object = Object::new(Kind::Callout, callout.calloutKey, callout.flags);
    // SAFETY: its keys are null or keys.
    object.refers(Kind::Provider, unsafe { key(callout.providerKey) });
    object.note(callout.applicableLayer);
    with(session, |store| store.add(object))
}

// SAFETY: the name and the signature are those of fwpmu.h; only the tests' programs call it, with what that asks for.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn FwpmFilterAdd0(
    session: Session,
    filter: *const FWPM_FILTER0,
    _: *mut c_void,
    _: *mut u64,
) -> u32 {
    // SAFETY: the caller passes one.
    let filter = unsafe { &*filter };
    let mut object = Object::new(Kind::Filter, filter.filterKey, filter.flags);
    // SAFETY: its keys are null or keys.
    object.refers(Kind::Provider, unsafe { key(filter.providerKey) });
    object.refers(Kind::Sublayer, Some(filter.subLayerKey));
    // SAFETY: a filter whose action is a callout has its key there.
    object.refers(Kind::Callout, Some(unsafe { filter.action.Anonymous.calloutKey }));
    object.note(filter.layerKey);
    object.note(format!("{:x}", filter.action.r#type));
    with(session, |store| store.add(object))
}

macro_rules! delete {
    ($($function:ident: $kind:ident,)+) => {
        $(
            // SAFETY: the name and the signature are those of fwpmu.h; only the tests' programs call it, with what that asks for.
            #[unsafe(no_mangle)]
            pub unsafe extern "system" fn $function(session: Session, object: *const GUID) -> u32 {
                // SAFETY: the caller passes a key.
                let object = unsafe { *object };
                with(session, |store| store.delete(Kind::$kind, object))
            }
        )+
    };
}

delete! {
    FwpmProviderDeleteByKey0: Provider,
    FwpmSubLayerDeleteByKey0: Sublayer,
    FwpmCalloutDeleteByKey0: Callout,
    FwpmFilterDeleteByKey0: Filter,
}

macro_rules! look_up {
    ($($function:ident: $kind:ident, $object:ident,)+) => {
        $(
            // SAFETY: the name and the signature are those of fwpmu.h; only the tests' programs call it, with what that asks for.
            #[unsafe(no_mangle)]
            pub unsafe extern "system" fn $function(
                session: Session,
                key: *const GUID,
                object: *mut *mut $object,
            ) -> u32 {
                // SAFETY: the caller passes a key.
                let key = unsafe { *key };
                with(session, |store| {
                    store.look_up(Kind::$kind, key)?;
                    // SAFETY: it is all numbers and pointers, of which zero is one.
                    let found = Box::new(unsafe { std::mem::zeroed::<$object>() });
                    // SAFETY: the caller has room for a pointer. It never frees the object; the program soon ends.
                    unsafe { *object = Box::into_raw(found) };
                    Ok(())
                })
            }
        )+
    };
}

look_up! {
    FwpmProviderGetByKey0: Provider, FWPM_PROVIDER0,
    FwpmCalloutGetByKey0: Callout, FWPM_CALLOUT0,
    FwpmFilterGetByKey0: Filter, FWPM_FILTER0,
}

/// The weight that Windows' own sublayer has here: the middle.
const UNIVERSAL_WEIGHT: u16 = 0x8000;

// SAFETY: the name and the signature are those of fwpmu.h; only the tests' programs call it, with what that asks for.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn FwpmSubLayerGetByKey0(
    session: Session,
    key: *const GUID,
    sublayer: *mut *mut FWPM_SUBLAYER0,
) -> u32 {
    // SAFETY: the caller passes a key.
    let key = unsafe { *key };
    with(session, |store| {
        let mut found = Box::<FWPM_SUBLAYER0>::default();
        found.weight = if key.data1 == FWPM_SUBLAYER_UNIVERSAL.data1 {
            UNIVERSAL_WEIGHT
        } else {
            u16::from_str_radix(store.look_up(Kind::Sublayer, key)?, 16).unwrap_or(0)
        };
        // SAFETY: the caller has room for a pointer. It never frees the object; the program soon ends.
        unsafe { *sublayer = Box::into_raw(found) };
        Ok(())
    })
}

// SAFETY: the name and the signature are those of fwpmu.h; only the tests' programs call it, with what that asks for.
#[unsafe(no_mangle)]
pub const extern "system" fn FwpmFreeMemory0(_: *mut *mut c_void) {}
