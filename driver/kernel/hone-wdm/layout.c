/* The numbers that src/sys asserts, against mingw-w64's headers, as far as these have them. scripts/test-windows compiles
   this, with and without USER_MODE, and throws it away. */
#ifdef USER_MODE /* the structures of the filtering platform that it also has: fwptypes.h and ntddk.h do not mix */
#include <windows.h>
#include <fwptypes.h>
#include <fwpmtypes.h>
_Static_assert(sizeof(FWP_VALUE0) == 16 && FIELD_OFFSET(FWP_VALUE0, uint8) == 8, "FWP_VALUE0");
_Static_assert(sizeof(FWPM_SESSION0) == 72 && FIELD_OFFSET(FWPM_SESSION0, flags) == 32, "FWPM_SESSION0");
_Static_assert(FIELD_OFFSET(FWPM_SESSION0, sid) == 48, "FWPM_SESSION0.sid");
_Static_assert(sizeof(FWPM_ACTION0) == 20 && sizeof(FWPM_FILTER0) == 200, "FWPM_FILTER0");
_Static_assert(FIELD_OFFSET(FWPM_FILTER0, layerKey) == 64 && FIELD_OFFSET(FWPM_FILTER0, weight) == 96, "FWPM_FILTER0.weight");
_Static_assert(FIELD_OFFSET(FWPM_FILTER0, filterCondition) == 120, "FWPM_FILTER0.filterCondition");
_Static_assert(FIELD_OFFSET(FWPM_FILTER0, action) == 128 && FIELD_OFFSET(FWPM_FILTER0, filterId) == 176, "FWPM_FILTER0.action");
_Static_assert(FWP_ACTION_CALLOUT_INSPECTION == 0x6004, "FWP_ACTION_TYPE");
_Static_assert(FWP_UINT8 == 1 && FWP_UINT32 == 3 && FWP_BYTE_ARRAY16_TYPE == 11, "FWP_DATA_TYPE");
#else
#include <ntddk.h>
#define CHECK(e) _Static_assert(e, #e)
#define AT(type, field, offset) CHECK(FIELD_OFFSET(type, field) == (offset))

CHECK(sizeof(UNICODE_STRING) == 16);
CHECK(sizeof(DRIVER_OBJECT) == 336);
AT(DRIVER_OBJECT, DriverUnload, 104);
AT(DRIVER_OBJECT, MajorFunction, 112);
AT(DEVICE_OBJECT, Flags, 0x30);
AT(DEVICE_OBJECT, DeviceExtension, 0x40);
CHECK(sizeof(IRP) == 0xD0);
AT(IRP, AssociatedIrp.SystemBuffer, 0x18);
AT(IRP, IoStatus, 0x30);
AT(IRP, UserBuffer, 0x70);
AT(IRP, Tail.Overlay.CurrentStackLocation, 0xB8);
CHECK(sizeof(IO_STACK_LOCATION) == 0x48);
AT(IO_STACK_LOCATION, Parameters.Read.Length, 8);
AT(IO_STACK_LOCATION, Parameters.DeviceIoControl.OutputBufferLength, 8);
AT(IO_STACK_LOCATION, Parameters.DeviceIoControl.InputBufferLength, 16);
AT(IO_STACK_LOCATION, Parameters.DeviceIoControl.IoControlCode, 24);
AT(IO_STACK_LOCATION, FileObject, 0x30);
AT(FILE_OBJECT, FsContext, 0x18);
AT(FILE_OBJECT, FileName, 0x58);
CHECK(sizeof(MDL) == 0x30);
AT(MDL, MdlFlags, 0x0A);
AT(MDL, MappedSystemVa, 0x18);
AT(MDL, ByteCount, 0x28);
CHECK(sizeof(KLOCK_QUEUE_HANDLE) == 24);
CHECK(sizeof(KTIMER) == 64);
CHECK(sizeof(KDPC) == 64);
CHECK(sizeof(PS_CREATE_NOTIFY_INFO) == 72);
AT(PS_CREATE_NOTIFY_INFO, ImageFileName, 48);
CHECK(sizeof(OBJECT_ATTRIBUTES) == 48);
CHECK(sizeof(RTL_OSVERSIONINFOEXW) == 284);
CHECK(IRP_MJ_CREATE == 0 && IRP_MJ_CLOSE == 2 && IRP_MJ_READ == 3 && IRP_MJ_DEVICE_CONTROL == 14 && IRP_MJ_CLEANUP == 18);
CHECK(DO_BUFFERED_IO == 4 && DO_DEVICE_INITIALIZING == 0x80 && FILE_DEVICE_SECURE_OPEN == 0x100);
CHECK(MDL_MAPPED_TO_SYSTEM_VA == 1 && MDL_SOURCE_IS_NONPAGED_POOL == 4);
#endif
