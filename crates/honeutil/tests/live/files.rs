//! How recordings begin, go on in the next file, and end.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hone_pcapng::{Block, foreign};
use hone_testing::{Guarded, wait_for};
use rustix::process::Signal;

use crate::guard::ready;
use crate::network::{End, Network};
use crate::packet::Ip;
use crate::recorder::{HONEUTIL, Recorder, has_content};
use crate::recording::Recording;
use crate::tools;
use crate::traffic::Traffic;
use crate::truth::{Closing, Truth};

/// A server and a client that exchange so many datagrams, just started.
pub(crate) fn datagrams(network: &Network, count: usize, bytes: usize) -> [Traffic; 2] {
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let (server, address) = Traffic::server(network, End::B, &format!("udp-server {b}:0 {count} echo"));
    [
        Traffic::start(network, End::A, &format!("udp-client {a}:0 {address} {count} {bytes} connected")),
        server,
    ]
}

/// `--format wireshark`: each file describes the processes of its packets, and names them in the packets.
#[test]
fn each_file_in_the_form_of_wireshark_has_the_processes_of_its_packets() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start_in_directory(&["--format", "wireshark"]);
    let mut traffic = endless_datagrams(&network);
    await_recorded(&recorder, &network);
    recorder.signal(Signal::HUP);
    wait_for("the next file", || (recorder.files().len() == 2).then_some(()));
    await_recorded(&recorder, &network);
    let client = traffic[0].pid();
    traffic[0].go_on();
    let _ = traffic.map(Traffic::finish);
    recorder.signal(Signal::INT);
    let ended = recorder.wait();
    ended.assert_success();
    for file in &ended.files {
        let mut reader = hone_pcapng::Reader::new();
        reader.feed(&std::fs::read(file).expect("it is ours")).expect("it is sound");
        let (mut described, mut packets) = (HashSet::new(), 0);
        while let Some(item) = reader.next_block().expect("it is sound") {
            match &item.block {
                Block::Unknown { kind: foreign::CUSTOM, body } => {
                    let process = foreign::WiresharkProcess::parse(body, item.order).expect("it is sound");
                    described.insert(process.expect("Hone writes no other").process);
                }
                Block::Packet(packet) if packet.process.is_some() => {
                    let named =
                        foreign::process_threads(packet, item.order).next().and_then(|named| named.process);
                    assert_eq!(named, packet.process);
                    assert!(named.is_some_and(|pid| described.contains(&pid)), "{named:?} is not described");
                    packets += usize::from(named == Some(client));
                }
                _ => {}
            }
        }
        assert!(packets > 0, "{} has no packet of the client", file.display());
    }
}

/// SIGHUP in the midst of traffic: each file stands alone, and together they hold every packet once.
#[test]
fn rotation_loses_nothing_and_tells_nothing_twice() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start_in_directory(&[]);
    let mut traffic = endless_datagrams(&network);
    for number in 2..=4 {
        await_recorded(&recorder, &network);
        recorder.signal(Signal::HUP);
        wait_for("the next file", || {
            let files = recorder.files();
            (files.len() == number && files.iter().all(|file| has_content(file))).then_some(())
        });
    }
    await_recorded(&recorder, &network);
    traffic[0].go_on();
    let truth = Truth::told(traffic.map(Traffic::finish));
    recorder.signal(Signal::INT);
    let ended = recorder.wait();
    ended.assert_success();
    let files: Vec<Recording> = ended.files.iter().map(|file| Recording::read(file)).collect();
    for file in &files {
        assert_name(&file.path);
    }
    check_parts(&network, &truth, files);
}

/// As above, but the sections follow one another in one stream.
#[test]
fn rotation_of_standard_output_begins_a_new_section() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start_on_standard_output();
    let file = recorder.files().remove(0);
    let mut traffic = endless_datagrams(&network);
    await_recorded(&recorder, &network);
    recorder.signal(Signal::HUP);
    let magic = [hone_pcapng::block::SECTION.to_ne_bytes(), 0x1a2b_3c4d_u32.to_ne_bytes()];
    wait_for("the next section", || {
        let bytes = std::fs::read(&file).expect("it is there");
        // Type, length, magic.
        let headers = bytes.windows(12).filter(|words| words[..4] == magic[0] && words[8..] == magic[1]);
        (headers.count() == 2).then_some(())
    });
    await_recorded(&recorder, &network);
    traffic[0].go_on();
    let truth = Truth::told(traffic.map(Traffic::finish));
    recorder.signal(Signal::INT);
    let ended = recorder.wait();
    ended.assert_success();
    check_parts(&network, &truth, Recording::read_sections(&file));
}

