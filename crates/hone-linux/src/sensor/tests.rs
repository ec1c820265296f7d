//! Live: the real programs and the real ring buffer, into which a program of the test's own writes what is no record.

use std::net::UdpSocket;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::Instant;

use hone_engine::{NoOwner, Owner, Wait};
use libbpf_rs::libbpf_sys;

use libbpf_rs::skel::Skel as _;

use super::*;
use crate::assembler::{self, code};

fn start() -> Option<Sensor> {
    if !hone_testing::ready(&[]) {
        return None;
    }
    let config = SensorConfig { ring_bytes: 8 << 20, ..SensorConfig::default() };
    let mut sensor = Sensor::start(&config).expect("the sensor starts");
    sensor.restate(&mut |_| {}).expect("the state is read");
    Some(sensor)
}

fn map(sensor: &Sensor, name: &str) -> MapHandle {
    let map =
        sensor._skeleton.object().maps().find(|map| map.name() == name).expect("the object has this map");
    MapHandle::try_from(&map).expect("it has a descriptor")
}

/// A program that writes these bytes into the ring buffer each time it is run: `bpf_ringbuf_output()` from its stack.
fn injector(ring: &MapHandle, bytes: &[u8]) -> OwnedFd {
    assert!(bytes.len() <= 512 && bytes.len().is_multiple_of(8), "a program's stack has 512 bytes, in words");
    let start = -i64::try_from(bytes.len()).expect("it is short");
    let mut program: Vec<u64> = bytes
        .chunks_exact(4)
        .zip((start..).step_by(4))
        .map(|(word, at)| {
            let word = i32::from_ne_bytes(word.try_into().expect("it has 4 bytes"));
            code(0x62, 10, at, word.into()) // *(u32 *)(r10 + at) = word
        })
        .collect();
    program.extend([
        code(0x18, 0x11, 0, ring.as_fd().as_raw_fd().into()), // r1 = the map with this descriptor
        0,
        code(0xBF, 0xA2, 0, 0),      // r2 = r10
        code(0x07, 0x02, 0, start),  // r2 += start
        code(0xB7, 0x03, 0, -start), // r3 = length
        code(0xB7, 0x04, 0, 0),      // r4 = 0: no flags
        code(0x85, 0, 0, 130),       // bpf_ringbuf_output
        code(0xB7, 0, 0, 0),         // r0 = 0
        code(0x95, 0, 0, 0),         // return
    ]);
    assembler::load(libbpf_sys::BPF_PROG_TYPE_SCHED_CLS, c"inject", &program)
}

fn inject(program: &OwnedFd) {
    // What the program runs on: an Ethernet frame of zeros.
    let frame = [0_u8; 64];
    let mut options = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t,
        data_in: frame.as_ptr().cast(),
        data_size_in: 64,
        repeat: 1,
        ..Default::default()
    };
    // SAFETY: the options say how long they and the frame are; both live through the call.
    let result = unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut options) };
    assert_eq!(result, 0, "the program runs: {}", std::io::Error::last_os_error());
}

/// Owners of the received datagrams with the tag that the sensor reports, until it has reported one.
fn owners_of(tag: &[u8], sensor: &mut Sensor) -> Result<Vec<Owner>, SensorError> {
    let begun = Instant::now();
    let mut owners = Vec::new();
    while owners.is_empty() && begun.elapsed() < Duration::from_secs(20) {
        sensor.poll(Duration::from_millis(20), 4096, &mut |event| {
            if let Event::Packet(packet) = event
                && packet.data.ends_with(tag)
                && packet.direction == hone_engine::Direction::Inbound
            {
                owners.push(packet.owner);
            }
        })?;
    }
    Ok(owners)
}

