//! A fake kernel, fake indications, and a text form of what a reader reads.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod hostile;
mod indication;
pub(crate) mod irql;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, atomic::AtomicU64, atomic::Ordering::Relaxed};

use hone_api::Operation;
use hone_documented::Irql;
use hone_driver::{
    Control, Driver, Handle, Host, Kernel, Level, Lock, Process, Purpose, Setting, Signal, Status,
};
use hone_pcapng::{Block, ConnectionEventKind, ProcessEventKind, Reader};

#[allow(unused_imports, reason = "each test uses its part")]
pub(crate) use indication::{
    CHECKED, FakeBuffer, FakeIndication, LINK, arriving, callout, connect, indicate, indicate_at, segment,
    v6, values, whole,
};

/// The time on the fake clock, unless a test sets another.
pub(crate) const START: u64 = 1_700_000_000_000_000_000;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(START) };
    static EVENTS: RefCell<Vec<Arc<AtomicU64>>> = const { RefCell::new(Vec::new()) };
    /// Work that another processor does under the lock before the lock is taken next.
    static BEFORE_LOCK: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    /// Symbolic links of the object manager, and where they lead.
    static LINKS: RefCell<Vec<(&'static str, &'static str)>> = const { RefCell::new(Vec::new()) };
    /// The purposes that memory was charged to. Recorded from the first call of `purposes`.
    static PURPOSES: RefCell<Option<Vec<Purpose>>> = const { RefCell::new(None) };
    /// The settings that were kept in the registry.
    static KEPT: RefCell<Vec<(Setting, u32)>> = const { RefCell::new(Vec::new()) };
    static IS_REGISTRY_FULL: Cell<bool> = const { Cell::new(false) };
    /// The messages that were shown. Recorded from the first call of `messages`.
    static MESSAGES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

pub(crate) struct Fake;

/// The token of code at PASSIVE_LEVEL. Tests make it at any level, to see that the fake kernel notices.
#[derive(Clone, Copy)]
pub(crate) struct Passive;

/// A lock that raises the level, and that panics when it is taken twice; a spin lock would stop the machine.
pub(crate) struct FakeLock<T>(Mutex<T>);

impl<T: Send> Lock<T> for FakeLock<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R + Send) -> R {
        if let Some(first) = BEFORE_LOCK.take() {
            irql::on_another_processor(first);
        }
        irql::calls("KeAcquireInStackQueuedSpinLock");
        let mut value = self.0.try_lock().expect("the lock is free");
        irql::at(Irql::Dispatch, || work(&mut value))
    }
}

/// An event that counts how often it was set. It may be released only at PASSIVE_LEVEL.
pub(crate) struct FakeEvent(Arc<AtomicU64>);

impl Signal for FakeEvent {
    fn set(&self) {
        irql::calls("KeSetEvent");
        self.0.fetch_add(1, Relaxed);
    }
}

impl Drop for FakeEvent {
    fn drop(&mut self) {
        assert!(irql::is_passive() || std::thread::panicking(), "an event is let go of above PASSIVE_LEVEL");
    }
}

impl Kernel for Fake {
    type Lock<T: Send> = FakeLock<T>;
    type Event = FakeEvent;
    type Passive = Passive;

    fn now() -> u64 {
        NOW.get()
    }

    fn event(_: Passive, handle: NonZeroU64) -> Result<FakeEvent, Status> {
        irql::calls("ObReferenceObjectByHandle");
        let place = usize::try_from((handle.get() / 4).wrapping_sub(1)).unwrap_or(usize::MAX);
        let event = EVENTS.with_borrow(|events| events.get(place).cloned());
        event.map(FakeEvent).ok_or(Status::INVALID_HANDLE)
    }

    fn keep(_: Passive, setting: Setting, value: u32) -> Result<(), Status> {
        irql::calls("ZwSetValueKey");
        if IS_REGISTRY_FULL.get() {
            return Err(Status::INSUFFICIENT_RESOURCES);
        }
        KEPT.with_borrow_mut(|kept| kept.push((setting, value)));
        Ok(())
    }

