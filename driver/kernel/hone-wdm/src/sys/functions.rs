//! The functions and variables that the driver imports by name, without an import library of the kit.
//! `scripts/test-windows` checks each one against a list of the kernel's exports.

use core::ffi::c_void;

use super::{
    CLIENT_ID, DEVICE_OBJECT, DRIVER_OBJECT, FWPM_FILTER0, FWPM_SERVICE_STATE_CHANGE_CALLBACK0,
    FWPM_SESSION0, FWPS_CALLOUT1, FWPS_PACKET_LIST_INFORMATION0, GUID, HANDLE, IRP, KDPC, KLOCK_QUEUE_HANDLE,
    KTIMER, MDL, NET_BUFFER_LIST, NTSTATUS, OBJECT_ATTRIBUTES, PS_CREATE_NOTIFY_INFO, RTL_OSVERSIONINFOEXW,
    UNICODE_STRING,
};

pub type PROCESS_NOTIFY = unsafe extern "system" fn(*mut c_void, HANDLE, *mut PS_CREATE_NOTIFY_INFO);
pub type IMAGE_NOTIFY = unsafe extern "system" fn(*const UNICODE_STRING, HANDLE, *mut c_void);
pub type DEFERRED_ROUTINE = unsafe extern "system" fn(*mut KDPC, *mut c_void, *mut c_void, *mut c_void);

// SAFETY: the signatures are those of wdm.h and ntifs.h.
#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    pub fn IoCreateDevice(
        driver: *mut DRIVER_OBJECT,
        extension: u32,
        name: *const UNICODE_STRING,
        kind: u32,
        characteristics: u32,
        exclusive: u8,
        device: *mut *mut DEVICE_OBJECT,
    ) -> NTSTATUS;
    pub fn IoDeleteDevice(device: *mut DEVICE_OBJECT);
    pub fn IoCreateSymbolicLink(link: *const UNICODE_STRING, name: *const UNICODE_STRING) -> NTSTATUS;
    pub fn IoDeleteSymbolicLink(link: *const UNICODE_STRING) -> NTSTATUS;
    pub fn IofCompleteRequest(irp: *mut IRP, boost: i8);

    pub fn ExAllocatePoolWithTag(kind: u32, bytes: usize, tag: u32) -> *mut c_void;
    pub fn ExFreePoolWithTag(memory: *mut c_void, tag: u32);
    pub fn ExUuidCreate(guid: *mut GUID) -> NTSTATUS;

    pub fn KeAcquireInStackQueuedSpinLock(lock: *mut usize, handle: *mut KLOCK_QUEUE_HANDLE);
    pub fn KeReleaseInStackQueuedSpinLock(handle: *mut KLOCK_QUEUE_HANDLE);
    pub fn KeSetEvent(event: *mut c_void, increment: i32, wait: u8) -> i32;
    pub fn KeInitializeTimerEx(timer: *mut KTIMER, kind: u32);
    pub fn KeInitializeDpc(dpc: *mut KDPC, routine: DEFERRED_ROUTINE, context: *mut c_void);
    pub fn KeSetTimerEx(timer: *mut KTIMER, due: i64, period: i32, dpc: *mut KDPC) -> u8;
    pub fn KeCancelTimer(timer: *mut KTIMER) -> u8;
    pub fn KeFlushQueuedDpcs();
    pub fn KeDelayExecutionThread(mode: i8, alertable: u8, interval: *const i64) -> NTSTATUS;
    pub fn KeBugCheckEx(code: u32, first: usize, second: usize, third: usize, fourth: usize) -> !;

    pub fn ObReferenceObjectByHandle(
        handle: HANDLE,
        access: u32,
        kind: *mut c_void,
        mode: i8,
        object: *mut *mut c_void,
        information: *mut c_void,
    ) -> NTSTATUS;
    pub fn ObfDereferenceObject(object: *mut c_void) -> isize;
    pub fn ObOpenObjectByPointer(
        object: *mut c_void,
        attributes: u32,
        state: *mut c_void,
        access: u32,
        kind: *mut c_void,
        mode: i8,
        handle: *mut HANDLE,
    ) -> NTSTATUS;

    pub fn PsSetCreateProcessNotifyRoutineEx(routine: PROCESS_NOTIFY, remove: u8) -> NTSTATUS;
    pub fn PsSetLoadImageNotifyRoutine(routine: IMAGE_NOTIFY) -> NTSTATUS;
    pub fn PsRemoveLoadImageNotifyRoutine(routine: IMAGE_NOTIFY) -> NTSTATUS;

    pub fn MmGetSystemRoutineAddress(name: *const UNICODE_STRING) -> *mut c_void;
    pub fn MmMapLockedPagesSpecifyCache(
        mdl: *mut MDL,
        mode: i8,
        cache: u32,
        address: *mut c_void,
        bug_check: u32,
        priority: u32,
    ) -> *mut c_void;

    pub fn RtlGetVersion(version: *mut RTL_OSVERSIONINFOEXW) -> NTSTATUS;

    pub fn ZwClose(handle: HANDLE) -> NTSTATUS;
    pub fn ZwSetSecurityObject(handle: HANDLE, which: u32, descriptor: *const c_void) -> NTSTATUS;
    pub fn ZwOpenKey(key: *mut HANDLE, access: u32, attributes: *const OBJECT_ATTRIBUTES) -> NTSTATUS;
    pub fn ZwCreateKey(
        key: *mut HANDLE,
        access: u32,
        attributes: *const OBJECT_ATTRIBUTES,
        title: u32,
        class: *const UNICODE_STRING,
        options: u32,
        disposition: *mut u32,
    ) -> NTSTATUS;
    pub fn ZwQueryValueKey(
        key: HANDLE,
        name: *const UNICODE_STRING,
        class: u32,
        buffer: *mut c_void,
        length: u32,
        needed: *mut u32,
    ) -> NTSTATUS;
    pub fn ZwSetValueKey(
        key: HANDLE,
        name: *const UNICODE_STRING,
        index: u32,
        kind: u32,
        data: *const c_void,
        length: u32,
    ) -> NTSTATUS;
    pub fn ZwOpenSymbolicLinkObject(
        link: *mut HANDLE,
        access: u32,
        attributes: *const OBJECT_ATTRIBUTES,
    ) -> NTSTATUS;
    pub fn ZwQuerySymbolicLinkObject(link: HANDLE, target: *mut UNICODE_STRING, needed: *mut u32)
    -> NTSTATUS;
    pub fn ZwOpenProcess(
        process: *mut HANDLE,
        access: u32,
        attributes: *const OBJECT_ATTRIBUTES,
        id: *const CLIENT_ID,
    ) -> NTSTATUS;
    pub fn ZwQueryInformationProcess(
        process: HANDLE,
        class: u32,
        buffer: *mut c_void,
        length: u32,
        needed: *mut u32,
    ) -> NTSTATUS;
    pub fn ZwOpenProcessTokenEx(
        process: HANDLE,
        access: u32,
        attributes: u32,
        token: *mut HANDLE,
    ) -> NTSTATUS;
    pub fn ZwQueryInformationToken(
        token: HANDLE,
        class: u32,
        buffer: *mut c_void,
        length: u32,
        needed: *mut u32,
    ) -> NTSTATUS;
    pub fn ZwQuerySystemInformation(
        class: u32,
        buffer: *mut c_void,
        length: u32,
        needed: *mut u32,
    ) -> NTSTATUS;

    /// The variable holds the object type itself.
    pub static ExEventObjectType: *mut c_void;
}

