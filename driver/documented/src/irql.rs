//! The highest IRQL at which each function may be called that the driver imports.
//!
//! Source: the field "IRQL" of each function's page, which the row names (in windows-driver-docs-ddi, `req.irql`).

use core::fmt;

/// An interrupt request level. What runs at a level is interrupted only by what needs a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Irql {
    /// `PASSIVE_LEVEL`: may wait, and may touch memory that is paged.
    Passive,
    /// `APC_LEVEL`.
    Apc,
    /// `DISPATCH_LEVEL`: under a spin lock, in a DPC, and often in classify.
    Dispatch,
    /// As a maximum: the function may be called at any level.
    Any,
}

impl fmt::Display for Irql {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Passive => "PASSIVE_LEVEL",
            Self::Apc => "APC_LEVEL",
            Self::Dispatch => "DISPATCH_LEVEL",
            Self::Any => "any level",
        })
    }
}

/// What is documented about a function that the driver calls.
#[derive(Debug, Clone, Copy)]
pub struct Import {
    /// The name under which it is imported or looked up.
    pub name: &'static str,
    /// The highest level at which it may be called, with the arguments that the driver passes.
    pub maximum: Irql,
    /// The page that says so.
    pub page: &'static str,
}

/// A call that the documentation does not allow.
#[derive(Debug, Clone, Copy)]
pub enum Violation<'a> {
    /// It was called at this level, above its maximum.
    TooHigh(&'static Import, Irql),
    /// Nothing is known of a function of this name.
    Unknown(&'a str),
}

impl fmt::Display for Violation<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooHigh(import, level) => write!(
                formatter,
                "{} is called at {level}, but at most {} is allowed (page {})",
                import.name, import.maximum, import.page
            ),
            Self::Unknown(name) => write!(
                formatter,
                "nothing is known of the import {name}: add its row to IMPORTS (driver/documented/src/irql.rs)"
            ),
        }
    }
}

/// The row of this function.
///
/// # Errors
/// There is none.
pub fn import(name: &str) -> Result<&'static Import, Violation<'_>> {
    IMPORTS.iter().find(|import| import.name == name).ok_or(Violation::Unknown(name))
}

