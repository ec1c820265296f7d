//! Packets in the form of the network stack: lists of net buffers, each a chain of memory descriptors.

use std::ptr::null_mut;

use crate::descriptors::Mdl;

/// `NET_BUFFER`, and more fields that the driver must not read.
#[repr(C)]
pub(crate) struct NetBuffer {
    next: *mut NetBuffer,
    current: *mut Mdl,
    current_offset: u32,
    length: u64,
    pub(crate) chain: *mut Mdl,
    offset: u32,
    rest: [u64; 20],
}

/// `NET_BUFFER_LIST`, and more fields that the driver must not read.
#[repr(C)]
pub(crate) struct NetBufferList {
    pub(crate) next: *mut NetBufferList,
    pub(crate) first: *mut NetBuffer,
    rest: [u64; 40],
}

/// Net buffers with their chains of descriptors. They must not move while this exists.
pub(crate) type Owned = Vec<(Box<NetBuffer>, Vec<Mdl>)>;

/// The packets as net buffers in a chain of two lists, and the memory to which these point. The first packet is alone in
/// its list.
pub(crate) fn net_buffers(packets: &mut [Vec<Vec<u8>>], headroom: u32) -> ([NetBufferList; 2], Owned) {
    let mut owned = Owned::new();
    for packet in packets {
        let total: usize = packet.iter().map(Vec::len).sum();
        let length = total as u64 - u64::from(headroom);
        let pieces = packet.iter_mut().enumerate();
        let mut chain: Vec<Mdl> = pieces.map(|(index, piece)| Mdl::new(index, piece)).collect();
        for index in (1..chain.len()).rev() {
            chain[index - 1].next = &raw mut chain[index];
        }
        let first = chain.as_mut_ptr();
        let buffer = Box::new(NetBuffer {
            next: null_mut(),
            current: first,
            current_offset: headroom,
            length,
            chain: first,
            offset: headroom,
            rest: [u64::MAX; 20],
        });
        owned.push((buffer, chain));
    }
    for index in (2..owned.len()).rev() {
        let next = &raw mut *owned[index].0;
        owned[index - 1].0.next = next;
    }
    let mut list = |first: usize| {
        let first = owned.get_mut(first).map_or(null_mut(), |(buffer, _)| &raw mut **buffer);
        NetBufferList { next: null_mut(), first, rest: [u64::MAX; 40] }
    };
    ([list(0), list(1)], owned)
}