/// A client and a server that exchange datagrams until the client is stopped.
pub(crate) fn endless_datagrams(network: &Network) -> [Traffic; 2] {
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let (server, address) = Traffic::server(network, End::B, &format!("udp-server {b}:0 any echo"));
    [Traffic::start(network, End::A, &format!("udp-client {a}:0 {address} any 100 connected")), server]
}

/// Waits until some more datagrams were exchanged.
pub(crate) fn await_more(client: &Traffic) {
    let mut before = u64::MAX;
    wait_for("more datagrams", || {
        let now = client.packets();
        // Before it has entered its namespace, these are the host's.
        before = before.min(now);
        (now >= before + 1000).then_some(())
    });
}

/// Waits until some more datagrams are in the newest file. They can be exchanged long before: a busy machine lets the
/// recorder wait.
pub(crate) fn await_recorded(recorder: &Recorder, network: &Network) {
    /// Bytes that are looked at in one go, and those of two addresses, which can be cut in two.
    const LOOKED_AT: u64 = 4 << 20;
    const ADDRESSES: usize = 8;
    let file = recorder.files().pop().expect("it records");
    let mut file = File::open(file).expect("the directory is ours");
    file.seek(SeekFrom::End(0)).expect("it is a file");
    let (mut packets, mut bytes) = (0, Vec::new());
    wait_for("more packets in the recording", || {
        file.by_ref().take(LOOKED_AT).read_to_end(&mut bytes).expect("the directory is ours");
        packets += network.packets_in(&bytes);
        bytes.drain(..bytes.len().saturating_sub(ADDRESSES - 1));
        (packets >= 200).then_some(())
    });
}

/// Each section stands alone, and together they hold everything once.
pub(crate) fn check_parts(network: &Network, truth: &Truth, mut sections: Vec<Recording>) {
    sections.sort_by_key(|section| section.statistics.expect("it was read whole").start_nanos);
    for section in &sections {
        truth.check_owners(network, section, Closing::ByOwner);
    }
    let is_amid_traffic = |section: &&Recording| {
        let packets = section.packets().filter_map(|packet| Ip::parse(&packet.data));
        packets.filter(|ip| network.has(ip.source)).count() >= 100
    };
    assert!(sections.iter().filter(is_amid_traffic).count() >= 2, "it was not cut in the midst of traffic");
    truth.check_payloads(network, &sections.iter().collect::<Vec<_>>());
    // All processes began before the last section, which restates them and reports their end.
    truth.check_processes(sections.last().expect("there are several"));
}

/// `HOST_YYYYMMDD_HHMMSS.pcapng`, and a number where that is taken.
fn assert_name(path: &Path) {
    let name = path.file_stem().and_then(|name| name.to_str()).expect("a name in UTF-8");
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let rest = name.strip_prefix(&host).and_then(|rest| rest.strip_prefix('_'));
    let mut parts = rest.unwrap_or_else(|| panic!("{name} does not begin with {host}")).split('_');
    let lengths = [parts.next(), parts.next()]
        .map(|part| part.filter(|part| part.bytes().all(|byte| byte.is_ascii_digit())).map(str::len));
    let number = parts.next().is_none_or(|number| number.parse::<u32>().is_ok());
    assert!(lengths == [Some(8), Some(6)] && number && parts.next().is_none(), "a file is named {name}");
}

/// [`Recorder::stop`] sends SIGINT in every other test.
#[test]
fn sigterm_ends_the_file_well() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start(&[]);
    let truth = Truth::told(datagrams(&network, 50, 100).map(Traffic::finish));
    recorder.signal(Signal::TERM);
    truth.check(&network, &recorder.wait().recording(), Closing::ByOwner);
}

#[test]
fn a_signal_in_the_midst_of_traffic_ends_the_file_well() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let recorder = Recorder::start(&[]);
    let (_server, address) = Traffic::server(&network, End::B, &format!("tcp-server {b}:0 1000"));
    let _client = Traffic::start(&network, End::A, &format!("tcp-client {a}:0 {address} 1000 5 1000000"));
    let file = recorder.files().remove(0);
    wait_for("some megabytes", || file.metadata().is_ok_and(|data| data.len() > 4 << 20).then_some(()));
    // `Recording::read`, which this calls, looks at the end of the file and at its counts.
    recorder.stop();
}

#[test]
fn count_stops_after_so_many_packets() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start(&["--count", "100"]);
    let traffic = datagrams(&network, 200, 100);
    let recording = recorder.wait().recording();
    assert_eq!(recording.packets().count(), 100);
    for traffic in traffic {
        traffic.finish();
    }
}

#[test]
fn duration_stops_after_so_long() {
    if !ready(&[]) {
        return;
    }
    let started = Instant::now();
    let recorder = Recorder::start(&["--duration", "1.5"]);
    recorder.wait().recording();
    assert!(started.elapsed() >= Duration::from_millis(1500), "it ended after {:?}", started.elapsed());
}

