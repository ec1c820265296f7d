//! Callouts of the Windows Filtering Platform. They inspect traffic and never decide about it.

use core::ffi::c_void;
use core::num::NonZeroU64;

use crate::Passive;
use crate::device::Device;
use crate::net_buffer::NetBuffers;
use crate::sys::{self, FWPS_CALLOUT1, GUID, NTSTATUS};
use crate::time;

/// Number of callouts. Each has its own function, so a function knows its own position.
pub const COUNT: usize = 14;

/// Receives what WFP indicates.
pub trait Classify: 'static {
    /// Called at up to DISPATCH_LEVEL. `place` is the callout's position in the order of registration.
    fn classify(place: usize, indication: &Classification<'_>);
}

/// What WFP indicates to a callout.
#[derive(Debug)]
pub struct Classification<'a> {
    values: &'a sys::FWPS_INCOMING_VALUES0,
    metadata: &'a sys::FWPS_INCOMING_METADATA_VALUES0,
    data: *const sys::NET_BUFFER_LIST,
}

/// A fixed value. Only the types that the driver reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// `FWP_UINT8`.
    U8(u8),
    /// `FWP_UINT16`.
    U16(u16),
    /// `FWP_UINT32`.
    U32(u32),
    /// `FWP_BYTE_ARRAY16_TYPE`.
    Bytes16([u8; 16]),
}

impl Classification<'_> {
    const fn has(&self, field: u32) -> bool {
        self.metadata.currentMetadataValues & field != 0
    }

    /// `transportEndpointHandle`. The flag says only that the member is valid: 0 is no handle.
    #[must_use]
    pub fn endpoint(&self) -> Option<NonZeroU64> {
        self.has(sys::FWPS_METADATA_FIELD_TRANSPORT_ENDPOINT_HANDLE)
            .then(|| NonZeroU64::new(self.metadata.transportEndpointHandle))
            .flatten()
    }

    /// `processId`. Only the layers that report connections have it.
    #[must_use]
    pub fn process(&self) -> Option<u64> {
        self.has(sys::FWPS_METADATA_FIELD_PROCESS_ID).then_some(self.metadata.processId)
    }

    /// `ipHeaderSize`, bytes.
    #[must_use]
    pub fn ip_header(&self) -> Option<usize> {
        self.has(sys::FWPS_METADATA_FIELD_IP_HEADER_SIZE).then_some(self.metadata.ipHeaderSize as usize)
    }

    /// `transportHeaderSize`, bytes.
    #[must_use]
    pub fn transport_header(&self) -> Option<usize> {
        self.has(sys::FWPS_METADATA_FIELD_TRANSPORT_HEADER_SIZE)
            .then_some(self.metadata.transportHeaderSize as usize)
    }

    /// `headerIncludeHeader`.
    #[must_use]
    pub fn included_header(&self) -> Option<&[u8]> {
        let (start, length) =
            (self.metadata.headerIncludeHeader, self.metadata.headerIncludeHeaderLength as usize);
        if !self.has(sys::FWPS_METADATA_FIELD_TRANSPORT_HEADER_INCLUDE_HEADER) || start.is_null() {
            return None;
        }
        // SAFETY: the metadata says that this header is there, with this length; it is the stack's as long as the call.
        Some(unsafe { core::slice::from_raw_parts(start, length) })
    }

    /// The fixed value with this index. `None` if there is none, or if it has another type.
    #[must_use]
    pub fn value(&self, index: usize) -> Option<Value> {
        if index >= self.values.valueCount as usize {
            return None;
        }
        // SAFETY: there are `valueCount` values.
        let value = unsafe { self.values.incomingValue.add(index) };
        // SAFETY: as above.
        let value = unsafe { &*value };
        match value.r#type {
            // SAFETY: the type says which member of the union is set.
            sys::FWP_UINT8 => Some(Value::U8(unsafe { value.value.uint8 })),
            // SAFETY: as above.
            sys::FWP_UINT16 => Some(Value::U16(unsafe { value.value.uint16 })),
            // SAFETY: as above.
            sys::FWP_UINT32 => Some(Value::U32(unsafe { value.value.uint32 })),
            sys::FWP_BYTE_ARRAY16_TYPE => {
                // SAFETY: as above.
                let bytes = unsafe { value.value.byteArray16 };
                // SAFETY: it points to 16 bytes, as long as the call.
                unsafe { bytes.as_ref() }.copied().map(Value::Bytes16)
            }
            _ => None,
        }
    }

    /// Whether IPsec has not taken these packets out of their tunnel yet; then they will come again ("Developing
    /// IPsec-Compatible Callout Drivers"). `false` if there are no packets, or if it is not known. Call this at the inbound
    /// transport layers only.
    #[must_use]
    pub fn is_tunnelled(&self) -> bool {
        if self.data.is_null() {
            return false;
        }
        let query =
            sys::FWPS_PACKET_LIST_INFORMATION_QUERY_IPSEC | sys::FWPS_PACKET_LIST_INFORMATION_QUERY_INBOUND;
        let mut information = sys::FWPS_PACKET_LIST_INFORMATION0::default();
        // SAFETY: a list of net buffers that is the caller's while it waits for the classification, and room for the answer.
        // It may be called at DISPATCH_LEVEL.
        let status = unsafe {
            sys::FwpsGetPacketListSecurityInformation0(self.data.cast_mut(), query, &raw mut information)
        };
        let tunnel = information.ipsecInformation & (sys::IPSEC_IS_TUNNEL_MODE | sys::IPSEC_IS_DETUNNELED);
        crate::check(status).is_ok() && tunnel == sys::IPSEC_IS_TUNNEL_MODE
    }

    /// The packets. Call this at the transport layers only: at other layers the data is not a list of net buffers.
    #[must_use]
    pub fn net_buffers(&self) -> NetBuffers<'_> {
        // SAFETY: at the transport layers, the data is null or a list of net buffers, which is the caller's while it waits
        // for the classification; callouts are called one after another.
        unsafe { NetBuffers::new(self.data) }
    }
}

