//! `honeutil repair`: what it keeps, what it says, and what it leaves alone.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hone_pcapng::{ByteOrder, Interface, Packet, ProcessEvent, Reader, Resolution, Section, Statistics};

/// A whole recording of 200 packets, and where each of its blocks ends.
fn recording() -> (Vec<u8>, Vec<usize>) {
    let (order, mut bytes, mut ends) = (ByteOrder::Little, Vec::new(), Vec::new());
    let interface = Interface {
        link_type: 101,
        snap_length: 0,
        description: None,
        resolution: Resolution::NANOS,
        offset_seconds: 0,
        other: Vec::new(),
    };
    Section::default().emit(order, &mut bytes).unwrap();
    interface.emit(order, &mut bytes).unwrap();
    ProcessEvent { process: 7, path: Some(Cow::Borrowed(b"/usr/bin/seven")), ..ProcessEvent::default() }
        .emit(order, &mut bytes)
        .unwrap();
    let mut state = 1_u64;
    for number in 0..200 {
        let data: Vec<u8> = (0..400)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect();
        let packet = Packet { data: data.into(), process: Some(7), timestamp: number, ..Packet::default() };
        packet.emit(order, &mut bytes).unwrap();
        ends.push(bytes.len());
    }
    Statistics::default().emit(order, &mut bytes).unwrap();
    (bytes, ends)
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Standard output and standard error, of which one is empty.
    #[track_caller]
    fn run(&self, arguments: &[&str], status: i32) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_honeutil"));
        command.args(arguments).current_dir(&self.directory).stdin(Stdio::null());
        let output = command.output().unwrap();
        let [out, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(output.status.code(), Some(status), "{out}{error}");
        assert!(out.is_empty() || error.is_empty() || arguments[0] == "show", "{out}{error}");
        out + &error
    }
}

/// How many packets a sound recording has.
fn packets(path: &Path) -> usize {
    let mut reader = Reader::new();
    reader.feed(&fs::read(path).unwrap()).unwrap();
    let mut packets = 0;
    while let Some(item) = reader.next_block().unwrap() {
        packets += usize::from(matches!(item.block, hone_pcapng::Block::Packet(_)));
    }
    reader.finish().unwrap();
    packets
}

#[test]
fn a_torn_end_is_cut_off_and_what_was_cut_is_said() {
    let (whole, ends) = recording();
    // Torn within a block; zeros after a power cut; something else's bytes.
    for (tail, what) in [
        (&whole[ends[99]..ends[99] + 1001], "1,001 bytes from offset"),
        (&[0; 5000][..], "5,000 bytes, all zero, from offset"),
        (&[0xA5; 777], "777 bytes from offset"),
    ] {
        let place = Place::new();
        let torn = [&whole[..ends[99]], tail].concat();
        let path = place.write("web.pcapng", &torn);
        let shown = place.run(&["show", "web.pcapng"], 1);
        assert!(shown.contains("`honeutil repair FILE`"), "{shown}");
        let said = place.run(&["repair", "web.pcapng"], 0);
        let offsets = format!("{what} {} to {}", ends[99], torn.len());
        assert!(said.starts_with("Cut off     ") && said.contains(&offsets), "{said}");
        assert!(said.contains("103 blocks, 100 packets and 1 section among them"), "{said}");
        assert!(
            said.contains("has no statistics") && said.ends_with("Written     web.repaired.pcapng\n"),
            "{said}"
        );
        assert_eq!(fs::read(place.path("web.repaired.pcapng")).unwrap(), &whole[..ends[99]]);
        assert_eq!(fs::read(&path).unwrap(), torn, "it stays as it is");
        assert_eq!(place.names(), ["web.pcapng", "web.repaired.pcapng"]);
        place.run(&["show", "web.repaired.pcapng"], 0);
    }
}

#[test]
fn a_whole_file_is_left_alone() {
    let place = Place::new();
    let (whole, _) = recording();
    place.write("web.pcapng", &whole);
    place.write("web.pcapng.zst", &zstd::stream::encode_all(&whole[..], 3).unwrap());
    place.write("empty.pcapng", b"");
    for file in ["web.pcapng", "web.pcapng.zst", "empty.pcapng"] {
        for more in [&[][..], &["-o", "out"], &["--skip-damage"]] {
            let said = place.run(&[&["repair", file], more].concat(), 0);
            assert!(said.ends_with("Written     nothing: the file is whole\n"), "{said}");
        }
    }
    place.run(&["repair", "--in-place", "web.pcapng"], 0);
    assert_eq!(place.names(), ["empty.pcapng", "web.pcapng", "web.pcapng.zst"]);
    assert_eq!(fs::read(place.path("web.pcapng")).unwrap(), whole);
}