#[test]
fn a_record_that_cannot_be_read_is_lost_alone_and_recording_goes_on() {
    let Some(mut sensor) = start() else { return };
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    let address = receiver.local_addr().expect("it is bound");
    let tag = b"hone-linux: what cannot be read is lost alone";
    let ring = map(&sensor, "events");
    // A packet whose last sender is nobody; a process without a number; a use by nobody; a kind that nobody knows.
    let mut packet = [0; 304];
    (packet[0], packet[4], packet[36], packet[37]) = (1, 200, 1, 2);
    let head = |kind: u8| {
        let mut head = [0; 56];
        head[0] = kind;
        head
    };
    for bytes in [&packet[..], &head(5), &head(7), &head(200)] {
        inject(&injector(&ring, bytes));
        receiver.send_to(tag, address).expect("it is sent");
        let owners = owners_of(tag, &mut sensor).expect("recording goes on");
        assert_eq!(owners.len(), 1, "the packet behind it is recorded");
    }
    let lost = sensor.decoder.lost();
    assert_eq!(lost, SourceDrops { packets: 2, processes: 1, connections: 1 }, "each by its kind");
    let drops = sensor.drops().expect("the counters are read");
    let counted = drops.packets >= 2 && drops.processes >= 1 && drops.connections >= 1;
    assert!(counted, "they are among what was dropped: {drops:?}");

    let injector = injector(&ring, &head(200));
    let ended = (0..100_000).find_map(|_| {
        inject(&injector);
        sensor.poll(Duration::ZERO, 1, &mut |_| {}).err()
    });
    assert!(matches!(ended, Some(SensorError::Records { .. })), "a stream of them is an error: {ended:?}");
}

/// Each packet's connection is named before it, with those of the packets behind it: what was in the ring buffer at that
/// moment, whatever was skipped there, and round its end.
#[test]
fn connections_are_named_before_their_packets() {
    let Some(mut sensor) = start() else { return };
    sensor.announce(true);
    let sockets: Vec<_> = (0..40).map(|_| UdpSocket::bind("127.0.0.1:0").expect("there are ports")).collect();
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    let address = receiver.local_addr().expect("it is bound");
    let injector = injector(&map(&sensor, "events"), &[5; 16]);
    let (mut packets, mut named, mut most) = (0, Vec::new(), 0);
    // More than the ring buffer has room for, so that it comes round.
    for round in 0..15 {
        for socket in sockets.iter().cycle().take(200) {
            socket.send_to(&[0; 1200], address).expect("it is sent");
        }
        inject(&injector);
        let begun = Instant::now();
        let target = (round + 1) * 200;
        while packets < target && begun.elapsed() < Duration::from_secs(20) {
            let polled = sensor.poll(Duration::from_millis(20), 256, &mut |event| match event {
                Event::Expected(connections) => {
                    named.clear();
                    named.extend_from_slice(connections);
                    most = most.max(named.len());
                }
                Event::Packet(packet) => {
                    let is_named = packet.connection.is_none_or(|connection| named.contains(&connection));
                    assert!(is_named, "{packet:?}");
                    packets += usize::from(packet.direction == hone_engine::Direction::Outbound);
                }
                _ => {}
            });
            polled.expect("recording goes on");
        }
        assert!(packets >= target, "all are recorded: {packets} of {target}");
    }
    assert!(most > 1, "several are named at once");
}

/// What another processor sees of a socket while this one makes its state and has not filled it in yet: nobody holds it, and
/// it is not known to be the socket's own. Before, the packet had a listener's owner who was nobody, and could not be read.
#[test]
fn a_packet_that_comes_while_its_sockets_state_is_made_waits_for_its_owner() {
    let Some(mut sensor) = start() else { return };
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    let sender = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    let states = map(&sensor, "sockets");
    let blank = vec![0; states.value_size() as usize];
    states
        .update(&receiver.as_raw_fd().to_ne_bytes(), &blank, MapFlags::ANY)
        .expect("the socket has a state");
    let tag = b"hone-linux: its state is being made";
    sender.send_to(tag, receiver.local_addr().expect("it is bound")).expect("it is sent");
    let owners = owners_of(tag, &mut sensor).expect("recording goes on");
    assert_eq!(owners, [Owner::Wait(Wait::Use, Err(NoOwner::Shared))]);
    assert_eq!(sensor.decoder.lost(), SourceDrops::default());
}