// SAFETY: the signatures are those of wdm.h and of the C library.
#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    pub fn DbgPrintEx(component: u32, level: u32, format: *const u8, ...) -> u32;
    pub fn DbgQueryDebugFilterState(component: u32, level: u32) -> NTSTATUS;

    // Functions that the compiler itself calls.
    pub fn memcpy(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void;
    pub fn memmove(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void;
    pub fn memset(to: *mut c_void, byte: i32, bytes: usize) -> *mut c_void;
    pub fn memcmp(one: *const c_void, other: *const c_void, bytes: usize) -> i32;
}

// SAFETY: the signatures are those of fwpsk.h and fwpmk.h.
#[link(name = "fwpkclnt.sys", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    pub fn FwpsCalloutRegister1(
        device: *mut DEVICE_OBJECT,
        callout: *const FWPS_CALLOUT1,
        id: *mut u32,
    ) -> NTSTATUS;
    pub fn FwpsCalloutUnregisterById0(id: u32) -> NTSTATUS;
    pub fn FwpsGetPacketListSecurityInformation0(
        list: *mut NET_BUFFER_LIST,
        query: u32,
        information: *mut FWPS_PACKET_LIST_INFORMATION0,
    ) -> NTSTATUS;

    // fwpmk.h
    pub fn FwpmBfeStateSubscribeChanges0(
        device: *mut DEVICE_OBJECT,
        callback: FWPM_SERVICE_STATE_CHANGE_CALLBACK0,
        context: *mut c_void,
        subscription: *mut HANDLE,
    ) -> NTSTATUS;
    pub fn FwpmBfeStateUnsubscribeChanges0(subscription: HANDLE) -> NTSTATUS;
    pub fn FwpmBfeStateGet0() -> u32;
    pub fn FwpmEngineOpen0(
        server: *const u16,
        authentication: u32,
        identity: *const c_void,
        session: *const FWPM_SESSION0,
        engine: *mut HANDLE,
    ) -> NTSTATUS;
    pub fn FwpmEngineClose0(engine: HANDLE) -> NTSTATUS;
    pub fn FwpmTransactionBegin0(engine: HANDLE, flags: u32) -> NTSTATUS;
    pub fn FwpmTransactionCommit0(engine: HANDLE) -> NTSTATUS;
    pub fn FwpmFilterAdd0(
        engine: HANDLE,
        filter: *const FWPM_FILTER0,
        security: *const c_void,
        id: *mut u64,
    ) -> NTSTATUS;
}
