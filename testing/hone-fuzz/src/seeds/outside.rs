//! Seeds for the targets that read files, frames and the kernel's records.

use std::borrow::Cow;
use std::io::Write as _;

use hone_api::{List, LogLevels, Operation, Request, SnapLength};
use hone_client::protocol::{Attach, Extra, Header, Kind, MemoryRow};
use hone_pcapng::{
    Block, ByteOrder, ConnectionEvent, ConnectionEventKind, Corrected, Correction, Direction, Interface,
    Method, Packet, Resolution, Section,
};

/// An IPv4 packet with UDP, an IPv6 packet with a hop-by-hop header and TCP.
const V4: &[u8] = b"\x45\0\0\x20\0\x01\0\0\x40\x11\0\0\x0a\0\0\x01\x0a\0\0\x02\x04\xd2\0\x35\0\x0c\0\0xxxx";
const V6: &[u8] =
    b"\x60\0\0\0\0\x1d\0\x40\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\
    \x06\0\x01\x04\0\0\0\0\0\x50\x9c\x40\0\0\0\x01\0\0\0\x01\x50\x12\x01\0\0\0\0\0y";

/// A PKTAP header with a process and the one that it acts for, before a packet of this link type.
const fn pktap(link_type: u8) -> [u8; 108] {
    let mut header = [0; 108];
    (header[0], header[4], header[8], header[36]) = (108, 1, link_type, 2);
    (header[12], header[52], header[56], header[84], header[88]) = (b'e', 7, b'a', 8, b'b');
    header
}

/// Each supported link type, one unsupported, and the bytes before the IP header.
const LINKS: [(u16, &[u8], &[u8]); 17] = [
    (0, b"\x02\0\0\0", V4),
    (1, b"\0\0\0\0\0\0\0\0\0\0\0\0\x81\0\0\x01\x08\0", V4),
    (1, b"\0\0\0\0\0\0\0\0\0\0\0\0\x88\x64\x11\0\0\x01\0\x40\0\x57", V6),
    (9, b"\xff\x03\0\x21", V4),
    (12, b"", V4),
    (14, b"", V6),
    (50, b"\x0f\0\x08\0", V4),
    (101, b"", V4),
    (104, b"\x0f\0\x86\xdd", V6),
    (105, b"wireless", V4),
    (108, b"\0\0\0\x18", V6),
    (113, b"\0\0\0\x01\0\x06\0\0\0\0\0\0\0\0\x86\xdd", V6),
    (228, b"", V4),
    (229, b"", V6),
    (258, &pktap(101), V4),
    (258, &pktap(255), V4),
    (276, b"\x86\xdd\0\0\0\0\0\x01\0\x01\0\x06\0\0\0\0\0\0\0\0", V6),
];

/// For [`show_stream`](crate::show_stream): the seeds of [`pcapng_reader`](super::pcapng_reader), packets of every link
/// type in both formats, and a packet with a correction.
#[must_use]
pub fn show_stream() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        super::pcapng_reader().iter().map(|seed| [&[seed[0], 0], &seed[1..]].concat()).collect();
    for (number, (link_type, header, ip)) in LINKS.into_iter().enumerate() {
        let data = [header, ip].concat();
        let length = u32::try_from(data.len()).expect("it is short");
        let packet = Packet {
            original_length: length,
            data: Cow::Borrowed(&data),
            connection: Some(7),
            process: Some(42),
            flags: Some(1),
            how: Some(Ok(Method::Reader)),
            ..Packet::default()
        };
        let correction = ConnectionEvent {
            connection: 7,
            process: 43,
            timestamp: 1,
            kind: ConnectionEventKind::Correction,
            correction: Some(Correction {
                packets: if number % 2 == 0 {
                    Corrected::Time(0)
                } else {
                    Corrected::Bytes { from: 1, to: 9 }
                },
                direction: Direction::Inbound,
                how: Some(Ok(Method::Reader)),
            }),
            ..ConnectionEvent::default()
        };
        let mut seed = vec![255, u8::try_from(number).expect("there are few")];
        for block in [
            Block::Section(Section::default()),
            Block::Interface(interface(link_type)),
            Block::Packet(packet),
            Block::Connection(correction),
        ] {
            block.emit(ByteOrder::Little, &mut seed).expect("the block is sound");
        }
        seeds.push(seed);
        // libpcap's format, in both byte orders, with microseconds and with nanoseconds.
        let (magic, is_big) =
            [(0xA1B2_C3D4_u32, false), (0xA1B2_3C4D, false), (0xA1B2_C3D4, true)][number % 3];
        let word = |word: u32| if is_big { word.to_be_bytes() } else { word.to_le_bytes() };
        let half = |half: u16| if is_big { half.to_be_bytes() } else { half.to_le_bytes() };
        let mut seed = vec![9, 1];
        seed.extend([word(magic), [half(2), half(4)].concat().try_into().expect("four bytes")].concat());
        seed.extend([0, 0, 65_535, link_type.into()].map(word).concat());
        for _ in 0..2 {
            seed.extend([1, 2, length, length].map(word).concat());
            seed.extend(&data);
        }
        seeds.push(seed);
    }
    seeds
}