impl Import {
    /// Whether the function may be called at this level.
    ///
    /// # Errors
    /// Its maximum is lower.
    pub fn check(&'static self, level: Irql) -> Result<(), Violation<'static>> {
        if level <= self.maximum { Ok(()) } else { Err(Violation::TooHigh(self, level)) }
    }
}

/// All functions that the driver imports, and those that it looks up at run time.
pub const IMPORTS: &[Import] = {
    use Irql::{Any, Apc, Dispatch, Passive};
    &[
        row("IoCreateDevice", Apc, "nf-wdm-iocreatedevice"),
        row("IoDeleteDevice", Apc, "nf-wdm-iodeletedevice"),
        row("IoCreateSymbolicLink", Passive, "nf-wdm-iocreatesymboliclink"),
        row("IoDeleteSymbolicLink", Passive, "nf-wdm-iodeletesymboliclink"),
        row("IofCompleteRequest", Dispatch, "nf-wdm-iocompleterequest"),
        // At DISPATCH_LEVEL only for memory that is not paged. The driver has no other.
        row("ExAllocatePoolWithTag", Dispatch, "nf-wdm-exallocatepoolwithtag"),
        row("ExFreePoolWithTag", Dispatch, "nf-wdm-exfreepoolwithtag"),
        row("ExUuidCreate", Passive, "nf-ntddk-exuuidcreate"),
        row("KeAcquireInStackQueuedSpinLock", Dispatch, "nf-wdm-keacquireinstackqueuedspinlock"),
        row("KeReleaseInStackQueuedSpinLock", Dispatch, "nf-wdm-kereleaseinstackqueuedspinlock"),
        // With `Wait` false, which is what the driver passes.
        row("KeSetEvent", Dispatch, "nf-wdm-kesetevent"),
        row("KeInitializeTimerEx", Dispatch, "nf-wdm-keinitializetimerex"),
        row("KeInitializeDpc", Any, "nf-wdm-keinitializedpc"),
        row("KeSetTimerEx", Dispatch, "nf-wdm-kesettimerex"),
        row("KeCancelTimer", Dispatch, "nf-wdm-kecanceltimer"),
        row("KeFlushQueuedDpcs", Passive, "nf-wdm-keflushqueueddpcs"),
        row("KeDelayExecutionThread", Apc, "nf-wdm-kedelayexecutionthread"),
        row("KeBugCheckEx", Any, "nf-wdm-kebugcheckex"),
        row("KeQuerySystemTimePrecise", Any, "nf-wdm-kequerysystemtimeprecise"),
        row("ObReferenceObjectByHandle", Passive, "nf-wdm-obreferenceobjectbyhandle"),
        row("ObfDereferenceObject", Dispatch, "nf-wdm-obdereferenceobject"),
        row("ObOpenObjectByPointer", Apc, "nf-ntifs-obopenobjectbypointer"),
        row("PsSetCreateProcessNotifyRoutineEx", Passive, "nf-ntddk-pssetcreateprocessnotifyroutineex"),
        row("PsSetCreateProcessNotifyRoutineEx2", Passive, "nf-ntddk-pssetcreateprocessnotifyroutineex2"),
        row("PsSetLoadImageNotifyRoutine", Passive, "nf-ntddk-pssetloadimagenotifyroutine"),
        row("PsRemoveLoadImageNotifyRoutine", Apc, "nf-ntddk-psremoveloadimagenotifyroutine"),
        row("MmGetSystemRoutineAddress", Passive, "nf-wdm-mmgetsystemroutineaddress"),
        // With `KernelMode`, which is what the driver passes.
        row("MmMapLockedPagesSpecifyCache", Dispatch, "nf-wdm-mmmaplockedpagesspecifycache"),
        row("RtlGetVersion", Passive, "nf-wdm-rtlgetversion"),
        row("ZwClose", Passive, "nf-wdm-zwclose"),
        row("ZwSetSecurityObject", Passive, "nf-ntifs-zwsetsecurityobject"),
        row("ZwOpenKey", Passive, "nf-wdm-zwopenkey"),
        row("ZwCreateKey", Passive, "nf-wdm-zwcreatekey"),
        row("ZwQueryValueKey", Passive, "nf-wdm-zwqueryvaluekey"),
        row("ZwSetValueKey", Passive, "nf-wdm-zwsetvaluekey"),
        row("ZwOpenSymbolicLinkObject", Passive, "nf-wdm-zwopensymboliclinkobject"),
        row("ZwQuerySymbolicLinkObject", Passive, "nf-wdm-zwquerysymboliclinkobject"),
        row("ZwOpenProcess", Passive, "nf-ntddk-zwopenprocess"),
        row("ZwOpenProcessTokenEx", Passive, "nf-ntifs-zwopenprocesstokenex"),
        row("ZwQueryInformationToken", Passive, "nf-ntifs-zwqueryinformationtoken"),
        // The pages of these two (of win32) name no level. Like every other Zw function here: the lowest.
        row("ZwQueryInformationProcess", Passive, "zwqueryinformationprocess"),
        row("ZwQuerySystemInformation", Passive, "zwquerysysteminformation"),
        // Any level up to that of devices, which the driver never reaches. No Unicode in the format.
        row("DbgPrintEx", Any, "nf-wdm-dbgprintex"),
        // Without a page. It reads the mask that `DbgPrintEx` reads.
        row("DbgQueryDebugFilterState", Any, "nf-wdm-dbgprintex"),
        // The compiler's, for memory that is not paged.
        row("memcpy", Any, "nf-wdm-rtlcopymemory"),
        row("memmove", Any, "nf-wdm-rtlmovememory"),
        row("memset", Any, "nf-wdm-rtlfillmemory"),
        row("memcmp", Any, "nf-wdm-rtlcomparememory"),
        // A variable.
        row("ExEventObjectType", Any, "nf-wdm-obreferenceobjectbyhandle"),
        row("FwpsCalloutRegister1", Passive, "nf-fwpsk-fwpscalloutregister1"),
        row("FwpsCalloutUnregisterById0", Passive, "nf-fwpsk-fwpscalloutunregisterbyid0"),
        row(
            "FwpsGetPacketListSecurityInformation0",
            Dispatch,
            "nf-fwpsk-fwpsgetpacketlistsecurityinformation0",
        ),
        row("FwpmBfeStateSubscribeChanges0", Passive, "nf-fwpmk-fwpmbfestatesubscribechanges0"),
        row("FwpmBfeStateUnsubscribeChanges0", Passive, "nf-fwpmk-fwpmbfestateunsubscribechanges0"),
        row("FwpmBfeStateGet0", Dispatch, "nf-fwpmk-fwpmbfestateget0"),
        row("FwpmEngineOpen0", Passive, "nf-fwpmk-fwpmengineopen0"),
        row("FwpmEngineClose0", Passive, "nf-fwpmk-fwpmengineclose0"),
        row("FwpmTransactionBegin0", Passive, "wfp-user-mode-management-functions"),
        row("FwpmTransactionCommit0", Passive, "wfp-user-mode-management-functions"),
        row("FwpmFilterAdd0", Passive, "wfp-user-mode-management-functions"),
    ]
};

const fn row(name: &'static str, maximum: Irql, page: &'static str) -> Import {
    Import { name, maximum, page }
}