    fn link(_: Passive, name: &[u16], target: &mut [u16]) -> Option<usize> {
        irql::calls("ZwOpenSymbolicLinkObject");
        let is_it = |link: &str| link.encode_utf16().eq(name.iter().copied());
        let (_, found) = LINKS.with_borrow(|links| links.iter().find(|(link, _)| is_it(link)).copied())?;
        let length = found.encode_utf16().count();
        target.get_mut(..length)?.iter_mut().zip(found.encode_utf16()).for_each(|(to, unit)| *to = unit);
        Some(length)
    }

    fn charge(purpose: Purpose) {
        PURPOSES.with_borrow_mut(|purposes| purposes.as_mut().map(|purposes| purposes.push(purpose)));
    }

    fn shows(level: Level) -> bool {
        level != Level::LockStatus && MESSAGES.with_borrow(Option::is_some)
    }

    fn show(level: Level, message: fmt::Arguments<'_>) {
        let message = format!("{level:?}: {message}");
        MESSAGES.with_borrow_mut(|messages| messages.get_or_insert_default().push(message));
    }
}

pub(crate) fn set_now(seconds: u64) {
    NOW.set(START + seconds * 1_000_000_000);
}

/// Sets the symbolic links of the object manager.
pub(crate) fn set_links(links: &[(&'static str, &'static str)]) {
    LINKS.set(links.to_vec());
}

/// Lets another processor take the lock first, when it is taken next.
pub(crate) fn before_lock(work: impl FnOnce() + 'static) {
    BEFORE_LOCK.set(Some(Box::new(work)));
}

/// Settings that were kept since the last call.
pub(crate) fn kept() -> Vec<(Setting, u32)> {
    KEPT.take()
}

/// Sets whether the registry takes nothing more.
pub(crate) fn fill_registry(is_full: bool) {
    IS_REGISTRY_FULL.set(is_full);
}

/// Messages since the last call. The first call starts the recording.
pub(crate) fn messages() -> Vec<String> {
    MESSAGES.replace(Some(Vec::new())).unwrap_or_default()
}

/// Purposes that memory was charged to since the last call. The first call starts the recording.
pub(crate) fn purposes() -> Vec<Purpose> {
    PURPOSES.replace(Some(Vec::new())).unwrap_or_default()
}

/// Makes an event. Returns its handle and the counter of how often it was set.
pub(crate) fn event() -> (u64, Arc<AtomicU64>) {
    let event = Arc::new(AtomicU64::new(0));
    let handle = EVENTS.with_borrow_mut(|events| {
        events.push(event.clone());
        4 * events.len() as u64
    });
    (handle, event)
}

pub(crate) fn driver() -> Driver<Fake> {
    let host = Host { version: (10, 0, 19045), architecture: "x86", id: [7; 16], ..Host::default() };
    Driver::new(&host).expect("there is memory")
}

/// The timer expires; its DPC runs at DISPATCH_LEVEL.
pub(crate) fn tick(driver: &Driver<Fake>) {
    irql::at(Irql::Dispatch, || driver.tick());
}

pub(crate) fn open(driver: &Driver<Fake>) -> Handle {
    driver.open(None).expect("there is memory")
}

pub(crate) fn start(driver: &Driver<Fake>, pid: u32) {
    driver.process_started(
        Passive,
        &Process { pid, created: Some(1), path: Some(&utf16("x")), ..Process::default() },
    );
}

