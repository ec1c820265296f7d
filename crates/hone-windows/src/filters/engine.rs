//! A session with the filtering platform, and each of its calls that is needed.

use std::mem;
use std::ptr::{null, null_mut};

use hone_api::callouts::{Callout, Family, Guid, Layer, PROVIDER, SUBLAYER};
use windows_sys::Win32::Foundation::{
    FWP_E_CALLOUT_NOT_FOUND, FWP_E_FILTER_NOT_FOUND, FWP_E_PROVIDER_NOT_FOUND, FWP_E_SUBLAYER_NOT_FOUND,
    HANDLE,
};
use windows_sys::Win32::NetworkManagement::WindowsFilteringPlatform::*;
use windows_sys::Win32::System::Rpc::RPC_C_AUTHN_WINNT;
use windows_sys::core::GUID;

use super::Error;

/// What administrators see in lists of filters.
const NAME: &str = "Hone";
/// The sublayer's weight. Callouts at the transport and ALE layers have to be in a sublayer that weighs less than
/// `FWPM_SUBLAYER_UNIVERSAL`, which has the callouts of IPsec and of the ALE ("WFP Layer Requirements and Restrictions",
/// Windows driver documentation). This is the next lower weight, as in Microsoft's WFPSampler: what other sublayers do
/// comes afterwards.
const SUBLAYER_WEIGHT: u16 = 0x7FFF;

/// An open session.
pub(super) struct Engine(HANDLE);

const fn guid(key: &Guid) -> GUID {
    GUID { data1: key.data1, data2: key.data2, data3: key.data3, data4: key.data4 }
}

/// The platform's name of a layer.
const fn layer(callout: &Callout) -> GUID {
    match (callout.layer, callout.family) {
        (Layer::AuthConnect, Family::V4) => FWPM_LAYER_ALE_AUTH_CONNECT_V4,
        (Layer::AuthConnect, Family::V6) => FWPM_LAYER_ALE_AUTH_CONNECT_V6,
        (Layer::AuthRecvAccept, Family::V4) => FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4,
        (Layer::AuthRecvAccept, Family::V6) => FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V6,
        (Layer::EndpointClosure, Family::V4) => FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V4,
        (Layer::EndpointClosure, Family::V6) => FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V6,
        (Layer::ResourceAssignment, Family::V4) => FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V4,
        (Layer::ResourceAssignment, Family::V6) => FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V6,
        (Layer::ResourceRelease, Family::V4) => FWPM_LAYER_ALE_RESOURCE_RELEASE_V4,
        (Layer::ResourceRelease, Family::V6) => FWPM_LAYER_ALE_RESOURCE_RELEASE_V6,
        (Layer::InboundTransport, Family::V4) => FWPM_LAYER_INBOUND_TRANSPORT_V4,
        (Layer::InboundTransport, Family::V6) => FWPM_LAYER_INBOUND_TRANSPORT_V6,
        (Layer::OutboundTransport, Family::V4) => FWPM_LAYER_OUTBOUND_TRANSPORT_V4,
        (Layer::OutboundTransport, Family::V6) => FWPM_LAYER_OUTBOUND_TRANSPORT_V6,
    }
}

const fn done(what: &'static str, code: u32) -> Result<(), Error> {
    if code == 0 { Ok(()) } else { Err(Error { what, code }) }
}

/// As [`done`], but what is not there need not be removed.
const fn removed(what: &'static str, code: u32, not_found: i32) -> Result<(), Error> {
    if code == not_found.cast_unsigned() { Ok(()) } else { done(what, code) }
}

/// What `of` says of an object that `get` looks up; `None`: it is not there.
fn found<T: Copy, R>(
    what: &'static str,
    not_found: i32,
    get: impl FnOnce(*mut *mut T) -> u32,
    of: impl FnOnce(T) -> R,
) -> Result<Option<R>, Error> {
    let mut object: *mut T = null_mut();
    let code = get(&raw mut object);
    if code == not_found.cast_unsigned() {
        return Ok(None);
    }
    done(what, code)?;
    // SAFETY: the platform has made the object, which stays until it is freed below.
    let said = unsafe { object.as_ref() }.map(|object| of(*object));
    // SAFETY: it is the platform's, and freed once.
    unsafe { FwpmFreeMemory0((&raw mut object).cast()) };
    Ok(said)
}

