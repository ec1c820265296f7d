//! What cannot be read to its end: what came before is shown, then what is wrong, and where.

use std::io::Read as _;
use std::process::Stdio;

use hone_pcapng::ByteOrder;

use crate::fixture::everyday;
use crate::tools::{file, honeutil, show_stdin, shown};

#[test]
fn what_was_readable_is_shown_wherever_the_stream_ends() {
    let whole = everyday(ByteOrder::Little);
    let all = shown(&[], &whole);
    for end in [1, 27, 100, 500, 999, whole.len() - 1] {
        let output = show_stdin(&[], &whole[..end]);
        let lines: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(lines, all[..lines.len()], "{end}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.starts_with("honeutil: standard input: the "), "{message}");
        assert!(message.contains(" at offset ") && message.contains("ends inside it"), "{message}");
        assert_eq!(message.lines().count(), 1);
    }
}

#[test]
fn the_offset_and_the_reason_are_told_and_the_next_file_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let whole = everyday(ByteOrder::Little);
    let mut broken = whole.clone();
    let at = broken.len() - 4;
    broken[at..].fill(0xff);
    let paths = [
        file(&directory, "broken", &broken),
        directory.path().join("missing"),
        file(&directory, "text", b"no recording at all"),
        file(&directory, "xz", b"\xfd7zXZ\0"),
        directory.path().to_owned(),
        file(&directory, "cut.zst", &zstd::stream::encode_all(&whole[..], 3).unwrap()[..100]),
        file(&directory, "empty", b""),
        file(&directory, "good", &whole),
    ];
    let output = honeutil(["show"]).args(&paths).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let messages = String::from_utf8(output.stderr).unwrap();
    for (message, (name, words)) in messages.lines().zip([
        ("broken", "the interface statistics at offset "),
        ("missing", "No such file"),
        ("text", "neither PCAP-NG nor libpcap"),
        ("xz", "xz -dc FILE | honeutil show"),
        ("", "is a directory"),
        ("cut.zst", "incomplete frame"),
    ]) {
        let path = format!("{}/{name}", directory.path().display());
        assert!(message.contains(path.trim_end_matches('/')), "{message}");
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(messages.lines().count(), 6, "{messages}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let all = shown(&[], &whole);
    assert!(lines.ends_with(&(all.join("\n") + "\n")), "the good one is shown");
    assert!(lines.lines().count() >= 2 * all.len() - 1, "the broken one up to where it breaks");
}

#[test]
fn no_byte_is_a_reason_to_panic() {
    let whole = everyday(ByteOrder::Little);
    let mut seed = 1_u32;
    let mut random = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize
    };
    for _ in 0..30 {
        let mut broken = whole.clone();
        for _ in 0..1 + random() % 4 {
            let at = random() % broken.len();
            broken[at] = u8::try_from(random() % 256).unwrap();
        }
        for form in [&[][..], &["--json"]] {
            let output = show_stdin(form, &broken);
            let message = String::from_utf8(output.stderr).unwrap();
            assert!(matches!(output.status.code(), Some(0 | 1)), "{message}");
            assert!(!message.contains("panicked"), "{message}");
            for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let text = std::str::from_utf8(line).unwrap();
                assert!(form.is_empty() || serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
            }
        }
    }
}

#[test]
fn a_reader_that_closes_the_pipe_ends_it_quietly() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "a", &everyday(ByteOrder::Little).repeat(2000));
    let mut child = honeutil(["show".as_ref(), path.as_os_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 100]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(1), &b""[..]));
}

#[test]
fn a_full_disk_is_told() {
    if !std::path::Path::new("/dev/full").exists() {
        eprintln!("skipped: there is no /dev/full");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "a", &everyday(ByteOrder::Little));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output =
        honeutil(["show".as_ref(), path.as_os_str()]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("cannot write") && message.contains("No space left"), "{message}");
}
