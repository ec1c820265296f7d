//! Loads and unloads the driver: which kernel resources it registers, and in which order it registers and releases
//! them.

use hone_driver::callouts::{CALLOUTS, Callout, Family, Guid, Layer, SUBLAYER};
use hone_driver::{Driver, Host, Process, Setting, security};
use hone_wdm::callout::Callouts;
use hone_wdm::device::{self, Device};
use hone_wdm::global::Global;
use hone_wdm::lock::SpinLock;
use hone_wdm::notify::{ImageNotify, ProcessNotify};
use hone_wdm::reauthorize::{Place, Subscription, reauthorize};
use hone_wdm::sys::{self, DRIVER_UNLOAD, GUID};
use hone_wdm::timer::{Running, Timer};
use hone_wdm::{NTSTATUS, Passive, pool, process, system, time, wide};

use crate::glue::Calls;
use crate::kernel::{PROCESS_MONITOR, Windows};
use crate::settings;

/// How often held packets are checked for expiry, in milliseconds.
const TICK: i32 = 250;

/// What the kernel's callbacks need.
pub(crate) struct Hone {
    pub(crate) driver: Driver<Windows>,
    /// Has its own lock, so that only one caller at a time changes the unload function.
    object: SpinLock<device::Driver>,
    unload: DRIVER_UNLOAD,
}

impl Hone {
    /// Makes the I/O manager refuse to stop the driver while readers are attached. Call it whenever a reader attaches
    /// or detaches.
    pub(crate) fn permit_unload(&self) {
        self.object.with(|object| object.set_unload((self.driver.readers() == 0).then_some(self.unload)));
    }
}

pub(crate) static HONE: Global<Hone> = Global::new();

/// The kernel resources of the driver. They are released from the top down: first the callers, then what they are
/// called through.
struct Resources {
    _timer: Running,
    _images: Option<ImageNotify<Calls>>,
    _processes: ProcessNotify<Calls>,
    _subscription: Option<Subscription>,
    _callouts: Callouts,
    _device: Device,
}

static RESOURCES: Global<Resources> = Global::new();
static TIMER: Timer = Timer::new();

/// Loads the driver. Only `DriverEntry` calls this.
pub(crate) fn load(passive: Passive, object: device::Driver, unload: DRIVER_UNLOAD) -> Result<(), NTSTATUS> {
    let version = system::version(passive);
    if version.number < (6, 2, 0) {
        pool::use_executable();
    }
    time::find_precise(passive);
    let host = Host {
        version: version.number,
        service_pack: version.service_pack,
        is_server: version.is_server,
        architecture: if cfg!(target_arch = "aarch64") { "ARM" } else { "x86" },
        id: settings::host_id(passive),
    };
    let driver = Driver::new(&host).map_err(|status| status.0.cast_signed())?;
    driver.restore_log_levels(settings::number(passive, Setting::LogLevels));
    HONE.set(Hone { driver, object: SpinLock::new(object), unload });
    match resources(passive, object) {
        Ok(resources) => {
            RESOURCES.set(resources);
            object.set_unload(Some(unload));
            Ok(())
        }
        Err(status) => {
            // SAFETY: what called the driver has been given back, and nothing calls it through the I/O manager yet.
            unsafe { HONE.take(passive) };
            Err(status)
        }
    }
}

