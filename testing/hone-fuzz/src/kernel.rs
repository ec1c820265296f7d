//! Fuzz target: the records that the kernel sends to `hone-linux`.

use std::cell::RefCell;

use hone_engine::Event;
use hone_linux::fuzzing::Records;

thread_local! {
    /// Made only once, because it asks the system for names.
    static RECORDS: RefCell<Records> = RefCell::new(Records::start());
}

/// Records, one after another. The data that they report must be within the input.
pub fn kernel_records(input: &[u8]) {
    let mut carried = 0;
    let read = RECORDS.with_borrow_mut(|records| {
        records.deliver(input, &mut |event| match event {
            Event::Packet(packet) => carried += packet.data.len(),
            Event::ProcessStarted(start) => {
                let path = start.path.unwrap_or_default();
                assert!(!path.is_empty() || start.path.is_none());
                assert!(start.container.is_none_or(|container| container.len() <= input.len()));
                assert!(start.unit.is_none_or(|unit| unit.len() <= input.len()));
                carried += start.arguments.map_or(0, <[u8]>::len);
            }
            _ => {}
        })
    });
    assert!(read <= input.len() && carried <= read);
}
