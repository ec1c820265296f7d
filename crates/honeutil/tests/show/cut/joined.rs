//! What several recordings become.

use super::*;

/// A recording of a host, with packets at these milliseconds. Its statistics do not say when it was recorded.
pub(super) fn of_host(host: &'static str, start: u64, millis: &[u64]) -> Vec<u8> {
    recording(host, start, millis, None)
}

/// A recording of the host "a" from one millisecond to another, with packets at these milliseconds.
fn recorded(from: u64, to: u64, millis: &[u64]) -> Vec<u8> {
    recording("a", NOON, millis, Some((from, to)))
}

fn recording(host: &'static str, start: u64, millis: &[u64], recorded: Option<(u64, u64)>) -> Vec<u8> {
    let at = |millis: u64| start + millis * 1_000_000;
    let mut stream = Stream::new(ByteOrder::Little);
    stream.bytes.clear();
    stream.section_of(101, Some(HostId::Name(Cow::Borrowed(host))));
    stream.process(7, ProcessEventKind::Started, |event| {
        event.timestamp = NOON - 1_000_000_000;
        event.path = Some(Cow::Borrowed(b"/bin/one"));
    });
    for millis in millis {
        let data = v4(6, HERE, THERE, &tcp(u16::try_from(*millis).unwrap(), 9, 3));
        stream.block(&Block::Packet(hone_pcapng::Packet {
            timestamp: at(*millis),
            original_length: u32::try_from(data.len()).unwrap(),
            data: Cow::Owned(data),
            flags: Some(2),
            process: Some(7),
            ..hone_pcapng::Packet::default()
        }));
    }
    stream.block(&Block::Statistics(Statistics {
        timestamp: at(recorded.map_or(*millis.last().unwrap(), |(_, to)| to)),
        start_time: recorded.map(|(from, _)| at(from)),
        end_time: recorded.map(|(_, to)| at(to)),
        received: Some(millis.len() as u64),
        accepted: Some(millis.len() as u64),
        delivered: Some(millis.len() as u64),
        ..Statistics::default()
    }));
    stream.bytes
}

/// The source ports of the packets.
fn ports(bytes: &[u8]) -> Vec<u16> {
    let words = packets(&[], &[bytes]);
    words
        .iter()
        .map(|line| line.split("10.0.0.1:").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap())
        .collect()
}

#[test]
fn files_of_one_recording_are_joined_in_the_order_of_time() {
    // The last packet of a file may be a little later than the first of the next one.
    let files = [[1, 700], [600, 1300], [1200, 1900]].map(|millis| of_host("a", NOON, &millis));
    let [one, two, three] = &files;
    let expected = files.concat();
    for inputs in [[one, two, three], [three, one, two], [two, three, one]] {
        let inputs: Vec<_> = inputs.iter().map(|bytes| &bytes[..]).collect();
        assert_eq!(cut(&["--all-events"], &inputs).bytes, expected);
    }
    let twice = [&two[..], one].concat();
    let kept = cut(&["--all-events"], &[&twice]).bytes;
    assert_eq!(kept, twice, "the order of one input is never changed");
}

#[test]
fn recordings_of_one_host_that_overlap_become_one_section() {
    let first = of_host("a", NOON, &[1, 2000, 4000, 6000]);
    let second = of_host("a", NOON, &[1000, 3000, 5000, 7000]);
    let Cut { bytes, said, .. } = cut(&[], &[&second, &first]);
    assert_eq!(ports(&bytes), [1, 1000, 2000, 3000, 4000, 5000, 6000, 7000]);
    assert!(said.starts_with("8 of 8 packets, 1 process, 0 connections: "), "{said}");
    let what: Vec<_> = blocks(&bytes).into_iter().map(|(what, _)| what).collect();
    assert_eq!(what.iter().filter(|what| *what == "section").count(), 1);
    assert_eq!(what.iter().filter(|what| *what == "interface").count(), 1, "it is the same");
    assert_eq!(what.iter().filter(|what| *what == "Started 7").count(), 1, "both say the same of it");
    assert_eq!(what.iter().filter(|what| *what == "statistics").count(), 2);
    let some = cut(&["--port", "3000", "--port", "6000"], &[&second, &first]).bytes;
    assert_eq!(ports(&some), [3000, 6000]);

    // What one of them says of a later time is not said too early.
    let mut late = Stream::new(ByteOrder::Little);
    late.bytes.clear();
    late.section_of(101, Some(HostId::Name(Cow::Borrowed("a"))));
    late.exec(7, b"/bin/two", 0, b"root");
    late.bytes.extend(&of_host("a", NOON, &[3000, 9000])[section_bytes(&of_host("a", NOON, &[1]))..]);
    let bytes = cut(&[], &[&late.bytes, &first]).bytes;
    let shown = packets(&[], &[&bytes]);
    assert_eq!(ports(&bytes), [1, 2000, 3000, 4000, 6000, 9000]);
    assert!(shown[1].contains(" one ") && shown[2].contains(" two "), "{shown:?}");
}

/// How many sections there are.
fn sections(bytes: &[u8]) -> usize {
    blocks(bytes).iter().filter(|(what, _)| what == "section").count()
}

/// The packets of some ports, and all others.
fn two_cuts(arguments: &[&str], recording: &[u8], some: &[&str]) -> [Vec<u8>; 2] {
    ["--port", "--not-port"].map(|word| {
        let ports = some.iter().flat_map(|port| [word, port]);
        let all: Vec<_> = arguments.iter().copied().chain(ports).collect();
        cut(&all, &[recording]).bytes
    })
}

