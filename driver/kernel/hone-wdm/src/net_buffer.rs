//! Packets as the network stack passes them on: lists of net buffers, each a chain of memory descriptors.

use core::marker::PhantomData;
use core::ptr;
use core::slice;

use crate::pool;
use crate::sys::{self, MDL, NET_BUFFER, NET_BUFFER_LIST};

const KERNEL_MODE: i8 = 0;
/// `MmCached`.
const CACHED: u32 = 1;
/// `NormalPagePriority`, with the no-execute flag that Windows 8 added.
const NORMAL_PRIORITY: u32 = 16;
const NO_EXECUTE: u32 = 0x4000_0000;

/// The net buffers of a chain of lists. WFP documents a chain for other layers only ("Packet Indication Format"), but the
/// structure allows it everywhere, and a packet that is not walked to would be lost without a trace.
#[derive(Debug)]
pub struct NetBuffers<'a> {
    /// The list after the one that is walked.
    list: *const NET_BUFFER_LIST,
    buffer: *const NET_BUFFER,
    lifetime: PhantomData<&'a NET_BUFFER_LIST>,
}

impl NetBuffers<'_> {
    /// The net buffers of a list and of all lists that follow it. There are none if `list` is null.
    ///
    /// # Safety
    /// `list` is null, or points to a list that stays valid and unchanged, with everything it refers to, for the
    /// lifetime.
    pub(crate) const unsafe fn new(list: *const NET_BUFFER_LIST) -> Self {
        Self { list, buffer: ptr::null(), lifetime: PhantomData }
    }
}

impl<'a> Iterator for NetBuffers<'a> {
    type Item = NetBuffer<'a>;

    fn next(&mut self) -> Option<NetBuffer<'a>> {
        loop {
            // SAFETY: who made the iterator says that each list is well formed: null, or the next buffer.
            if let Some(buffer) = unsafe { self.buffer.as_ref() } {
                self.buffer = buffer.Next;
                return Some(NetBuffer(buffer));
            }
            // SAFETY: who made the iterator says that the chain is well formed: null, or the next list.
            let list = unsafe { self.list.as_ref() }?;
            (self.list, self.buffer) = (list.Next, list.FirstNetBuffer);
        }
    }
}

/// One packet.
#[derive(Debug)]
pub struct NetBuffer<'a>(&'a NET_BUFFER);

impl NetBuffer<'_> {
    /// Number of bytes in front of the data that belong to the buffer.
    #[must_use]
    pub const fn headroom(&self) -> usize {
        self.0.DataOffset as usize
    }

    /// Length of the data, in bytes.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.0.DataLength as usize
    }

    /// The data in pieces, beginning `back` bytes before its start. `None` if `back` is more than the headroom, if part
    /// of the memory cannot be mapped, or if there is less memory than the buffer says.
    #[must_use]
    pub fn segments(&self, back: usize) -> Option<Segments<'_>> {
        let skip = self.headroom().checked_sub(back)?;
        let left = self.length() + back;
        let mut end = 0;
        let mut next = self.0.MdlChain;
        while end < skip + left {
            // SAFETY: the chain is well formed: null, or the next descriptor.
            let mdl = unsafe { next.as_mut() }?;
            if end + mdl.ByteCount as usize > skip {
                map(mdl)?;
            }
            end += mdl.ByteCount as usize;
            next = mdl.Next;
        }
        Some(Segments { next: self.0.MdlChain, skip, left, buffer: PhantomData })
    }
}

/// Maps the memory of a descriptor into the kernel's address space, if it is not mapped yet
/// (`MmGetSystemAddressForMdlSafe`). The owner of the descriptor unmaps it.
fn map(mdl: &mut MDL) -> Option<()> {
    if is_mapped(mdl) || mdl.ByteCount == 0 {
        return Some(());
    }
    let priority = if pool::is_no_execute() { NORMAL_PRIORITY | NO_EXECUTE } else { NORMAL_PRIORITY };
    // SAFETY: the stack hands over descriptors of locked pages; kernel mode, no address asked for, no bug check. It may be
    // called at DISPATCH_LEVEL so.
    let address =
        unsafe { sys::MmMapLockedPagesSpecifyCache(mdl, KERNEL_MODE, CACHED, ptr::null_mut(), 0, priority) };
    (!address.is_null()).then_some(())
}

const fn is_mapped(mdl: &MDL) -> bool {
    mdl.MdlFlags & (sys::MDL_MAPPED_TO_SYSTEM_VA | sys::MDL_SOURCE_IS_NONPAGED_POOL) != 0
}

/// Iterates over the pieces of a packet.
#[derive(Debug, Clone)]
pub struct Segments<'a> {
    next: *const MDL,
    /// Bytes of the chain before the first piece.
    skip: usize,
    /// Bytes that are left in the pieces.
    left: usize,
    buffer: PhantomData<&'a [u8]>,
}

// SAFETY: a reference to it only reads: the chain, which does not change in this lifetime, and two numbers.
unsafe impl Sync for Segments<'_> {}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while self.left > 0 {
            // SAFETY: the chain is well formed: null, or the next descriptor.
            let mdl = unsafe { self.next.as_ref() }?;
            self.next = mdl.Next;
            let count = mdl.ByteCount as usize;
            if self.skip >= count {
                self.skip -= count;
                continue;
            }
            let taken = (count - self.skip).min(self.left);
            let start = mdl.MappedSystemVa.cast::<u8>().cast_const();
            // SAFETY: `segments` has mapped every descriptor from the first piece on, so this many bytes are there.
            let start = unsafe { start.add(self.skip) };
            self.skip = 0;
            self.left -= taken;
            // SAFETY: as above, and mapped as long as the buffer. A program whose own memory this is may write to it
            // meanwhile: then the packet is recorded as one or the other, or in between, as the network card may send it.
            return Some(unsafe { slice::from_raw_parts(start, taken) });
        }
        None
    }
}
