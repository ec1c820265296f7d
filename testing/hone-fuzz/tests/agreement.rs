//! The engine and the interface to it know nothing of each other; what they have in common is the same in both.

use hone_api::{Attribution, Unattributed, limits};
use hone_engine::{Config, Method, NoOwner};

#[test]
fn bounds_are_the_same() {
    assert_eq!(limits::MIN_RING_BYTES as usize, hone_engine::MIN_RING_BYTES);
    assert_eq!(limits::DEFAULT_RING_BYTES as usize, hone_engine::DEFAULT_RING_BYTES);
    assert_eq!(limits::MAX_RING_BYTES as usize, hone_engine::MAX_RING_BYTES);
    assert_eq!(limits::MAX_SNAP_LENGTH, hone_engine::MAX_PACKET_BYTES);
    let config = Config::default();
    assert!(config.max_ring_bytes <= limits::HARD_MAX_RING_BYTES as usize);
    assert!(config.max_filter_ids <= limits::MAX_FILTER_IDS);
    assert!(config.max_open_connections <= limits::MAX_OPEN_CONNECTIONS);
}

#[test]
fn every_way_of_attribution_is_at_its_number() {
    for (attribution, method) in [
        (Attribution::CurrentTask, Method::CurrentTask),
        (Attribution::LastSender, Method::LastSender),
        (Attribution::LastReceiver, Method::LastReceiver),
        (Attribution::Creator, Method::Creator),
        (Attribution::Accepted, Method::Accepted),
        (Attribution::Listener, Method::Listener),
        (Attribution::Connection, Method::Connection),
        (Attribution::Listed, Method::Listed),
        (Attribution::Reader, Method::Reader),
        (Attribution::Writer, Method::Writer),
    ] {
        assert_eq!(attribution.number(), method as usize);
    }
    for (unattributed, reason) in [
        (Unattributed::Kernel, NoOwner::Kernel),
        (Unattributed::NoSocket, NoOwner::NoSocket),
        (Unattributed::UnknownSocket, NoOwner::UnknownSocket),
        (Unattributed::HoldExpired, NoOwner::HoldExpired),
        (Unattributed::HoldFull, NoOwner::HoldFull),
        (Unattributed::TimeWait, NoOwner::TimeWait),
        (Unattributed::Forwarded, NoOwner::Forwarded),
        (Unattributed::Filtered, NoOwner::Filtered),
        (Unattributed::Shared, NoOwner::Shared),
    ] {
        assert_eq!(unattributed.number(), reason as usize);
    }
    assert!(Method::ALL.iter().enumerate().all(|(number, method)| *method as usize == number));
    assert!(NoOwner::ALL.iter().enumerate().all(|(number, reason)| *reason as usize == number));
}