#[test]
fn in_place_only_the_torn_end_goes() {
    let place = Place::new();
    let (whole, ends) = recording();
    let path = place.write("web.pcapng", &whole[..ends[5] + 3]);
    let said = place.run(&["repair", "--in-place", "web.pcapng"], 0);
    assert!(
        said.contains("3 bytes from offset") && said.contains("Written     web.pcapng, in place"),
        "{said}"
    );
    assert_eq!(fs::read(&path).unwrap(), &whole[..ends[5]]);
    assert_eq!(place.names(), ["web.pcapng"]);
}

/// A recorder writes whole blocks in pieces: its end may look torn, and must not be cut off below it.
#[test]
fn a_file_that_is_still_written_is_not_cut_in_place() {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicBool, Ordering};
    let place = Place::new();
    let (whole, ends) = recording();
    let path = place.write("web.pcapng", &whole[..ends[5] + 3]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::File::options().append(true).open(&path).unwrap();
            for byte in whole[ends[5] + 3..].iter().take(2000) {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                file.write_all(&[*byte]).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        let said = place.run(&["repair", "--in-place", "web.pcapng"], 1);
        done.store(true, Ordering::Relaxed);
        assert!(said.contains("it has just been written: end the recording first"), "{said}");
    });
    assert!(fs::read(&path).unwrap().len() > ends[5] + 3);
}

#[test]
fn nothing_is_ever_overwritten() {
    let place = Place::new();
    let (whole, ends) = recording();
    place.write("web.pcapng", &whole[..ends[5] + 3]);
    for name in ["web.repaired.pcapng", "out"] {
        place.write(name, b"precious");
        let more = if name == "out" { &["-o", "out"][..] } else { &[] };
        let said = place.run(&[&["repair", "web.pcapng"], more].concat(), 1);
        assert!(
            said.contains(&format!("{name} exists already: remove it, or name another (-o OUT)")),
            "{said}"
        );
        assert_eq!(fs::read(place.path(name)).unwrap(), b"precious");
    }
    let said = place.run(&["repair", "web.pcapng", "-o", "web.pcapng"], 1);
    assert!(said.contains("web.pcapng exists already"), "{said}");
    let said = place.run(&["repair", "web.pcapng", "-o", "no/such"], 1);
    assert!(said.contains("cannot write no/such: No such file"), "{said}");
    place.run(&["repair", "web.pcapng", "-o", "new"], 0);
    assert_eq!(fs::read(place.path("new")).unwrap(), &whole[..ends[5]]);
}

