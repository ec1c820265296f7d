//! Structures of the kernel proper. Offsets are those of mingw-w64's `ddk/wdm.h`, `ddk/ntddk.h` and `winternl.h` for 64-bit
//! Windows; `layout.c` asserts the same numbers against these headers.

use core::ffi::c_void;
use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicPtr, AtomicUsize};

pub type NTSTATUS = i32;
pub type HANDLE = *mut c_void;

pub const STATUS_SUCCESS: NTSTATUS = 0;
pub const STATUS_INFO_LENGTH_MISMATCH: NTSTATUS = 0xC000_0004_u32.cast_signed();
pub const STATUS_INVALID_HANDLE: NTSTATUS = 0xC000_0008_u32.cast_signed();
pub const STATUS_INVALID_DEVICE_REQUEST: NTSTATUS = 0xC000_0010_u32.cast_signed();
pub const STATUS_BUFFER_TOO_SMALL: NTSTATUS = 0xC000_0023_u32.cast_signed();
pub const STATUS_OBJECT_NAME_NOT_FOUND: NTSTATUS = 0xC000_0034_u32.cast_signed();
pub const STATUS_BUFFER_OVERFLOW: NTSTATUS = 0x8000_0005_u32.cast_signed();
pub const STATUS_INSUFFICIENT_RESOURCES: NTSTATUS = 0xC000_009A_u32.cast_signed();
pub const STATUS_OBJECT_TYPE_MISMATCH: NTSTATUS = 0xC000_0024_u32.cast_signed();

pub const IRP_MJ_CREATE: usize = 0;
pub const IRP_MJ_CLOSE: usize = 2;
pub const IRP_MJ_READ: usize = 3;
pub const IRP_MJ_DEVICE_CONTROL: usize = 14;
pub const IRP_MJ_CLEANUP: usize = 18;

pub const FILE_DEVICE_UNKNOWN: u32 = 0x22;
pub const FILE_DEVICE_SECURE_OPEN: u32 = 0x100;
pub const DO_BUFFERED_IO: u32 = 4;
pub const DO_DEVICE_INITIALIZING: u32 = 0x80;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct UNICODE_STRING {
    /// Bytes.
    pub Length: u16,
    pub MaximumLength: u16,
    pub Buffer: *const u16,
}

#[repr(C)]
#[derive(Debug)]
pub struct DRIVER_OBJECT {
    pub Type: i16,
    pub Size: i16,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub Flags: u32,
    pub DriverStart: *mut c_void,
    pub DriverSize: u32,
    pub DriverSection: *mut c_void,
    pub DriverExtension: *mut c_void,
    pub DriverName: UNICODE_STRING,
    pub HardwareDatabase: *mut UNICODE_STRING,
    pub FastIoDispatch: *mut c_void,
    pub DriverInit: *mut c_void,
    pub DriverStartIo: *mut c_void,
    /// The I/O manager may read it at any time.
    pub DriverUnload: AtomicPtr<c_void>,
    pub MajorFunction: [Option<DRIVER_DISPATCH>; 28],
}

pub type DRIVER_DISPATCH = unsafe extern "system" fn(*mut DEVICE_OBJECT, *mut IRP) -> NTSTATUS;
pub type DRIVER_UNLOAD = unsafe extern "system" fn(*mut DRIVER_OBJECT);

#[repr(C, align(16))]
#[derive(Debug)]
pub struct DEVICE_OBJECT {
    pub Type: i16,
    pub Size: u16,
    pub ReferenceCount: i32,
    pub DriverObject: *mut DRIVER_OBJECT,
    pub NextDevice: *mut DEVICE_OBJECT,
    pub AttachedDevice: *mut DEVICE_OBJECT,
    pub CurrentIrp: *mut IRP,
    pub Timer: *mut c_void,
    pub Flags: u32,
    pub Characteristics: u32,
    pub Vpb: *mut c_void,
    pub DeviceExtension: *mut c_void,
    // The fields that follow belong to the kernel.
}

#[repr(C)]
#[derive(Debug)]
pub struct IO_STATUS_BLOCK {
    pub Status: usize,
    pub Information: usize,
}

