//! The stand-in is as strict as the documentation: each of its rules makes a test fail that breaks it. And the driver when
//! WFP calls it on several processors at once.

use hone_api::Operation;
use hone_engine::Filter;
use hone_pcapng::{Block, Reader};
use hone_wine_tests::{NOW, driver, start_processes};

#[test]
fn what_the_driver_must_not_do_fails_the_test() {
    let Some(mut driver) = driver() else { return };
    for (rule, said) in [
        ("level", "KeFlushQueuedDpcs is called at DISPATCH_LEVEL, but at most PASSIVE_LEVEL is allowed"),
        ("release", "a spin lock is released that this thread has not taken last"),
        ("twice", "a spin lock is taken by the thread that holds it"),
        ("held", "the driver returns with a spin lock"),
        ("paged", "memory of pool 1, which is paged, is used at DISPATCH_LEVEL"),
        ("stack", "bytes of stack, but at most 9216 are allowed"),
    ] {
        driver.stand_in.tell(&format!("misuse {rule}"));
        let failures = driver.take_failures();
        assert_eq!(failures.lines().count(), 1, "{rule}: {failures}");
        assert!(failures.contains(said), "{rule}: {failures}");
    }
    driver.stand_in.tell("misuse stale");
}

#[test]
fn a_layer_has_only_what_is_documented_for_it() {
    let Some(mut driver) = driver() else { return };
    let ends = "protocol=17 local=0a000001 remote=0a000002";
    for (command, said) in [
        (format!("classify 12 {ends} process=9"), "ProcessId does not exist at OutboundTransport"),
        (format!("classify 12 {ends} ip=20"), "IpHeaderSize does not exist at OutboundTransport"),
        (format!("classify 10 {ends} included=45"), "TransportHeaderIncludeHeader does not exist"),
        (format!("classify 4 {ends} endpoint=7 ip=20"), "IpHeaderSize does not exist at EndpointClosure"),
        (format!("classify 4 {ends} endpoint=7 packet=00"), "EndpointClosure has no packets"),
        (format!("classify 12 {ends} headroom=1 packet=00"), "nothing is in front of the data"),
    ] {
        let refusal = driver.stand_in.refused(&command);
        assert!(refusal.contains(said), "{command}: {refusal}");
    }
}

#[test]
fn on_several_processors_at_once_every_packet_is_recorded_or_counted() {
    const THREADS: u32 = 4;
    const ROUNDS: u32 = 500;
    const FIRST_PROCESS: u32 = 5000;
    const FIRST_ENDPOINT: u64 = 70;
    let Some(mut driver) = driver() else { return };
    for level in ["passive", "dispatch"] {
        driver.stand_in.tell(&format!("irql {level}"));
        driver.stand_in.set_clock(NOW);
        start_processes(&mut driver, FIRST_PROCESS, THREADS);
        let mut probe = driver.probe();
        let file = probe.open().expect("it is opened");
        let before = probe.statistics(file);
        // Meanwhile, another reader comes and goes, and sets filters.
        let mut other = driver.probe();
        let reader = std::thread::spawn(move || {
            for _ in 0..20 {
                let file = other.open().expect("it is opened");
                other.read(file);
                other
                    .control(file, hone_api::Operation::FilterConnections, &7_u32.to_le_bytes())
                    .expect("few");
                other.close(file);
            }
        });
        driver.stand_in.tell(&format!(
            "storm {THREADS} {ROUNDS} endpoint={FIRST_ENDPOINT} process={FIRST_PROCESS} protocol=17 \
             local=0a000001 remote=0a000002 ports=4660,53 packet=12340035,000a00000102"
        ));
        reader.join().expect("the other reader reads");
        let mut recording = probe.read(file);
        recording.extend(probe.read(file));
        let after = probe.statistics(file);
        let sent = u64::from(THREADS * (ROUNDS + 1));
        assert_eq!(after.received.packets - before.received.packets, sent, "{level}");
        assert_eq!(after.connection_opens - before.connection_opens, u64::from(THREADS), "{level}");
        assert_eq!(after.connection_closes - before.connection_closes, u64::from(THREADS), "{level}");
        assert_eq!((after.lost.packets, after.dropped_by_source.packets), (0, 0), "{level}");
        let counts = after.reader;
        assert_eq!(counts.queued.packets, 0, "{level}");
        assert_eq!(counts.received.packets, counts.delivered.packets + counts.dropped.packets, "{level}");
        let mut reader = Reader::new();
        reader.feed(&recording).expect("there is memory");
        let mut packets = 0;
        while let Some(item) = reader.next_block().expect("the recording is sound") {
            if let Block::Packet(packet) = item.block {
                let number = packet.connection.expect("it is of a connection") - FIRST_ENDPOINT;
                let owner = u64::from(packet.process.expect("its owner is known") - FIRST_PROCESS);
                assert_eq!((owner, packet.data.len()), (number, 30), "{level}");
                packets += 1;
            }
        }
        assert!(packets > 0 && packets == counts.delivered.packets, "{level}: {packets}");
    }
}

#[test]
fn no_call_uses_much_of_the_kernels_stack() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    let mut native = hone_wine_tests::Native::like(&probe.read(file));
    let reader = native.attach(0, NOW);
    native.set_filter(reader, Filter::ExcludeConnections(&[]));
    let words = [
        "--name\0C:/x/Y.exe\0--path\0C:\\x\\\0--user\0S-1-5-18\0--pid\x007\0--children\0--not-conn\x007\0",
        "--host\x0010.0.0.0/8\0--direction\0in\0--port\x007\0",
        "--not-filter\0tcp[tcpflags] & tcp-syn != 0 and (ip[2:2] * 4 > 7 or ip6) and dst portrange 5-7\0",
    ]
    .concat();
    for wrong in ["--filter\0port or\0", "--filter\0net 10.0.0.1/8\0", "--pid\0x\0", "--x\0x\0"] {
        probe.control(file, Operation::SetSelection, wrong.as_bytes()).expect_err("it is not sound");
    }
    probe.control(file, Operation::SetSelection, words.as_bytes()).expect("it is sound");
    hone_wine_tests::happen(&mut driver, &mut native, NOW + 1_000_000);
    probe.read(file);
    probe.statistics(file);
    // The bounds are the stand-in's: above them, every test fails.
    let most = driver.stand_in.tell("stack");
    eprintln!("the most bytes of stack in a call at PASSIVE_LEVEL and at DISPATCH_LEVEL: {most}");
    assert!(most.split(' ').all(|bytes| bytes.parse::<u32>().is_ok_and(|bytes| bytes > 256)), "{most}");
}