pub(crate) fn utf16(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

pub(crate) fn control(
    driver: &Driver<Fake>,
    handle: Handle,
    operation: Operation,
    input: &[u8],
    output: usize,
) -> Result<Vec<u8>, Status> {
    let mut buffer = input.to_vec();
    buffer.resize(input.len().max(output), 0xEE);
    let code = operation.control_code().0;
    let request = Control { code, buffer: &mut buffer, input: input.len(), output };
    let length = driver.control(Passive, handle, request)?;
    Ok(buffer[..length].to_vec())
}

/// How many packets were lost because they could not be read.
pub(crate) fn lost_packets(driver: &Driver<Fake>, reader: Handle) -> u64 {
    let reply = control(driver, reader, Operation::GetStatistics2, &[], 4096).expect("there is room");
    hone_api::Statistics::parse(&reply).expect("it is sound").dropped_by_source.packets
}

/// Everything that waits for the reader, up to the first read that returns nothing.
pub(crate) fn read(driver: &Driver<Fake>, handle: Handle) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match driver.read(handle, &mut buffer).expect("it is attached") {
            0 => return all,
            length => all.extend_from_slice(&buffer[..length]),
        }
    }
}

/// A section header without options and an interface. They precede blocks when the test has already read the beginning
/// of the section.
const FRAMES: [u8; 48] =
    *b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0\
    \x01\0\0\0\x14\0\0\0\x65\0\0\0\0\0\0\0\x14\0\0\0";

/// Blocks as text, with the bytes of packets.
pub(crate) fn tell(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let begins = bytes.starts_with(&FRAMES[..4]);
    let mut told = tell_section(&if begins { bytes.to_vec() } else { [&FRAMES, bytes].concat() });
    told.drain(..if begins { 0 } else { 2 });
    told
}

/// The times of blocks; the test has already read the beginning of their section.
pub(crate) fn times(bytes: &[u8]) -> Vec<u64> {
    let mut reader = Reader::new();
    reader.feed(&[&FRAMES, bytes].concat()).expect("there is memory");
    let mut times = Vec::new();
    while let Some(item) = reader.next_block().expect("the blocks are sound") {
        times.extend(match item.block {
            Block::Packet(packet) => Some(packet.timestamp),
            Block::Process(event) => Some(event.timestamp),
            Block::Connection(event) => Some(event.timestamp),
            _ => None,
        });
    }
    times
}

fn tell_section(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut reader = Reader::new();
    reader.feed(bytes).expect("there is memory");
    let mut told = Vec::new();
    while let Some(item) = reader.next_block().expect("the blocks are sound") {
        told.push(match item.block {
            Block::Packet(packet) => {
                let way = if packet.flags == Some(1) { "in" } else { "out" };
                let of = (packet.connection, packet.process);
                (format!("packet {way} {of:?} {}", packet.original_length), packet.data.into_owned())
            }
            block => (block_in_words(&block), Vec::new()),
        });
    }
    reader.finish().expect("it ends with a block");
    told
}

pub(crate) fn words(bytes: &[u8]) -> Vec<String> {
    tell(bytes).into_iter().map(|(words, _)| words).collect()
}

fn block_in_words(block: &Block<'_>) -> String {
    let text = |text: &Option<std::borrow::Cow<'_, [u8]>>| {
        text.as_deref().map_or("-".to_owned(), |text| String::from_utf8_lossy(text).replace('\0', "|"))
    };
    match block {
        Block::Section(section) => {
            format!(
                "section {} / {} / {}",
                text(&section.hardware),
                text(&section.os),
                text(&section.application)
            )
        }
        Block::Interface(interface) => format!("interface {}", interface.snap_length),
        Block::Process(event) if event.kind == ProcessEventKind::Ended => {
            format!("process {} ends", event.process)
        }
        Block::Process(event) => format!(
            "process {} <- {:?} {} {} {} {}",
            event.process,
            event.parent,
            text(&event.path),
            text(&event.command_line),
            text(&event.arguments),
            text(&event.security_id)
        ),
        Block::Connection(event) => {
            let what = if event.kind == ConnectionEventKind::Closed { "closes" } else { "opens" };
            format!("connection {:#x} of {} {what}", event.connection, event.process)
        }
        Block::Statistics(_) => "statistics".to_owned(),
        other => format!("block {:#x}", other.kind()),
    }
}