/// Registered callouts. They are unregistered when dropped, at PASSIVE_LEVEL. Dropping waits as long as one of them cannot
/// be unregistered: the driver must not be unloaded before ("Unloading a Callout Driver"). It can be busy
/// (`STATUS_DEVICE_BUSY`, "FwpsCalloutUnregisterById0").
#[derive(Debug)]
pub struct Callouts {
    ids: [u32; COUNT],
    registered: usize,
}

impl Callouts {
    /// Registers one callout for each key.
    ///
    /// # Errors
    /// WFP refuses one of them; then none is registered.
    pub fn register<C: Classify>(
        _: Passive,
        device: &Device,
        keys: &[GUID; COUNT],
    ) -> Result<Self, NTSTATUS> {
        let mut callouts = Self { ids: [0; COUNT], registered: 0 };
        for ((key, function), id) in keys.iter().zip(functions::<C>()).zip(&mut callouts.ids) {
            let callout = FWPS_CALLOUT1 {
                calloutKey: *key,
                flags: 0,
                classifyFn: function,
                notifyFn: notify,
                flowDeleteFn: None,
            };
            // SAFETY: the device is there until the callouts are unregistered (it is dropped after them), and the structure
            // is copied.
            let status = unsafe { sys::FwpsCalloutRegister1(device.as_ptr(), &raw const callout, id) };
            crate::check(status)?;
            callouts.registered += 1;
        }
        Ok(callouts)
    }
}

impl Drop for Callouts {
    fn drop(&mut self) {
        for &id in &self.ids[..self.registered] {
            time::until_done(&format_args!("callout {id}"), || {
                // SAFETY: it was registered under this id; when this succeeds, its function is no longer called.
                match unsafe { sys::FwpsCalloutUnregisterById0(id) } {
                    sys::STATUS_FWP_CALLOUT_NOT_FOUND => sys::STATUS_SUCCESS,
                    status => status,
                }
            });
        }
    }
}

/// The function for each position.
fn functions<C: Classify>() -> [sys::FWPS_CALLOUT_CLASSIFY_FN1; COUNT] {
    [
        classify::<C, 0>,
        classify::<C, 1>,
        classify::<C, 2>,
        classify::<C, 3>,
        classify::<C, 4>,
        classify::<C, 5>,
        classify::<C, 6>,
        classify::<C, 7>,
        classify::<C, 8>,
        classify::<C, 9>,
        classify::<C, 10>,
        classify::<C, 11>,
        classify::<C, 12>,
        classify::<C, 13>,
    ]
}

// SAFETY: WFP alone calls it, with what its documentation of `FWPS_CALLOUT_CLASSIFY_FN1` says.
unsafe extern "system" fn classify<C: Classify, const PLACE: usize>(
    values: *const sys::FWPS_INCOMING_VALUES0,
    metadata: *const sys::FWPS_INCOMING_METADATA_VALUES0,
    data: *mut sys::NET_BUFFER_LIST,
    _: *const c_void,
    _: *const c_void,
    _: u64,
    out: *mut sys::FWPS_CLASSIFY_OUT0,
) {
    // SAFETY: WFP passes its answer's memory, which is the callout's while it is called.
    if let Some(out) = unsafe { out.as_mut() }
        && out.rights & sys::FWPS_RIGHT_ACTION_WRITE != 0
    {
        out.actionType = sys::FWP_ACTION_CONTINUE;
    }
    // SAFETY: WFP passes the values, which nobody changes as long as the call.
    let values = unsafe { values.as_ref() };
    // SAFETY: as above, the metadata.
    let metadata = unsafe { metadata.as_ref() };
    if let (Some(values), Some(metadata)) = (values, metadata) {
        C::classify(PLACE, &Classification { values, metadata, data });
    }
}

/// WFP reports here when filters that use the callout are added or removed. The driver ignores it.
// SAFETY: it looks at nothing that it is passed.
unsafe extern "system" fn notify(_: u32, _: *const GUID, _: *mut c_void) -> NTSTATUS {
    sys::STATUS_SUCCESS
}
