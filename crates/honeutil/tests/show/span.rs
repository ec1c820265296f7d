//! `--from` and `--to`, and times as the local clock shows them.

use hone_pcapng::{ByteOrder, Corrected, ProcessEventKind};

use crate::fixture::{Stream, everyday};
use crate::tools::{honeutil, show_stdin, shown};

#[test]
fn a_span_has_its_beginning_but_not_its_end() {
    let stream = everyday(ByteOrder::Little);
    let all = shown(&[], &stream);
    let time = |line: &String| line.split_ascii_whitespace().next().unwrap().to_owned();
    let timed: Vec<_> = all.iter().filter(|line| !line.starts_with('-')).cloned().collect();
    for (index, line) in timed.iter().enumerate() {
        assert_eq!(shown(&["--from", &time(line)], &stream), timed[index..], "{line}");
        assert_eq!(shown(&["--to", &time(line)], &stream), timed[..index], "{line}");
    }
    let arguments = ["--from", &time(&timed[3]), "--to", &time(&timed[5])];
    assert_eq!(shown(&arguments, &stream), timed[3..5]);
    assert_eq!(shown(&["--from", "2026-07-30T14:00:00+02:00"], &stream), timed);
    assert_eq!(shown(&["--from", "2026-07-30T12:00:01Z"], &stream), [""; 0]);
    assert_eq!(shown(&["--to", "2026-07-30T12:00:00Z"], &stream), [""; 0]);
}

/// What came before it says whose packets the later ones are, and who descends from whom.
#[test]
fn events_before_the_span_are_not_forgotten() {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.exec(7, b"/usr/bin/bash", 1000, b"alice");
    stream.process(8, ProcessEventKind::Forked, |event| event.parent = Some(7));
    stream.exec(8, b"/usr/bin/curl", 1000, b"alice");
    stream.packet(&[], 2, Some(12), Some(8));
    let arguments = ["--from", "2026-07-30T12:00:00.000004Z", "--pid", "7", "--children"];
    let lines = shown(&arguments, &stream.bytes);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("alice    curl"), "{lines:?}");
}

#[test]
fn what_is_no_time_and_what_contains_none_is_refused() {
    for (arguments, words) in [
        (&["--from", "10:00"][..], "must be a time with its offset from UTC"),
        (&["--to", "2026-07-30T12:00:00"], "must be a time with its offset from UTC"),
        (
            &["--from", "2026-07-30T12:00:00Z", "--to", "2026-07-30T14:00:00+02:00"],
            "--to must be later than --from",
        ),
    ] {
        let output = honeutil(["show"].iter().chain(arguments)).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn local_time_is_that_of_the_zone_with_its_offset() {
    let mut stream = Stream::new(ByteOrder::Little);
    let time = stream.now();
    stream.correction(1, 8, Corrected::Time(time), Ok(hone_pcapng::Method::LastReceiver));
    stream.packet(&[], 2, None, None);
    let lines = |zone: &str, option: &str| {
        let mut command = honeutil(["show", option, "-"]);
        let output = crate::tools::with_input(command.env("TZ", zone), &stream.bytes);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // Rules of POSIX: they need no time zone database.
    for (zone, time) in [
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-07-30T14:00:00.000001000+02:00 SOCK"),
        ("IST-5:30", "2026-07-30T17:30:00.000001000+05:30 SOCK"),
        ("NST3:30NDT,M3.2.0,M11.1.0", "2026-07-30T09:30:00.000001000-02:30 SOCK"),
        ("UTC0", "2026-07-30T12:00:00.000001000+00:00 SOCK"),
    ] {
        let text = lines(zone, "--local-time");
        assert!(text.contains(time), "{zone}: {text}");
        let corrected = time.replace("000001000", "000000000").replace(" SOCK", "");
        assert!(text.contains(&format!("time={corrected} ")), "{zone}: {text}");
        let widths: Vec<_> = text.lines().map(|line| line.find(['H', 'S', 'P'])).collect();
        assert_eq!(widths, [Some(36); 3], "the columns are below each other: {text}");
    }
    assert_eq!(lines("CET-1", "--"), lines("UTC0", "--"), "UTC unless asked");
    assert_eq!(
        show_stdin(&["--json", "--local-time"], &stream.bytes).stdout,
        show_stdin(&["--json"], &stream.bytes).stdout
    );
}