#[repr(C, align(16))]
#[derive(Debug)]
pub struct IRP {
    pub Type: i16,
    pub Size: u16,
    pub AllocationProcessorNumber: u16,
    pub Reserved: u16,
    pub MdlAddress: *mut MDL,
    pub Flags: u32,
    /// `AssociatedIrp.SystemBuffer`.
    pub SystemBuffer: *mut c_void,
    pub ThreadListEntry: [usize; 2],
    pub IoStatus: IO_STATUS_BLOCK,
    pub RequestorMode: i8,
    pub PendingReturned: u8,
    pub StackCount: i8,
    pub CurrentLocation: i8,
    pub Cancel: u8,
    pub CancelIrql: u8,
    pub ApcEnvironment: i8,
    pub AllocationFlags: u8,
    pub UserIosb: *mut c_void,
    pub UserEvent: *mut c_void,
    pub Overlay: [usize; 2],
    pub CancelRoutine: *mut c_void,
    pub UserBuffer: *mut c_void,
    // Tail.Overlay
    pub DriverContext: [*mut c_void; 4],
    pub Thread: *mut c_void,
    pub AuxiliaryBuffer: *mut c_void,
    pub ListEntry: [usize; 2],
    pub CurrentStackLocation: *mut IO_STACK_LOCATION,
    pub OriginalFileObject: *mut FILE_OBJECT,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_STACK_LOCATION {
    pub MajorFunction: u8,
    pub MinorFunction: u8,
    pub Flags: u8,
    pub Control: u8,
    pub Parameters: IO_PARAMETERS,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub FileObject: *mut FILE_OBJECT,
    pub CompletionRoutine: *mut c_void,
    pub Context: *mut c_void,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union IO_PARAMETERS {
    pub Read: IO_READ,
    pub DeviceIoControl: IO_CONTROL,
    pub Others: [*mut c_void; 4],
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct IO_READ {
    pub Length: u32,
    pub Padding1: u32,
    pub Key: u32,
    pub Padding2: u32,
    pub ByteOffset: i64,
}

/// Each number takes the space of a pointer (`POINTER_ALIGNMENT`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct IO_CONTROL {
    pub OutputBufferLength: u32,
    pub Padding1: u32,
    pub InputBufferLength: u32,
    pub Padding2: u32,
    pub IoControlCode: u32,
    pub Padding3: u32,
    pub Type3InputBuffer: *mut c_void,
}

#[repr(C)]
#[derive(Debug)]
pub struct FILE_OBJECT {
    pub Type: i16,
    pub Size: i16,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub Vpb: *mut c_void,
    /// A field for the driver's own use.
    pub FsContext: AtomicUsize,
    /// These fields belong to the I/O manager.
    pub Others: [usize; 7],
    /// What follows the device's name in the name that was opened. Valid only in `IRP_MJ_CREATE`.
    pub FileName: UNICODE_STRING,
    // The fields that follow belong to the I/O manager.
}

#[repr(C)]
#[derive(Debug)]
pub struct MDL {
    pub Next: *mut MDL,
    pub Size: i16,
    pub MdlFlags: i16,
    pub Process: *mut c_void,
    pub MappedSystemVa: *mut c_void,
    pub StartVa: *mut c_void,
    pub ByteCount: u32,
    pub ByteOffset: u32,
}

pub const MDL_MAPPED_TO_SYSTEM_VA: i16 = 0x0001;
pub const MDL_SOURCE_IS_NONPAGED_POOL: i16 = 0x0004;

#[repr(C)]
#[derive(Debug)]
pub struct KLOCK_QUEUE_HANDLE {
    pub Next: *mut c_void,
    pub Lock: *mut c_void,
    pub OldIrql: u8,
}

#[repr(C, align(8))]
#[derive(Debug)]
pub struct KTIMER(pub [u8; 64]);

#[repr(C, align(8))]
#[derive(Debug)]
pub struct KDPC(pub [u8; 64]);

#[repr(C)]
#[derive(Debug)]
pub struct CLIENT_ID {
    pub UniqueProcess: HANDLE,
    pub UniqueThread: HANDLE,
}

#[repr(C)]
#[derive(Debug)]
pub struct PS_CREATE_NOTIFY_INFO {
    pub Size: usize,
    /// Bit 0: `FileOpenNameAvailable`; bit 1: `IsSubsystemProcess`.
    pub Flags: u32,
    pub ParentProcessId: HANDLE,
    pub CreatingThreadId: CLIENT_ID,
    pub FileObject: *mut FILE_OBJECT,
    pub ImageFileName: *const UNICODE_STRING,
    pub CommandLine: *const UNICODE_STRING,
    pub CreationStatus: NTSTATUS,
}

#[repr(C)]
#[derive(Debug)]
pub struct OBJECT_ATTRIBUTES {
    pub Length: u32,
    pub RootDirectory: HANDLE,
    pub ObjectName: *const UNICODE_STRING,
    pub Attributes: u32,
    pub SecurityDescriptor: *mut c_void,
    pub SecurityQualityOfService: *mut c_void,
}

pub const OBJ_CASE_INSENSITIVE: u32 = 0x40;
pub const OBJ_KERNEL_HANDLE: u32 = 0x200;

/// As `RtlGetVersion` fills it in.
#[repr(C)]
#[derive(Debug)]
pub struct RTL_OSVERSIONINFOEXW {
    pub dwOSVersionInfoSize: u32,
    pub dwMajorVersion: u32,
    pub dwMinorVersion: u32,
    pub dwBuildNumber: u32,
    pub dwPlatformId: u32,
    pub szCSDVersion: [u16; 128],
    pub wServicePackMajor: u16,
    pub wServicePackMinor: u16,
    pub wSuiteMask: u16,
    pub wProductType: u8,
    pub wReserved: u8,
}

/// `wProductType` of all editions that are not servers.
pub const VER_NT_WORKSTATION: u8 = 1;

const _: () = {
    assert!(size_of::<UNICODE_STRING>() == 16);
    assert!(size_of::<DRIVER_OBJECT>() == 336);
    assert!(offset_of!(DRIVER_OBJECT, DriverUnload) == 104);
    assert!(offset_of!(DRIVER_OBJECT, MajorFunction) == 112);
    assert!(offset_of!(DEVICE_OBJECT, Flags) == 0x30);
    assert!(offset_of!(DEVICE_OBJECT, DeviceExtension) == 0x40);
    assert!(size_of::<IRP>() == 0xD0);
    assert!(offset_of!(IRP, SystemBuffer) == 0x18);
    assert!(offset_of!(IRP, IoStatus) == 0x30);
    assert!(offset_of!(IRP, UserBuffer) == 0x70);
    assert!(offset_of!(IRP, CurrentStackLocation) == 0xB8);
    assert!(size_of::<IO_STACK_LOCATION>() == 0x48);
    assert!(offset_of!(IO_STACK_LOCATION, Parameters) == 8);
    assert!(offset_of!(IO_CONTROL, InputBufferLength) == 8);
    assert!(offset_of!(IO_CONTROL, IoControlCode) == 16);
    assert!(offset_of!(IO_STACK_LOCATION, FileObject) == 0x30);
    assert!(offset_of!(FILE_OBJECT, FsContext) == 0x18);
    assert!(offset_of!(FILE_OBJECT, FileName) == 0x58);
    assert!(size_of::<MDL>() == 0x30);
    assert!(offset_of!(MDL, MdlFlags) == 0x0A);
    assert!(offset_of!(MDL, MappedSystemVa) == 0x18);
    assert!(offset_of!(MDL, ByteCount) == 0x28);
    assert!(size_of::<KLOCK_QUEUE_HANDLE>() == 24);
    assert!(size_of::<PS_CREATE_NOTIFY_INFO>() == 72);
    assert!(offset_of!(PS_CREATE_NOTIFY_INFO, ImageFileName) == 48);
    assert!(size_of::<OBJECT_ATTRIBUTES>() == 48);
    assert!(size_of::<RTL_OSVERSIONINFOEXW>() == 284);
};