#[test]
fn cuts_of_one_recording_become_one_section_in_the_order_of_time() {
    // Also of a recording that is shorter than a second, and of one that is incomplete, which has no statistics.
    let short = recorded(0, 6000, &[1, 50, 100, 150]);
    let torn = &short[..short.len() - blocks(&short).last().unwrap().1.len()];
    for whole in [&short[..], torn, &recorded(0, 6000, &[1, 50, 2000, 4000])] {
        for arguments in [&[][..], &["--all-events"]] {
            let middle = ports(whole)[2].to_string();
            let [one, two] = two_cuts(arguments, whole, &["1", &middle]);
            for inputs in [[&one[..], &two], [&two, &one]] {
                let bytes = cut(arguments, &inputs).bytes;
                assert_eq!((ports(&bytes), sections(&bytes)), (ports(whole), 1));
            }
        }
    }
}

#[test]
fn files_of_one_recording_keep_their_sections_however_many_packets_leave_late() {
    // Files of a few milliseconds: all packets of the second one were held since the first one was written.
    let files = [(0, 20, [1, 9]), (20, 25, [3, 8]), (25, 40, [8, 30])];
    let files = files.map(|(from, to, millis)| recorded(from, to, &millis));
    let [one, two, three] = &files;
    for inputs in [[one, two, three], [three, one, two], [two, three, one]] {
        let inputs: Vec<_> = inputs.iter().map(|bytes| &bytes[..]).collect();
        assert_eq!(cut(&["--all-events"], &inputs).bytes, files.concat());
    }
    // Cuts of the same file become one section again, and those of the next file follow.
    let cuts: Vec<_> = [recorded(0, 20, &[1, 5, 7, 19]), recorded(20, 40, &[18, 25, 30, 35])]
        .iter()
        .flat_map(|file| two_cuts(&[], file, &["1", "7", "18", "30"]))
        .collect();
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let inputs = order.map(|at: usize| &cuts[at][..]);
        let bytes = cut(&[], &inputs).bytes;
        assert_eq!((ports(&bytes), sections(&bytes)), (vec![1, 5, 7, 19, 18, 25, 30, 35], 2));
    }
}

#[test]
fn a_file_that_is_named_twice_is_refused() {
    let directory = TempDir::new().unwrap();
    let one = file(&directory, "one.pcapng", &recorded(0, 20, &[1, 9]));
    let link = directory.path().join("link.pcapng");
    std::fs::hard_link(&one, &link).unwrap();
    let out = directory.path().join("out.pcapng");
    for second in [&one, &link] {
        let output = honeutil(["show", "-w"]).arg(&out).args([&one, second]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = format!(
            "honeutil: {} and {} are the same file, whose packets would be written twice: name it once\n",
            one.display(),
            second.display()
        );
        assert_eq!((said, output.status.code()), (expected, Some(1)));
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2, "nothing was made");
    }
}

/// How long the section header, the interface and the process of a recording are.
fn section_bytes(recording: &[u8]) -> usize {
    blocks(recording).iter().take(3).map(|(_, raw)| raw.len()).sum()
}

#[test]
fn interfaces_that_differ_stay_apart_in_one_section() {
    let first = of_host("a", NOON, &[1, 2000, 4000]);
    let second = of_host("a", NOON, &[1000, 3000]);
    let mut other = Vec::new();
    let interface = Interface {
        link_type: 1,
        snap_length: 77,
        description: None,
        resolution: Resolution::NANOS,
        offset_seconds: 0,
        other: Vec::new(),
    };
    let of_second = blocks(&second);
    other.extend(&of_second[0].1);
    interface.emit(ByteOrder::Little, &mut other).unwrap();
    of_second[2..].iter().for_each(|(_, raw)| other.extend(raw));
    let bytes = cut(&[], &[&first, &other]).bytes;
    let found: Vec<_> = lines(&["--json"], &[&bytes])
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|object| object["event"]["action"] == "packet")
        .map(|object| object["hone"]["packet"]["interface"].as_u64().unwrap_or(0))
        .collect();
    assert_eq!(found, [0, 1, 0, 1, 0]);
}

#[test]
fn hosts_stay_apart_as_sections() {
    let one = of_host("a", NOON, &[1, 2000, 4000]);
    let two = of_host("b", NOON, &[1000, 3000]);
    let three = of_host("a", NOON, &[6000]);
    let joined = cut(&["--all-events"], &[&three, &two, &one]).bytes;
    assert_eq!(joined, [&one[..], &two, &three].concat());
    // Joined with another, the hosts of one file are found again.
    let four = of_host("b", NOON, &[1500, 4000]);
    let again = cut(&[], &[&joined, &four]).bytes;
    assert_eq!((ports(&again), sections(&again)), (vec![1, 2000, 4000, 1000, 1500, 3000, 4000, 6000], 3));
    // Without an identity, nobody knows.
    let mut nameless = Stream::new(ByteOrder::Little);
    nameless.bytes.clear();
    nameless.section_of(101, None);
    nameless.packet(&v4(6, HERE, THERE, &tcp(1, 9, 3)), 2, None, None);
    let joined = cut(&[], &[&nameless.bytes, &nameless.bytes]).bytes;
    assert_eq!(joined, nameless.bytes.repeat(2));
}