/// A text as Windows takes it, with NUL.
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

fn display(name: &mut [u16]) -> FWPM_DISPLAY_DATA0 {
    FWPM_DISPLAY_DATA0 { name: name.as_mut_ptr(), description: null_mut() }
}

impl Engine {
    pub(super) fn open() -> Result<Self, Error> {
        let mut session = null_mut();
        let authentication = RPC_C_AUTHN_WINNT;
        // SAFETY: the own machine, the own identity, a session of usual kind; there is room for its handle.
        let code = unsafe { FwpmEngineOpen0(null(), authentication, null(), null(), &raw mut session) };
        done("the filtering platform cannot be reached", code).map(|()| Self(session))
    }

    /// Does all of `work`, or nothing.
    pub(super) fn transaction(&self, work: impl FnOnce(&Self) -> Result<(), Error>) -> Result<(), Error> {
        // SAFETY: the session is open.
        let code = unsafe { FwpmTransactionBegin0(self.0, 0) };
        done("no transaction can be begun", code)?;
        if let Err(error) = work(self) {
            // SAFETY: the session is open, and has a transaction. If this fails, too, closing the session does the same.
            unsafe { FwpmTransactionAbort0(self.0) };
            return Err(error);
        }
        // SAFETY: as above.
        let code = unsafe { FwpmTransactionCommit0(self.0) };
        done("the changes cannot be made", code)
    }

    pub(super) fn add_provider(&self) -> Result<(), Error> {
        let mut name = wide(NAME);
        let provider = FWPM_PROVIDER0 {
            providerKey: guid(&PROVIDER),
            displayData: display(&mut name),
            flags: FWPM_PROVIDER_FLAG_PERSISTENT,
            ..FWPM_PROVIDER0::default()
        };
        // SAFETY: the structure and what it points to live until the call returns.
        let code = unsafe { FwpmProviderAdd0(self.0, &raw const provider, null_mut()) };
        done("the provider cannot be added", code)
    }

    pub(super) fn add_sublayer(&self) -> Result<(), Error> {
        let (mut name, mut provider) = (wide(NAME), guid(&PROVIDER));
        let sublayer = FWPM_SUBLAYER0 {
            subLayerKey: guid(&SUBLAYER),
            displayData: display(&mut name),
            flags: FWPM_SUBLAYER_FLAG_PERSISTENT,
            providerKey: &raw mut provider,
            weight: SUBLAYER_WEIGHT,
            ..FWPM_SUBLAYER0::default()
        };
        // SAFETY: the structure and what it points to live until the call returns.
        let code = unsafe { FwpmSubLayerAdd0(self.0, &raw const sublayer, null_mut()) };
        done("the sublayer cannot be added", code)
    }

    pub(super) fn add_callout(&self, callout: &Callout) -> Result<(), Error> {
        let (mut name, mut provider) = (wide(NAME), guid(&PROVIDER));
        let callout = FWPM_CALLOUT0 {
            calloutKey: guid(&callout.key),
            displayData: display(&mut name),
            flags: FWPM_CALLOUT_FLAG_PERSISTENT,
            providerKey: &raw mut provider,
            applicableLayer: layer(callout),
            ..FWPM_CALLOUT0::default()
        };
        // SAFETY: the structure and what it points to live until the call returns.
        let code = unsafe { FwpmCalloutAdd0(self.0, &raw const callout, null_mut(), null_mut()) };
        done("a callout cannot be added", code)
    }

    pub(super) fn add_filter(&self, callout: &Callout) -> Result<(), Error> {
        self.add(callout, &callout.filter(), FWPM_FILTER_FLAG_PERSISTENT)
    }

    /// A filter is either persistent or for the start of the system.
    pub(super) fn add_boot_filter(&self, callout: &Callout) -> Result<(), Error> {
        self.add(callout, &callout.boot_filter(), FWPM_FILTER_FLAG_BOOTTIME)
    }

