//! The driver's callouts, and calls of them with packets in WFP's form.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::slice;
use std::sync::Mutex;

use hone_api::callouts::CALLOUTS as TABLE;
use hone_documented::{Field, fields};

use crate::descriptors::{self, Mdl, POISON};
use crate::irql;
use crate::packets::{NetBuffer, NetBufferList, net_buffers};
use crate::rules::assert_documented;
use crate::windows::{NtStatus, STATUS_NOT_FOUND, STATUS_SUCCESS};

/// `FWPS_CALLOUT_CLASSIFY_FN1`.
type Classify = unsafe extern "system" fn(
    *const Values,
    *const Metadata,
    *mut c_void,
    *const c_void,
    *const c_void,
    u64,
    *mut Answer,
);

/// `FWPS_CALLOUT1`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Callout {
    key: [u8; 16],
    flags: u32,
    classify: Classify,
    notify: unsafe extern "system" fn(u32, *const [u8; 16], *mut c_void) -> NtStatus,
    flow_delete: *const c_void,
}

// SAFETY: its pointers are to functions of the driver.
unsafe impl Send for Callout {}

/// `FWP_VALUE0`.
#[repr(C)]
struct Value {
    kind: u32,
    value: u64,
}

/// `FWPS_INCOMING_VALUES0`.
#[repr(C)]
struct Values {
    layer: u16,
    count: u32,
    values: *const Value,
}

/// `FWPS_INCOMING_METADATA_VALUES0`: 280 bytes. These are the fields that the driver reads.
#[repr(C)]
struct Metadata {
    bytes: [u64; 35],
}

impl Metadata {
    fn set(&mut self, flag: u32, offset: usize, value: Option<u64>, bytes: usize) {
        let Some(value) = value else { return };
        self.put(0, &(self.flags() | flag).to_le_bytes());
        self.put(offset, &value.to_le_bytes()[..bytes]);
    }

    fn flags(&self) -> u32 {
        u32::try_from(self.bytes[0] & u64::from(u32::MAX)).unwrap_or(0)
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        for (index, &byte) in bytes.iter().enumerate() {
            let (word, shift) = ((offset + index) / 8, (offset + index) % 8 * 8);
            self.bytes[word] = self.bytes[word] & !(0xFF << shift) | u64::from(byte) << shift;
        }
    }
}

/// `FWPS_CLASSIFY_OUT0`.
#[repr(C)]
struct Answer {
    action: u32,
    context: u64,
    filter: u64,
    rights: u32,
    flags: u32,
    reserved: u32,
}

/// The content of an indication.
#[derive(Clone, Default)]
pub(crate) struct Indication {
    pub(crate) place: usize,
    pub(crate) endpoint: Option<u64>,
    pub(crate) process: Option<u64>,
    pub(crate) ip_header: Option<u64>,
    pub(crate) transport_header: Option<u64>,
    pub(crate) included_header: Option<Vec<u8>>,
    /// 4 or 16 bytes in network byte order.
    pub(crate) local: Vec<u8>,
    pub(crate) remote: Vec<u8>,
    pub(crate) protocol: u8,
    /// Local and remote port.
    pub(crate) ports: [u16; 2],
    /// The layer's flags: `FWP_CONDITION_FLAG_*`.
    pub(crate) flags: u32,
    /// Bits of `FWPS_PACKET_LIST_INBOUND_IPSEC_INFORMATION0`.
    pub(crate) ipsec: u32,
    /// Number of bytes in front of each packet's data.
    pub(crate) headroom: u32,
    /// A piece of the first packet that cannot be mapped.
    pub(crate) unmappable: Option<usize>,
    /// The packets, each as a list of pieces.
    pub(crate) packets: Vec<Vec<Vec<u8>>>,
}

thread_local! {
    /// What the driver may ask about the packets of the indication that this thread makes.
    static IPSEC: Cell<u32> = const { Cell::new(0) };
}

pub(crate) fn ipsec() -> u32 {
    IPSEC.get()
}

static CALLOUTS: Mutex<Vec<(u32, Callout)>> = Mutex::new(Vec::new());
/// Callout ids differ from positions, so that the driver cannot confuse them.
const FIRST_ID: u32 = 100;