/// Only the captured length is cut; `Truth::check` compares both with the packet's own header.
#[test]
fn snap_length_cuts_what_is_captured() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start(&["-s", "64"]);
    let truth = Truth::told(datagrams(&network, 20, 1000).map(Traffic::finish));
    let recording = recorder.stop();
    assert_eq!(recording.snap_length, 64);
    let (captured, original): (HashSet<usize>, HashSet<usize>) =
        recording.packets().map(|packet| (packet.data.len(), packet.original_length)).unzip();
    assert!(captured.iter().all(|length| *length <= 64), "{captured:?}");
    assert!(original.contains(&(20 + 8 + 1000)), "{original:?}");
    truth.check(&network, &recording, Closing::ByOwner);
}

#[test]
fn a_pipe_into_tshark() {
    if !ready(&[]) {
        return;
    }
    const COUNT: usize = 100;
    let network = Network::new();
    let mut command = Command::new(HONEUTIL);
    // tshark could not keep up with the floods of the tests that run at the same time.
    command.args(["read", "--filter", &format!("net {}", network.range()), "-w", "-"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut honeutil = Guarded::spawn(&mut command);
    let pipe = honeutil.child().stdout.take().expect("it is piped");
    let mut command = Command::new("tshark");
    command.args(["-n", "-l", "-r", "-", "-T", "fields", "-e", "udp.srcport", "-e", "udp.dstport"]);
    let mut tshark = Guarded::spawn(command.stdin(pipe).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let (sender, lines) = std::sync::mpsc::channel();
    let stdout = tshark.child().stdout.take().expect("it is piped");
    std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });

    // Packets come out while the recording runs: first those of a sign that both are up.
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let port = |number: u16| format!("{number}\t");
    let mut seen: Vec<String> = Vec::new();
    wait_for("tshark shows a packet", || {
        let (server, address) = Traffic::server(&network, End::B, &format!("udp-server {b}:0 1 sink"));
        let probe = "udp-client".to_owned() + &format!(" {a}:40001 {address} 1 64 connected");
        // It waits for an answer that never comes, and is killed at the end of this look.
        let mut client = Traffic::start(&network, End::A, &probe);
        client.wait_for("datagram");
        server.finish();
        seen.extend(lines.recv_timeout(Duration::from_millis(500)));
        seen.iter().any(|line| line.starts_with(&port(40_001))).then_some(())
    });
    let (server, address) = Traffic::server(&network, End::B, &format!("udp-server {b}:0 {COUNT} echo"));
    let client =
        Traffic::start(&network, End::A, &format!("udp-client {a}:40002 {address} {COUNT} 64 connected"));
    client.finish();
    server.finish();
    let all =
        |seen: &[String]| seen.iter().filter(|line| line.starts_with(&port(40_002))).count() == 2 * COUNT;
    wait_for("all packets, while recording", || {
        seen.extend(lines.try_iter());
        all(&seen).then_some(())
    });

    honeutil.signal(Signal::INT);
    let status = honeutil.wait("honeutil ends");
    assert!(status.success(), "honeutil ended with {status}: {}", stderr(&mut honeutil));
    assert!(tshark.wait("tshark ends").success());
    let errors = stderr(&mut tshark);
    assert!(tools::complaints(&errors).is_empty(), "tshark complains: {errors}");
    seen.extend(lines.iter());
    assert!(all(&seen), "a packet came twice");
}

/// As with `| head`: nothing to say, but no success either.
#[test]
fn a_reader_that_closes_the_pipe_ends_it_quietly() {
    if !ready(&[]) {
        return;
    }
    let mut command = Command::new(HONEUTIL);
    command.args(["read", "-w", "-"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut honeutil = Guarded::spawn(&mut command);
    let mut pipe = honeutil.child().stdout.take().expect("it is piped");
    let mut first = [0; 4];
    pipe.read_exact(&mut first).expect("it writes");
    assert_eq!(first, hone_pcapng::block::SECTION.to_ne_bytes());
    drop(pipe);
    let status = honeutil.wait("honeutil ends without a reader");
    let said = stderr(&mut honeutil);
    // It may have begun before it noticed.
    let usual =
        |line: &str| line.starts_with("Left out: the traffic of ") || line == "Recording to standard output";
    assert!(status.code() == Some(1) && said.lines().all(usual), "{status}: {said}");
}

/// The rest of what a child that has ended said.
fn stderr(process: &mut Guarded) -> String {
    let mut text = String::new();
    let stderr = process.child().stderr.as_mut().expect("it is piped");
    stderr.read_to_string(&mut text).expect("it says text");
    text
}