    /// Without conditions: everything at the layer.
    fn add(&self, callout: &Callout, key: &Guid, flags: u32) -> Result<(), Error> {
        let (mut name, mut provider) = (wide(NAME), guid(&PROVIDER));
        // SAFETY: it is all numbers and pointers, of which zero is one; as a weight: the platform chooses.
        let mut filter: FWPM_FILTER0 = unsafe { mem::zeroed() };
        filter.filterKey = guid(key);
        filter.displayData = display(&mut name);
        filter.flags = flags;
        filter.providerKey = &raw mut provider;
        filter.layerKey = layer(callout);
        filter.subLayerKey = guid(&SUBLAYER);
        filter.action.r#type = FWP_ACTION_CALLOUT_INSPECTION;
        filter.action.Anonymous.calloutKey = guid(&callout.key);
        // SAFETY: the structure and what it points to live until the call returns.
        let code = unsafe { FwpmFilterAdd0(self.0, &raw const filter, null_mut(), null_mut()) };
        done("a filter cannot be added", code)
    }

    pub(super) fn has_provider(&self) -> Result<bool, Error> {
        // SAFETY: the session is open, the key lives until the call returns, and there is room for a pointer.
        let get = |place| unsafe { FwpmProviderGetByKey0(self.0, &guid(&PROVIDER), place) };
        found("the provider cannot be looked up", FWP_E_PROVIDER_NOT_FOUND, get, |_| ())
            .map(|is| is.is_some())
    }

    /// The weight of Hone's sublayer.
    pub(super) fn weight(&self) -> Result<Option<u16>, Error> {
        self.sublayer_weight(&guid(&SUBLAYER))
    }

    pub(super) fn universal_weight(&self) -> Result<Option<u16>, Error> {
        self.sublayer_weight(&FWPM_SUBLAYER_UNIVERSAL)
    }

    fn sublayer_weight(&self, key: &GUID) -> Result<Option<u16>, Error> {
        // SAFETY: as above.
        let get = |place| unsafe { FwpmSubLayerGetByKey0(self.0, key, place) };
        let weight = |sublayer: FWPM_SUBLAYER0| sublayer.weight;
        found("a sublayer cannot be looked up", FWP_E_SUBLAYER_NOT_FOUND, get, weight)
    }

    pub(super) fn has_callout(&self, key: &Guid) -> Result<bool, Error> {
        // SAFETY: as above.
        let get = |place| unsafe { FwpmCalloutGetByKey0(self.0, &guid(key), place) };
        found("a callout cannot be looked up", FWP_E_CALLOUT_NOT_FOUND, get, |_| ()).map(|is| is.is_some())
    }

    pub(super) fn has_filter(&self, key: &Guid) -> Result<bool, Error> {
        // SAFETY: as above.
        let get = |place| unsafe { FwpmFilterGetByKey0(self.0, &guid(key), place) };
        found("a filter cannot be looked up", FWP_E_FILTER_NOT_FOUND, get, |_| ()).map(|is| is.is_some())
    }

    pub(super) fn remove_filter(&self, key: &Guid) -> Result<(), Error> {
        // SAFETY: the key lives until the call returns.
        let code = unsafe { FwpmFilterDeleteByKey0(self.0, &guid(key)) };
        removed("a filter cannot be removed", code, FWP_E_FILTER_NOT_FOUND)
    }

    pub(super) fn remove_callout(&self, key: &Guid) -> Result<(), Error> {
        // SAFETY: the key lives until the call returns.
        let code = unsafe { FwpmCalloutDeleteByKey0(self.0, &guid(key)) };
        removed("a callout cannot be removed", code, FWP_E_CALLOUT_NOT_FOUND)
    }

    pub(super) fn remove_sublayer(&self) -> Result<(), Error> {
        // SAFETY: the key lives until the call returns.
        let code = unsafe { FwpmSubLayerDeleteByKey0(self.0, &guid(&SUBLAYER)) };
        removed("the sublayer cannot be removed", code, FWP_E_SUBLAYER_NOT_FOUND)
    }

    pub(super) fn remove_provider(&self) -> Result<(), Error> {
        // SAFETY: the key lives until the call returns.
        let code = unsafe { FwpmProviderDeleteByKey0(self.0, &guid(&PROVIDER)) };
        removed("the provider cannot be removed", code, FWP_E_PROVIDER_NOT_FOUND)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: it is open, and closed once. A transaction that is left open is undone.
        unsafe { FwpmEngineClose0(self.0) };
    }
}