fn resources(passive: Passive, object: device::Driver) -> Result<Resources, NTSTATUS> {
    let device = Device::create(
        passive,
        object,
        wide!("\\Device\\HoneOut"),
        wide!("\\??\\HoneOut"),
        &security::DESCRIPTOR.0,
    )?;
    object.serve::<Calls>();
    let processes = ProcessNotify::register(passive)?;
    // Before an update of Windows 8.1, only eight drivers can register for images ("PsSetLoadImageNotifyRoutine"). Without
    // images, only the few paths that a start does not have are missing.
    let images = match ImageNotify::register(passive) {
        Ok(images) => Some(images),
        Err(status) => {
            hone_wdm::debug::show(1, format_args!("the first images of processes are not seen: {status:#x}"));
            None
        }
    };
    // Runs after the driver has registered for starts and ends, so that it misses no process.
    find_processes(passive);
    let callouts =
        Callouts::register::<Calls>(passive, &device, &CALLOUTS.map(|callout| guid(&callout.key)))?;
    let timer = TIMER.start::<Calls>(TICK);
    let subscription = find_connections(passive, &device, &callouts);
    Ok(Resources {
        _timer: timer,
        _images: images,
        _processes: processes,
        _subscription: subscription,
        _callouts: callouts,
        _device: device,
    })
}

/// Unloads the driver.
///
/// # Safety
/// The I/O manager no longer calls the driver.
pub(crate) unsafe fn unload(passive: Passive) {
    // SAFETY: only `load` and this look at it.
    drop(unsafe { RESOURCES.take(passive) });
    // SAFETY: what called the driver was given back with the resources; the caller says that nobody else does.
    drop(unsafe { HONE.take(passive) });
}

/// Reports the processes that already run to the driver.
fn find_processes(passive: Passive) {
    let Some(hone) = HONE.get() else { return };
    let found = process::list(passive, PROCESS_MONITOR, |listed| {
        let known = process::Process::open(passive, listed.pid, PROCESS_MONITOR).ok();
        let path = known.as_ref().and_then(process::Process::path);
        let command_line = known.as_ref().and_then(process::Process::command_line);
        let owner = known.as_ref().and_then(process::Process::owner);
        hone.driver.process_found(
            passive,
            &Process {
                pid: listed.pid,
                parent: Some(listed.parent),
                // Windows may not know the start time of its first processes.
                created: Some(listed.created).filter(|&created| created > 0),
                path: path.as_ref().and_then(process::Text::units).or(listed.name),
                command_line: command_line.as_ref().and_then(process::Text::units),
                owner: owner.as_ref().and_then(process::Sid::bytes),
                is_subsystem: false,
            },
        );
    });
    if let Err(status) = found {
        hone_wdm::debug::show(0, format_args!("running processes cannot be listed: {status:#x}"));
    }
}

/// Makes WFP report the connections that are open already, each with its next packet. The driver works without this, so
/// a failure is only shown.
fn find_connections(passive: Passive, device: &Device, callouts: &Callouts) -> Option<Subscription> {
    let places = CALLOUTS.each_ref().map(|callout| {
        let layer = authorizing_layer(callout)?;
        Some(Place { layer, callout: guid(&callout.key) })
    });
    let failed = |status| {
        let message = "connections that are open already are not authorised again";
        hone_wdm::debug::show(1, format_args!("{message}: {status:#x}"));
    };
    let subscription = Subscription::new(passive, device).map_err(failed).ok()?;
    match reauthorize(passive, &subscription, callouts, &guid(&SUBLAYER), places.iter().flatten()) {
        Ok(true) => {}
        Ok(false) => hone_wdm::debug::show(2, format_args!("loaded before the base filtering engine")),
        Err(status) => failed(status),
    }
    Some(subscription)
}

/// The key of a callout's layer, if that layer authorises connections.
const fn authorizing_layer(callout: &Callout) -> Option<GUID> {
    match (callout.layer, callout.family) {
        (Layer::AuthConnect, Family::V4) => Some(sys::FWPM_LAYER_ALE_AUTH_CONNECT_V4),
        (Layer::AuthConnect, Family::V6) => Some(sys::FWPM_LAYER_ALE_AUTH_CONNECT_V6),
        (Layer::AuthRecvAccept, Family::V4) => Some(sys::FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4),
        (Layer::AuthRecvAccept, Family::V6) => Some(sys::FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V6),
        _ => None,
    }
}

const fn guid(key: &Guid) -> GUID {
    GUID { Data1: key.data1, Data2: key.data2, Data3: key.data3, Data4: key.data4 }
}
