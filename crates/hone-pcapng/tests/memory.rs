//! Running out of memory, at every allocation in turn, is a value.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may abort")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::borrow::Cow;
use std::cell::Cell;

use common::{emit, interface};
use hone_pcapng::{
    Block, ByteOrder, EmitError, Packet, ProcessEvent, RawOption, ReadError, ReadErrorKind, Reader, Section,
};

thread_local! {
    /// How many allocations of this thread succeed before one fails; `None` for all.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Makes one allocation of a thread fail on request.
struct Failing;

/// Whether the allocation that is asked for now is the one to fail.
fn fails() -> bool {
    LEFT.try_with(|left| {
        let count = left.get();
        left.set(count.and_then(|count| count.checked_sub(1)));
        count == Some(0)
    })
    .unwrap_or(false)
}

// SAFETY: every call that does not fail is the system allocator's own, with the caller's arguments.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`, and the pointer is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the promises of `realloc`, and the pointer is the system allocator's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Runs `action` with the n-th of its allocations failing. The second value: whether it made that many.
fn failing<T>(n: usize, action: impl FnOnce() -> T) -> (T, bool) {
    LEFT.set(Some(n));
    let result = action();
    (result, LEFT.replace(None).is_none())
}

fn blocks() -> Vec<Block<'static>> {
    let option = |code| RawOption { code, value: Cow::Borrowed(b"abc") };
    vec![
        Block::Section(Section { other: vec![option(1)], ..Default::default() }),
        Block::Interface(interface()),
        // Three parts: the second makes the value owned, the third makes it grow.
        Block::Process(ProcessEvent { arguments: Some(Cow::Owned(vec![7; 190_000])), ..Default::default() }),
        Block::Packet(Packet {
            other: vec![option(1), option(9), option(9), option(8), option(7)],
            ..Default::default()
        }),
    ]
}

#[test]
fn emitting_leaves_the_output_as_it_was() {
    for block in blocks() {
        let mut out = vec![1, 2, 3];
        let (result, failed) = failing(0, || block.emit(ByteOrder::Little, &mut out));
        assert!(failed, "it needs memory");
        assert_eq!(result, Err(EmitError::OutOfMemory));
        assert_eq!(out, [1, 2, 3]);
        let (result, failed) = failing(1, || block.emit(ByteOrder::Little, &mut out));
        assert!(!failed, "it needs memory once");
        assert_eq!(result, Ok(()));
    }
}

#[test]
fn reading_goes_on_when_there_is_memory_again() {
    let blocks = blocks();
    let stream = emit(&blocks, ByteOrder::Big);
    let mut failures = 0;
    for n in 0.. {
        let mut reader = Reader::new();
        let mut seen = 0;
        let mut out_of_memory = |error: ReadError| {
            assert_eq!(error.reason, ReadErrorKind::OutOfMemory);
            failures += 1;
        };
        let mut attempt = |reader: &mut Reader| -> Result<(), ReadError> {
            while let Some(item) = reader.next_block()? {
                // Only comparing: the test itself must not allocate here.
                assert!(item.block == blocks[seen]);
                seen += 1;
            }
            Ok(())
        };
        let ((), failed) = failing(n, || {
            if let Err(error) = reader.feed(&stream) {
                out_of_memory(error);
                reader.feed(&stream).unwrap();
            }
            if let Err(error) = attempt(&mut reader) {
                out_of_memory(error);
                attempt(&mut reader).unwrap();
            }
        });
        assert_eq!(seen, blocks.len());
        assert_eq!(reader.finish(), Ok(()));
        if !failed {
            assert_eq!(failures, n, "each allocation failed once");
            assert!(n >= 6, "the stream takes memory in each way there is: {n}");
            return;
        }
    }
}