pub(crate) fn register(callout: Callout) -> u32 {
    let mut callouts = CALLOUTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let id = callouts.last().map_or(FIRST_ID, |(id, _)| id + 1);
    callouts.push((id, callout));
    id
}

/// What the next calls of [`unregister`] answer.
static REFUSALS: Mutex<Vec<NtStatus>> = Mutex::new(Vec::new());

/// Lets the next calls of [`unregister`] fail with these statuses, the last one first.
pub(crate) fn refuse_to_unregister(statuses: Vec<NtStatus>) {
    *REFUSALS.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = statuses;
}

pub(crate) fn unregister(id: u32) -> NtStatus {
    let refusal = REFUSALS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
    if let Some(status) = refusal {
        return status;
    }
    let mut callouts = CALLOUTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = callouts.len();
    callouts.retain(|(known, _)| *known != id);
    if callouts.len() < before { STATUS_SUCCESS } else { STATUS_NOT_FOUND }
}

/// The keys of all callouts, in the order of registration.
pub(crate) fn keys() -> Vec<[u8; 16]> {
    let callouts = CALLOUTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    callouts.iter().map(|(_, callout)| callout.key).collect()
}

/// The flags of all callouts: `FWP_CALLOUT_FLAG_*`.
pub(crate) fn flags() -> Vec<u32> {
    let callouts = CALLOUTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    callouts.iter().map(|(_, callout)| callout.flags).collect()
}

/// What happens to a filter that calls a callout: `FWPS_CALLOUT_NOTIFY_TYPE`.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    Added = 0,
    Removed = 1,
}

/// Reports to the callout with this key that a filter which calls it was added or removed.
pub(crate) fn notify(key: &[u8; 16], change: Change) {
    let callout = {
        let callouts = CALLOUTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        callouts.iter().find(|(_, callout)| callout.key == *key).map(|(_, callout)| *callout)
    };
    let Some(callout) = callout else { return };
    // SAFETY: it is the driver's, which takes a key of the filter, or nothing, and the filter, which it must not read.
    let status = unsafe { (callout.notify)(change as u32, null(), std::ptr::dangling_mut()) };
    assert_eq!(status, STATUS_SUCCESS, "a callout refuses a filter");
}

/// Calls a callout and returns its action. The callout must not change the packets. Afterwards everything that was passed
/// to it is overwritten.
///
/// # Errors
/// There is no such callout, or its layer does not have what is to be passed.
pub(crate) fn indicate(indication: &mut Indication) -> Result<u32, String> {
    let callout = {
        let callouts = CALLOUTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        callouts.get(indication.place).ok_or("no such callout")?.1
    };
    call(callout.classify, indication)
}

fn call(classify: Classify, indication: &mut Indication) -> Result<u32, String> {
    const MAY_ANSWER: u32 = 1;
    const UNSET: u32 = 0xFFFF_FFFF;
    let before = indication.packets.clone();
    let callout_layer = TABLE.get(indication.place).ok_or("no such callout")?;
    assert_documented(callout_layer.layer, indication)?;
    let value = |field: &Field| match field {
        Field::IpProtocol => Value { kind: 1, value: indication.protocol.into() },
        Field::IpLocalAddress => address(&indication.local),
        Field::IpRemoteAddress => address(&indication.remote),
        Field::IpLocalPort => Value { kind: 2, value: indication.ports[0].into() },
        Field::IpRemotePort => Value { kind: 2, value: indication.ports[1].into() },
        Field::Flags => Value { kind: 3, value: indication.flags.into() },
        // The driver must not read it: where it is a pointer, it points to nothing.
        other => Value { kind: other.kind(callout_layer.family) as u32, value: u64::MAX },
    };
    let mut fixed: Vec<Value> = fields(callout_layer.layer).iter().map(value).collect();
    let count = u32::try_from(fixed.len()).unwrap_or(0);
    let mut values = Values { layer: 0xFFFF, count, values: fixed.as_ptr() };
    let mut metadata = metadata(indication);
    let (mut lists, mut owned) = net_buffers(&mut indication.packets, indication.headroom);
    if before.len() > 1 {
        lists[0].next = &raw mut lists[1];
    }
    let layer_data: *mut NetBufferList = if before.is_empty() { null_mut() } else { lists.as_mut_ptr() };
    IPSEC.set(indication.ipsec);
    let pieces = indication.packets.first();
    descriptors::refuse(indication.unmappable.and_then(|index| pieces?.get(index)));
    let mut answer =
        Answer { action: UNSET, context: 0, filter: 0, rights: MAY_ANSWER, flags: 0, reserved: 0 };
    // SAFETY: all that is passed lives until the call returns, laid out as the driver expects it.
    irql::as_classify(|| unsafe {
        classify(
            &raw const values,
            &raw const metadata,
            layer_data.cast(),
            null(),
            null(),
            0,
            &raw mut answer,
        );
    });
    descriptors::poison();
    assert!(indication.packets == before, "a packet was changed");
    make_stale(&mut fixed);
    make_stale(slice::from_mut(&mut values));
    make_stale(slice::from_mut(&mut metadata));
    make_stale(&mut lists);
    for (buffer, chain) in &mut owned {
        make_stale(slice::from_mut(&mut **buffer));
        make_stale(chain);
    }
    indication.packets.iter_mut().flatten().for_each(|piece| make_stale(piece));
    indication.included_header.iter_mut().for_each(|header| make_stale(header));
    [&mut indication.local, &mut indication.remote].into_iter().for_each(|address| make_stale(address));
    Ok(answer.action)
}

