//! The same files in tshark and tcpdump: addresses, ports and lengths are equal, and so is what an expression lets
//! through.

use std::path::Path;
use std::process::Command;

use hone_pcapng::{ByteOrder, ProcessEventKind};
use serde_json::Value;

use crate::fixture::{Stream, tcp, udp, v4, v6};
use crate::tools::{file, honeutil};

/// Packets of all kinds that both can read: the tools' own idea of a broken one is not compared.
fn traffic() -> Vec<u8> {
    let mut stream = Stream::new(ByteOrder::Little);
    for index in 0..200_u8 {
        let (near, far) = ([10, 0, index % 3, 1], [192, 0, 2, index]);
        let port = 1000 + u16::from(index);
        let data = usize::from(index) * 5;
        let packet = match index % 7 {
            0 => v4(6, near, far, &tcp(port, 443, data)),
            1 => v4(6, far, near, &tcp(443, port, data)),
            2 => v4(17, near, far, &udp(port, 53, data)),
            3 => v6(6, 1, index, &tcp(port, 80, data)),
            4 => v6(17, index, 1, &udp(53, port, data)),
            5 => v4(1, near, far, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]),
            _ => {
                let mut fragment = v4(17, near, far, &[0; 40]);
                fragment[7] = 8;
                fragment
            }
        };
        // No packet: it has no number.
        stream.process(index.into(), ProcessEventKind::Started, |_| {});
        stream.packet(&packet, 1 + u32::from(index % 2), None, None);
    }
    stream.bytes
}

/// Runs a stock tool, if it is there.
fn stock(name: &str, arguments: &[&str], path: &Path) -> Option<String> {
    let Ok(output) = Command::new(name).args(arguments).arg(path).output() else {
        eprintln!("skipped: comparison with {name}: it is not installed");
        return None;
    };
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn addresses_ports_and_lengths_are_those_of_tshark() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "a.pcapng", &traffic());
    let fields = [
        "frame.time_epoch",
        "frame.len",
        "ip.src",
        "ip.dst",
        "ipv6.src",
        "ipv6.dst",
        "tcp.srcport",
        "tcp.dstport",
        "udp.srcport",
        "udp.dstport",
        "frame.number",
    ];
    let mut arguments = vec!["-n", "-o", "ip.defragment:FALSE", "-T", "fields", "-E", "occurrence=f"];
    arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
    arguments.push("-r");
    let Some(tshark) = stock("tshark", &arguments, &path) else { return };
    let output = honeutil(["show".as_ref(), "--json".as_ref(), path.as_os_str()]).output().unwrap();
    let objects: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|object: &Value| object["event"]["action"] == "packet")
        .collect();
    assert_eq!(objects.len(), 200);
    assert_eq!(tshark.lines().count(), 200);
    for (object, line) in objects.iter().zip(tshark.lines()) {
        let found: Vec<_> = line.split('\t').collect();
        let either = |a: usize, b: usize| if found[a].is_empty() { found[b] } else { found[a] };
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let port = |end: &str| object[end].get("port").map_or_else(String::new, text);
        assert_eq!(text(&object["network"]["bytes"]), found[1], "{line}");
        assert_eq!(text(&object["hone"]["frame"]), found[10], "{line}");
        assert_eq!(text(&object["source"]["ip"]), either(2, 4), "{line}");
        assert_eq!(text(&object["destination"]["ip"]), either(3, 5), "{line}");
        assert_eq!(port("source"), either(6, 8), "{line}");
        assert_eq!(port("destination"), either(7, 9), "{line}");
        let nanos = &object["@timestamp"].as_str().unwrap()[20..29];
        assert!(
            found[0].contains(&format!(".{nanos}")) || found[0].contains(nanos.trim_end_matches('0')),
            "{line}"
        );
    }
}

#[test]
fn expressions_let_through_what_tcpdump_lets_through() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "a.pcapng", &traffic());
    for expression in [
        "tcp",
        "udp",
        "icmp",
        "ip",
        "ip6",
        "not ip",
        "port 443",
        "tcp port 443 or 80",
        "udp port 53",
        "src port 53",
        "dst port 443 and src net 10.0.1.0/24",
        "net 192.0.2.0/25",
        "host 10.0.0.1",
        "src host 10.0.0.1 or 10.0.1.1",
        "portrange 1000-1050",
        "udp portrange 1000-1100 and ip6",
        "less 100",
        "greater 500",
        "len > 300 and len <= 700",
        "ip and tcp[tcpflags] & tcp-push != 0",
        "icmp[icmptype] = icmp-echo",
        "ip[6:2] & 0x1fff != 0",
        "not port 53",
        "ip[8] = 64",
        "ip and udp[4:2] > 200",
        "ip6 host fe80::1",
        "ip6 net fe80::/64",
        "tcp or udp and port 53",
        "not (tcp or udp)",
        "ip proto 17",
        "ip6 proto 6",
        "tcp and not src port 443",
        "udp and not port 53",
        "ip[2:2] = len",
        "(ip[0] & 0xf) << 2 = 20",
        "src or dst port 80",
        "ip host 192.0.2.7",
        "ip and not tcp[0:2] = 443",
        "ip and tcp[600] = 0x78",
        "ip and not tcp[200] = 0x79",
        "ip and not icmp[0] = 8",
        "port (53 or 80)",
    ] {
        let output = Command::new("tcpdump").args(["-nn", "-tttt", "-r"]).arg(&path).arg(expression).output();
        let Ok(output) = output else {
            eprintln!("skipped: comparison with tcpdump: it is not installed");
            return;
        };
        assert!(output.status.success(), "{expression}: {}", String::from_utf8_lossy(&output.stderr));
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        // Its times have microseconds, and each packet here has one of its own.
        let tcpdump: Vec<_> = stdout
            .lines()
            .filter(|line| line.starts_with("2026"))
            .filter_map(|line| line.split(' ').nth(1)?.split('.').nth(1).map(str::to_owned))
            .collect();
        let arguments = ["show".as_ref(), "--filter".as_ref(), expression.as_ref(), path.as_os_str()];
        let output = honeutil(arguments).output().unwrap();
        assert!(output.status.success(), "{expression}: {}", String::from_utf8_lossy(&output.stderr));
        let ours: Vec<_> =
            String::from_utf8(output.stdout).unwrap().lines().map(|line| line[20..26].to_owned()).collect();
        assert_eq!(ours, tcpdump, "{expression}");
    }
}
