//! Passes the kernel's calls on to the driver, and converts the kernel's types into the driver's.

use core::num::{NonZeroU64, NonZeroUsize};

use hone_driver::callouts::CALLOUTS;
use hone_driver::{
    Buffer, ConnectionIndication, Handle, Indication, PacketIndication, Process, Setting, Status, Value,
};
use hone_wdm::callout::{self, Classification, Classify};
use hone_wdm::irp::{self, Requests};
use hone_wdm::net_buffer::NetBuffer;
use hone_wdm::notify::{Processes, Started};
use hone_wdm::timer::Tick;
use hone_wdm::{NTSTATUS, Passive, process, sys};

use crate::kernel::PROCESS_MONITOR;
use crate::load::{self, HONE};
use crate::settings;

/// Implements all callbacks that the kernel calls.
pub(crate) struct Calls;

const fn refused(status: Status) -> NTSTATUS {
    status.0.cast_signed()
}

fn handle(file: NonZeroUsize) -> Result<Handle, NTSTATUS> {
    Handle::from_context(file.get()).ok_or(sys::STATUS_INVALID_HANDLE)
}

fn hone() -> Result<&'static load::Hone, NTSTATUS> {
    HONE.get().ok_or(sys::STATUS_INVALID_DEVICE_REQUEST)
}

impl Requests for Calls {
    fn open(passive: Passive) -> Result<NonZeroUsize, NTSTATUS> {
        let handle = hone()?.driver.open(settings::number(passive, Setting::RingBytes)).map_err(refused)?;
        hone()?.permit_unload();
        NonZeroUsize::new(handle.context()).ok_or(sys::STATUS_INVALID_HANDLE)
    }

    fn close(passive: Passive, file: NonZeroUsize) {
        if let (Ok(hone), Ok(handle)) = (hone(), handle(file)) {
            hone.driver.close(passive, handle);
            hone.permit_unload();
        }
    }

    fn read(file: NonZeroUsize, buffer: &mut [u8]) -> Result<usize, NTSTATUS> {
        hone()?.driver.read(handle(file)?, buffer).map_err(refused)
    }

    fn control(passive: Passive, file: NonZeroUsize, control: irp::Control<'_>) -> Result<usize, NTSTATUS> {
        let irp::Control { code, buffer, input, output } = control;
        let control = hone_driver::Control { code, buffer, input, output };
        hone()?.driver.control(passive, handle(file)?, control).map_err(refused)
    }
}

impl Classify for Calls {
    fn classify(place: usize, indication: &Classification<'_>) {
        if let (Ok(hone), Some(callout)) = (hone(), CALLOUTS.get(place)) {
            hone.driver.classify(callout, &Indicated(indication));
        }
    }
}

impl Processes for Calls {
    fn started(passive: Passive, started: &Started<'_>) {
        let Ok(hone) = hone() else { return };
        let known = process::Process::open(passive, started.pid, PROCESS_MONITOR).ok();
        let owner = known.as_ref().and_then(process::Process::owner);
        // A process of another subsystem has a path of that subsystem, and no image will show a better one.
        let path = started.path.filter(|_| started.is_full_path || started.is_subsystem);
        let is_unknown = path.is_none() && started.is_subsystem;
        let device_path = known.as_ref().filter(|_| is_unknown).and_then(process::Process::device_path);
        hone.driver.process_started(
            passive,
            &Process {
                pid: started.pid,
                parent: Some(started.parent),
                created: known.as_ref().and_then(process::Process::created),
                path: path.or(device_path.as_ref().and_then(process::Text::units)),
                command_line: started.command_line,
                owner: owner.as_ref().and_then(process::Sid::bytes),
                is_subsystem: started.is_subsystem,
            },
        );
    }

    fn ended(_: Passive, pid: u32) {
        if let Ok(hone) = hone() {
            hone.driver.process_ended(pid);
        }
    }

    fn image_loaded(passive: Passive, pid: u32, path: &[u16]) {
        let Ok(hone) = hone() else { return };
        if !hone.driver.wants_image(pid) {
            return;
        }
        let known = process::Process::open(passive, pid, PROCESS_MONITOR).ok();
        let owner = known.as_ref().and_then(process::Process::owner);
        hone.driver.process_named(
            passive,
            &Process {
                pid,
                parent: None,
                created: known.as_ref().and_then(process::Process::created),
                path: Some(path),
                // The start has it, if the kernel passed it. Asking for it reads the memory of the process, which is not for
                // a notify routine ("Best practices for implementing process and thread-related callback functions").
                command_line: None,
                owner: owner.as_ref().and_then(process::Sid::bytes),
                is_subsystem: false,
            },
        );
    }
}

impl Tick for Calls {
    fn tick() {
        if let Ok(hone) = hone() {
            hone.driver.tick();
        }
    }
}

/// An indication in the form that the network monitor reads.
struct Indicated<'a>(&'a Classification<'a>);

/// One packet of an indication.
struct Packet<'a>(NetBuffer<'a>);

impl Indication for Indicated<'_> {
    fn endpoint(&self) -> Option<NonZeroU64> {
        self.0.endpoint()
    }

    fn value(&self, index: usize) -> Option<Value> {
        self.0.value(index).map(|value| match value {
            callout::Value::U8(number) => Value::U8(number),
            callout::Value::U16(number) => Value::U16(number),
            callout::Value::U32(number) => Value::U32(number),
            callout::Value::Bytes16(bytes) => Value::Bytes16(bytes),
        })
    }
}

impl ConnectionIndication for Indicated<'_> {
    fn process(&self) -> Option<u64> {
        self.0.process()
    }
}

impl PacketIndication for Indicated<'_> {
    type Buffer<'b>
        = Packet<'b>
    where
        Self: 'b;

    fn header_lengths(&self) -> (Option<usize>, Option<usize>) {
        (self.0.ip_header(), self.0.transport_header())
    }

    fn included_header(&self) -> Option<&[u8]> {
        self.0.included_header()
    }

    fn is_tunnelled(&self) -> bool {
        self.0.is_tunnelled()
    }

    fn buffers(&self) -> impl Iterator<Item = Packet<'_>> {
        self.0.net_buffers().map(Packet)
    }
}

impl Buffer for Packet<'_> {
    fn headroom(&self) -> usize {
        self.0.headroom()
    }

    fn length(&self) -> usize {
        self.0.length()
    }

    fn segments(&self, back: usize) -> Option<impl Iterator<Item = &[u8]> + Clone + Sync> {
        self.0.segments(back)
    }
}