/// Overwrites what nobody may read any more. A pointer in it points to nothing then.
fn make_stale<T: Stale>(items: &mut [T]) {
    // SAFETY: any bytes are valid for such a type.
    unsafe { items.as_mut_ptr().write_bytes(POISON, items.len()) };
}

/// Numbers and pointers, which can have any bytes.
trait Stale {}

impl Stale for u8 {}
impl Stale for Value {}
impl Stale for Values {}
impl Stale for Metadata {}
impl Stale for NetBufferList {}
impl Stale for NetBuffer {}
impl Stale for Mdl {}

thread_local! {
    /// What [`keep`] was passed: the packet's second piece, which the network stack has mapped.
    static KEPT: Cell<*const u8> = const { Cell::new(null()) };
}

/// A callout that keeps what it was passed, which it must not.
// SAFETY: only `call` calls it, with one packet of two pieces.
unsafe extern "system" fn keep(
    _: *const Values,
    _: *const Metadata,
    data: *mut c_void,
    _: *const c_void,
    _: *const c_void,
    _: u64,
    _: *mut Answer,
) {
    // SAFETY: the data is a list of net buffers.
    let buffer = unsafe { (*data.cast::<NetBufferList>()).first };
    // SAFETY: the list has a net buffer.
    let first = unsafe { (*buffer).chain };
    // SAFETY: its chain has two descriptors.
    let second = unsafe { (*first).next };
    // SAFETY: as above.
    KEPT.set(unsafe { (*second).mapped });
}

/// Reads what a callout has kept, when it is stale.
///
/// # Errors
/// It is as it was.
pub(crate) fn read_stale() -> Result<(), String> {
    let mut indication = Indication {
        place: 12,
        endpoint: Some(7),
        packets: vec![vec![vec![1], vec![2]]],
        ..Default::default()
    };
    call(keep, &mut indication)?;
    // SAFETY: the piece is still there, in `indication`.
    let byte = unsafe { *KEPT.get() };
    if byte == POISON { Ok(()) } else { Err(format!("it is {byte}")) }
}

fn address(bytes: &[u8]) -> Value {
    match bytes.first_chunk::<4>() {
        Some(v4) if bytes.len() == 4 => Value { kind: 3, value: u32::from_be_bytes(*v4).into() },
        Some(_) => Value { kind: 11, value: bytes.as_ptr().expose_provenance() as u64 },
        None => Value { kind: 0, value: 0 },
    }
}

fn metadata(indication: &Indication) -> Metadata {
    let mut metadata = Metadata { bytes: [0; 35] };
    metadata.set(0x4, 40, indication.ip_header, 4);
    metadata.set(0x400, 44, indication.transport_header, 4);
    metadata.set(0x20, 64, indication.process, 8);
    metadata.set(0x8000, 112, indication.endpoint, 8);
    if let Some(header) = &indication.included_header {
        metadata.set(0x0080_0000, 144, Some(header.as_ptr().expose_provenance() as u64), 8);
        metadata.put(152, &u32::try_from(header.len()).unwrap_or(0).to_le_bytes());
    }
    metadata
}
