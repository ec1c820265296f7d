//! Packets in forms that the network stack seldom passes on: chains of lists, what is still in a tunnel, ICMP.

use hone_pcapng::{Block, Reader};
use hone_wine_tests::{Driver, NOW, driver};

/// Calls the callout of an inbound or outbound layer, and returns the packets that a reader then reads.
fn recorded(driver: &mut Driver, commands: &[String]) -> Vec<Vec<u8>> {
    driver.stand_in.set_clock(NOW);
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    let beginning = probe.read(file);
    for command in commands {
        driver.stand_in.tell(command);
    }
    let mut reader = Reader::new();
    reader.feed(&[beginning, probe.read(file)].concat()).expect("there is memory");
    let mut packets = Vec::new();
    while let Some(item) = reader.next_block().expect("the recording is sound") {
        if let Block::Packet(packet) = item.block {
            packets.push(packet.data.into_owned());
        }
    }
    packets
}

/// Finding 11 of reading the driver against the documentation.
#[test]
fn every_list_of_a_chain_is_walked() {
    let Some(mut driver) = driver() else { return };
    // The stand-in puts the first packet into one list and the others into the next.
    let datagrams = ["1234003500080000", "1234003500090000,01", "123400,35000a00000102"];
    let packets: String = datagrams.iter().map(|datagram| format!(" packet={datagram}")).collect();
    let command = format!("classify 12 protocol=17 local=0a000001 remote=0a000002{packets}");
    let lengths: Vec<_> = recorded(&mut driver, &[command]).iter().map(Vec::len).collect();
    assert_eq!(lengths, [28, 29, 30]);
}

/// Findings 1 and 3.
#[test]
fn icmp_is_recorded_from_its_ip_header_and_a_tunnels_packet_when_it_has_left_the_tunnel() {
    const TUNNEL: u32 = 0x04;
    const DETUNNELED: u32 = 0x20;
    let Some(mut driver) = driver() else { return };
    let packet = "4500001e00070000400166d60a0000020a00000100000000000100020102";
    let bytes: Vec<u8> = (0..packet.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&packet[at..at + 2], 16).expect("it is hexadecimal"))
        .collect();
    let command = |transport: u32, ipsec: u32| {
        let ends = "protocol=1 local=0a000001 remote=0a000002";
        format!(
            "classify 10 {ends} ip=20 transport={transport} headroom=34 ipsec={ipsec} packet={}{packet}",
            "ee".repeat(14)
        )
    };
    let commands =
        [command(8, 0), command(0, 0), command(8, TUNNEL), command(8, TUNNEL | DETUNNELED), command(14, 0)];
    assert_eq!(recorded(&mut driver, &commands), vec![bytes; 4]);
}

#[test]
fn memory_is_mapped_before_it_is_read_and_what_cannot_be_mapped_is_counted() {
    let Some(mut driver) = driver() else { return };
    // Three pieces, of which the network stack has mapped the second.
    let datagram = "123400,350008,0000";
    let command = |unmappable: &str| {
        format!("classify 12 protocol=17 local=0a000001 remote=0a000002{unmappable} packet={datagram}")
    };
    let commands = ["", " unmappable=0", " unmappable=2", " unmappable=1"].map(command);
    let recorded = recorded(&mut driver, &commands);
    assert_eq!(recorded.len(), 2, "what is mapped already cannot fail");
    for packet in recorded {
        assert_eq!(packet[20..26], [0x12, 0x34, 0, 0x35, 0, 8]);
    }
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    assert_eq!(probe.statistics(file).dropped_by_source.packets, 2);
}