/// What stands behind a damaged block is never left out in silence.
#[test]
fn damage_in_the_middle_is_told_and_skipped_only_when_asked() {
    let place = Place::new();
    let (whole, ends) = recording();
    let mut damaged = whole.clone();
    for block in [20, 90] {
        damaged[ends[block] + 4..ends[block] + 600].fill(0);
    }
    damaged.extend([1, 2, 3]);
    let path = place.write("web.pcapng", &damaged);
    for arguments in [&["repair", "web.pcapng"][..], &["repair", "--in-place", "web.pcapng"]] {
        let said = place.run(arguments, 1);
        for word in [
            "damaged, and not only at its end",
            &format!("offset {} cannot be read: its length is 0", ends[20]),
            &format!("from offset {} to {}", ends[90], ends[91]),
            "Before are 24 blocks, behind 178 sound blocks with 177 packets",
            "--skip-damage",
            "Nothing was written",
        ] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
    assert_eq!(place.names(), ["web.pcapng"]);
    assert_eq!(fs::read(&path).unwrap(), damaged);
    let said = place.run(&["repair", "--skip-damage", "web.pcapng"], 0);
    assert_eq!(said.lines().filter(|line| line.starts_with("Left out")).count(), 2, "{said}");
    assert!(said.contains("Cut off     3 bytes from offset"), "{said}");
    let kept = [&whole[..ends[20]], &whole[ends[21]..ends[90]], &whole[ends[91]..]].concat();
    assert_eq!(fs::read(place.path("web.repaired.pcapng")).unwrap(), kept);
    assert_eq!(packets(&place.path("web.repaired.pcapng")), 198);
}

#[test]
fn of_a_torn_compressed_file_is_kept_what_can_be_decompressed() {
    let (whole, ends) = recording();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &whole).unwrap();
    for (name, compressed) in [
        ("web.pcapng.zst", zstd::stream::encode_all(&whole[..], 3).unwrap()),
        ("web.pcapng.gz", gzip.finish().unwrap()),
    ] {
        // What was sent cannot be compressed, so the lengths are nearly the same.
        for part in [30, 60, 90] {
            let place = Place::new();
            let torn = &compressed[..compressed.len() * part / 100];
            place.write(name, torn);
            let said = place.run(&["show", name], 1);
            assert!(said.contains("`honeutil repair FILE`"), "{said}");
            let said = place.run(&["repair", name], 0);
            assert!(said.contains("Missing     what comes after"), "{said}");
            let repaired = fs::read(place.path("web.repaired.pcapng")).unwrap();
            assert!(whole.starts_with(&repaired) && ends.contains(&repaired.len()), "{}", repaired.len());
            // zstd decompresses blocks of 128 KiB only.
            assert!(repaired.len() + (140 << 10) > torn.len(), "{} of {}", repaired.len(), torn.len());
            assert!(packets(&place.path("web.repaired.pcapng")) > 30, "{part} {said}");
            let said = place.run(&["repair", "--in-place", name], 1);
            assert!(said.contains("is compressed: --in-place cannot cut it"), "{said}");
            assert_eq!(fs::read(place.path(name)).unwrap(), torn);
        }
    }
}

#[test]
fn of_a_damaged_compressed_file_the_beginning_is_kept_only_when_asked() {
    let place = Place::new();
    let (whole, _) = recording();
    let mut compressed = zstd::stream::encode_all(&whole[..], 3).unwrap();
    let middle = compressed.len() / 2;
    compressed[middle..].fill(0xFF);
    place.write("web.pcapng.zst", &compressed);
    let said = place.run(&["repair", "web.pcapng.zst"], 1);
    assert!(said.contains("cannot be decompressed behind") && said.contains("--skip-damage"), "{said}");
    assert_eq!(place.names(), ["web.pcapng.zst"]);
    place.run(&["repair", "--skip-damage", "web.pcapng.zst"], 0);
    assert!(packets(&place.path("web.repaired.pcapng")) > 30);
}

#[test]
fn what_is_no_recording_is_refused() {
    let place = Place::new();
    let (whole, _) = recording();
    place.write("text", b"no recording at all");
    place.write("old.pcap", b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x65\0\0\0");
    place.write("zeros", &[0; 5000]);
    place.write("begin", &whole[..27]);
    place.write("begin.zst", &zstd::stream::encode_all(&whole[..], 3).unwrap()[..20]);
    fs::create_dir(place.path("directory")).unwrap();
    for (file, words) in [
        ("text", "it is no PCAP-NG"),
        ("old.pcap", "it is a libpcap file"),
        ("zeros", "has no whole block"),
        ("begin", "has no whole block"),
        ("begin.zst", "has no whole block"),
        ("directory", "no regular file"),
        ("missing", "cannot open missing: No such file"),
    ] {
        let before = place.names();
        let said = place.run(&["repair", file], 1);
        assert!(said.starts_with("honeutil: ") && said.contains(words), "{file}: {said}");
        assert_eq!(place.names(), before);
    }
    for arguments in [
        &["repair"][..],
        &["repair", "--in-place", "-o", "x", "a"],
        &["repair", "--in-place", "--skip-damage", "a"],
    ] {
        place.run(arguments, 2);
    }
}

#[test]
fn the_repaired_file_may_be_read_by_whom_the_torn_one_could() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let (whole, ends) = recording();
    for mode in [0o600, 0o640] {
        let path = place.write("web.pcapng", &whole[..ends[5] + 3]);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        place.run(&["repair", "web.pcapng"], 0);
        let repaired = place.path("web.repaired.pcapng");
        assert_eq!(fs::metadata(&repaired).unwrap().permissions().mode() & 0o777, mode);
        fs::remove_file(repaired).unwrap();
    }
}