fn interface(link_type: u16) -> Interface<'static> {
    Interface {
        link_type,
        snap_length: 0,
        description: None,
        resolution: Resolution::NANOS,
        offset_seconds: 0,
        other: Vec::new(),
    }
}

/// For [`show_compressed`](crate::show_compressed): the same content, plain and compressed in several ways.
#[must_use]
pub fn show_compressed() -> Vec<Vec<u8>> {
    let content = [V4, V6, &b"some data ".repeat(40)].concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&content).expect("memory takes what is written");
    let gzip = gzip.finish().expect("memory takes what is written");
    let zstd = |level, checksum| {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), level).expect("there is such a level");
        encoder.include_checksum(checksum).expect("it can be set");
        encoder.write_all(&content).expect("memory takes what is written");
        encoder.finish().expect("memory takes what is written")
    };
    let (fast, best) = (zstd(1, false), zstd(19, true));
    vec![content.clone(), [&gzip[..], &gzip].concat(), [&fast[..], &best].concat(), best, fast, gzip]
}

/// For [`filter_expression`](crate::filter_expression): what [`limits.md`] and tcpdump's manual have, each with a packet.
///
/// [`limits.md`]: https://www.tcpdump.org/manpages/pcap-filter.7.html
#[must_use]
pub fn filter_expression() -> Vec<Vec<u8>> {
    let expressions = [
        "tcp port 443 and not net 10.0.0.0/8",
        "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
        "src or dst host 10.0.0.1 or ip6 host fe80::1",
        "udp src and dst portrange 1000-2000 or 53",
        "net 192.168 or net 10.0.0.0 mask 255.0.0.0 or dst net 2001:db8::/32",
        "ip[0] & 0xf != 5 and ip[6:2] & 0x1fff = 0",
        "tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)",
        "icmp[icmptype] = icmp-echo or icmp6 or sctp or proto \\tcp or ip proto 17",
        "len > 100 and less 1500 || greater 40 && !(multicast or ip broadcast)",
        "inbound and (port (80 or 443)) or outbound",
        "1 + 2 * 3 / 4 % 5 - 6 ^ 7 << 1 >> 2 = len",
        "ether host 1:2:3:4:5:6",
    ];
    let packets = [V4, V6];
    let seed = |(number, text): (usize, &str)| [text.as_bytes(), &[0], packets[number % 2]].concat();
    expressions.into_iter().enumerate().map(seed).collect()
}

/// For [`selection_text`](crate::selection_text): every word and its opposite with a value in each notation, each with a
/// packet; and what is refused.
#[must_use]
pub fn selection_text() -> Vec<Vec<u8>> {
    let selections: [&[&str]; 7] = [
        &["--pid", "8", "--name", "curl", "--not-name", r"evil\x1b.sh", "--children"],
        &["--path", "/usr/bin/", "--not-path", r"C:\Tools\", "--user", "1000", "--not-user", "S-1-5-18"],
        &[
            "--group",
            "users",
            "--container",
            "3f4a",
            "--unit",
            "ssh",
            "--not-unit",
            "a.service",
            "--children",
        ],
        &["--conn", "18446744073709551615", "--port", "53", "--not-port", "0", "--direction", "out"],
        &["--host", "10.0.0.0/8", "--not-host", "fe80::1", "--not-direction", "in"],
        &["--filter", "tcp port 443 and not net 10.0.0.0/8", "--not-filter", "len > 4 * (2 + 1)"],
        &["--name", "\u{fffd}", "--nonsense", "--filter"],
    ];
    let packets = [V4, V6];
    let seed = |(number, arguments): (usize, &[&str])| {
        let text = arguments.iter().flat_map(|argument| argument.bytes().chain([0]));
        text.chain(packets[number % 2].iter().copied()).collect()
    };
    selections.into_iter().enumerate().map(seed).collect()
}

/// For [`option_values`](crate::option_values): option values in every notation, valid and invalid.
#[must_use]
pub fn option_values() -> Vec<Vec<u8>> {
    let values = [
        "0.5",
        "250ms",
        "10s",
        "1.5h",
        "365d",
        "1M",
        "1048576",
        "3g",
        "16T",
        "262144",
        "65535",
        "4294967295",
        "18446744073709551615",
        "10.0.0.0/8",
        "fe80::/10",
        "0x1f",
        "warning,information",
        "Lock Status",
        "all",
        "listener",
        "--name nc --not-user 'a b' --port=4444",
        "tcp port 4444",
        "# a list\n192.0.2.1\n2001:db8::/32 # a network\n",
    ];
    values.map(|value| value.as_bytes().to_vec()).to_vec()
}

/// For [`configuration`](crate::configuration): the packaged configuration, and one with every key.
#[must_use]
pub fn configuration() -> Vec<Vec<u8>> {
    let every = "socket = '/run/hone/hone.sock'\nsocket_group = \"hone\"\nring_buffer_size = 1048576\n\
        max_readers = 128\nblock_memory = 512\nsensor_buffer = 64\nhash_executables = true\ncomment = \"\\u0041\"\n\
        host_id = '{00112233-4455-6677-8899-aabbccddeeff}'\nlog_level = ['warning', 'verbose']\n";
    let packaged = include_str!("../../../../packaging/hone.toml");
    [every, "log_level = 0x1f\nhost_id = 'web-7'\n", "", packaged]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}

/// For [`local_files`](crate::local_files): each list with one socket, and a manifest.
#[must_use]
pub fn local_files() -> Vec<Vec<u8>> {
    let v4 = "   1: 0F02000A:8B24 5E2A1FAC:01BB 01 00000000:00000000 02:000005A8 00000000  1000        0 98123 2 ffff9\n";
    let v6 = "   2: 0000000000000000FFFF00000100007F:0016 0000000000000000FFFF00000100007F:9C40 01 00000000:00000000 \
        00:00000000 00000000 0 0 32 2 ffff 0\n";
    let mut seeds: Vec<_> = (0..10).map(|list| [&[list], v4.as_bytes(), v6.as_bytes()].concat()).collect();
    let manifest =
        "# What `honeutil install` has made.\ndirectory /etc/hone\nfile /usr/local/bin/honed\ngroup hone\n";
    seeds.push([&[128], manifest.as_bytes()].concat());
    seeds
}

fn frame(kind: Kind, code: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    [&Header::new(kind, code, sequence, payload.len()).encode(), payload].concat()
}

/// Each request that honed knows, once.
fn requests() -> Vec<Vec<u8>> {
    let mut ids = [0; 64];
    let ids = List::write([1_u32, 2], &mut ids).expect("there is room");
    let mut long = [0; 64];
    let long = List::write([1_u64, 1 << 40], &mut long).expect("there is room");
    let requests = [
        Request::GetVersion,
        Request::FilterProcesses(ids),
        Request::IncludeConnections(long),
        Request::SetSnapLength(SnapLength::lenient(96)),
        Request::SetPacketIds(true),
        Request::GetSnapLength,
        Request::MarkRestart,
        Request::GetStatistics,
        Request::GetStatistics2,
        Request::SetRingBytes(1 << 16),
        Request::GetLogLevels,
        Request::SetLogLevels(LogLevels::default()),
    ];
    let mut frames = vec![frame(Kind::Request, Extra::Attach.number(), 1, &Attach::default().encode())];
    frames.extend((2..).zip(requests).map(|(number, request)| {
        let mut input = [0; 64];
        let length = request.encode(&mut input).expect("there is room");
        frame(Kind::Request, request.operation().number(), number, &input[..length])
    }));
    let list = Operation::SetOpenConnections2.number();
    frames.push(frame(
        Kind::Request,
        list,
        20,
        &1_u32.to_le_bytes().iter().copied().chain([0; 72]).collect::<Vec<_>>(),
    ));
    for (extra, input) in
        [(Extra::GetMemory, &[][..]), (Extra::Detach, &[]), (Extra::Save, &[]), (Extra::Stop, &[0; 4])]
    {
        frames.push(frame(Kind::Request, extra.number(), 30, input));
    }
    frames
}

/// For [`server_session`](crate::server_session): every request alone and after an attach, and all requests together.
#[must_use]
pub fn server_session() -> Vec<Vec<u8>> {
    let requests = requests();
    let mut seeds: Vec<_> = requests.iter().map(|request| [&requests[0][..], request].concat()).collect();
    seeds.extend(requests.iter().cloned());
    seeds.push(requests.concat());
    seeds.push(frame(Kind::Request, 0xEEE, 9, b"not known"));
    seeds.push(frame(Kind::Reply, 0, 9, b"not a request"));
    seeds
}

/// For [`server_frames`](crate::server_frames): the same inputs, in pieces.
#[must_use]
pub fn server_frames() -> Vec<Vec<u8>> {
    (1..).zip(server_session()).map(|(piece, seed)| [&[piece], &seed[..]].concat()).collect()
}

/// For [`client_frames`](crate::client_frames): complete conversations, from the service's side.
#[must_use]
pub fn client_frames() -> Vec<Vec<u8>> {
    let hello = frame(Kind::Hello, 0, 0, &hone_api::ApiVersion::of_service([0, 1, 0, 0]).encode());
    let blocks = frame(Kind::Blocks, 0, 0, b"blocks of a stream");
    let end = [frame(Kind::SectionEnd, 0, 0, b""), frame(Kind::End, 0, 0, b"honed was stopped")].concat();
    let statistics = frame(Kind::Reply, 0x906, 1, &hone_api::Statistics::default().reply());
    let memory = frame(Kind::Reply, 0xB04, 2, &MemoryRow { component: 1, count: 2, bytes: 3 }.encode());
    let levels = frame(Kind::Reply, 0xB03, 2, &[7, 0, 0, 0]);
    let refusal = frame(Kind::Refusal, 6, 0, b"too many readers");
    let talks: [(u8, &[&[u8]]); 6] = [
        (0xFC, &[&hello, &blocks, &blocks, &end]),
        (0x05, &[&hello, &blocks, &statistics, &blocks, &memory, &end]),
        (0x09, &[&hello, &statistics, &blocks, &blocks, &blocks, &levels, &end]),
        (0x00, &[&hello, &blocks, &refusal]),
        (0x00, &[&refusal]),
        (0x0F, &[&hello, &refusal, &blocks, &end]),
    ];
    talks.iter().map(|(how, frames)| [&[*how][..], &frames.concat()].concat()).collect()
}

/// For [`kernel_records`](crate::kernel_records): one record of each kind, laid out as in `bpf/abi.h`.
#[must_use]
pub fn kernel_records() -> Vec<Vec<u8>> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    let task = [9 | 5 << 22, 1];
    let packet = |direction: u8, method: u8, offload: u8, wait: u8| {
        let length = u32::try_from(V4.len()).expect("it is short");
        let mut record = words(&[1, length, 77, 0, 9, 0, task[0], task[1], 60]);
        record.extend([direction, method, offload, wait]);
        record.extend(words(&[4, 0]));
        record.extend(V4);
        record
    };
    let socket = |kind, flags| words(&[kind, flags, 77, 0, 9, 0, task[0], task[1], 5, 6]);
    let process = |kind, flags| {
        let (cgroup, path, arguments) =
            (&b"docker-3f\0system.slice\0"[..], &b"curl\0bin\0usr\0"[..], &b"curl\0-v\0"[..]);
        let lengths = [path, arguments, cgroup].map(|part| u32::try_from(part.len()).expect("it is short"));
        let [path_length, arguments_length, cgroup_length] = lengths;
        let mut record = words(&[kind, 1, 77, 0, task[0], task[1], 1000, 100, path_length, arguments_length]);
        record.extend(words(&[flags, cgroup_length, 7, 4_026_531_840]));
        // The file: inode, size, change time, device, kind of file system.
        record.extend(words(&[40, 0, 5_000, 0, 9, 0, 77, 8, 0xEF53, 0]));
        record.extend([cgroup, path, arguments].concat());
        record
    };
    let mut seeds: Vec<_> =
        (0..=14).map(|method| packet(1 + method % 2, method, method % 4, method % 5)).collect();
    seeds.extend((2..=3).map(|kind| socket(kind, 0)));
    seeds.extend((1..=6).map(|settles| socket(7, settles | 40 << 8)));
    seeds.extend([1, 2].map(|corrects| socket(8, corrects | 1 << 8 | 14 << 16)));
    seeds.extend((4..=6).map(|kind| process(kind, kind & 1)));
    let all = seeds.concat();
    seeds.push(all);
    seeds
}
