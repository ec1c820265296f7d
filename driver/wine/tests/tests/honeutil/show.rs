//! `show` on Windows must print the same as `show` on Linux.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use hone_wine_tests::{NOW, Native, driver, happen};

/// The Linux `honeutil`, built from the same source. `None` if there is none; this is printed.
fn native() -> Option<PathBuf> {
    let path = std::env::var_os("HONE_HONEUTIL").map(PathBuf::from);
    if path.is_none() {
        assert!(std::env::var_os("HONE_LIVE").is_none_or(|live| live != "required"), "no HONE_HONEUTIL");
        eprintln!("skipped: HONE_HONEUTIL does not name Linux's honeutil (scripts/test-windows does)");
    }
    path
}

/// The account of Wine's own programs.
const OWN: &str = "S-1-5-21-0-0-0-1000";

/// Converts Windows' output to what Linux prints. Linux does not know the name of this account; under Wine, the account
/// has the name of the user who runs the tests.
fn unnamed(shown: &str) -> String {
    let id = Command::new("id").arg("-un").output().expect("it is there").stdout;
    let name = String::from_utf8(id).expect("it is text").trim().to_owned();
    assert!(shown.contains(&name) || !shown.contains(OWN), "its name is shown: {shown}");
    shown
        .replace(&format!(" {name:8} "), &format!(" {OWN} "))
        .replace(&format!(r#""id":"{OWN}","name":"{name}""#), &format!(r#""id":"{OWN}""#))
}

#[test]
fn a_recording_is_shown_as_on_linux() {
    let Some(mut driver) = driver() else { return };
    let Some(linux) = native() else { return };
    driver.stand_in.set_clock(NOW);
    let files = driver.files();
    let honeutil = driver.record(&files, "a.pcapng", &[]);
    let mut engine = Native::like(&files.read("a.pcapng"));
    happen(&mut driver, &mut engine, NOW + 1_000_000);
    assert_eq!(honeutil.interrupted().code, Some(0));

    let name = files.name("a.pcapng");
    let mut lengths = Vec::new();
    for filters in [
        &[][..],
        &["--json"],
        &["--pid", "5000"],
        &["--json", "--name", "y.exe"],
        &["--port", "4660"],
        &["--host", "fd00::/16"],
        &["--filter", "icmp6 or tcp port 443"],
        &["--conn", "77"],
    ] {
        let expected = Command::new(&linux).arg("show").args(filters).arg(files.file("a.pcapng")).output();
        let expected = expected.expect("it can be started");
        assert!(expected.status.success(), "{expected:?}");
        let expected = String::from_utf8(expected.stdout).expect("it is text");
        let arguments = [&["show"][..], filters].concat();
        assert_eq!(
            unnamed(&driver.run_honeutil(&[&arguments[..], &[&name]].concat()).silently()),
            expected,
            "{filters:?}"
        );
        let input = File::open(files.file("a.pcapng")).expect("it is there");
        let shown = driver.honeutil_with(&arguments, input).end().silently();
        assert_eq!(unnamed(&shown), expected, "{filters:?}, a file");
        let mut cat = Command::new("cat")
            .arg(files.file("a.pcapng"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let pipe = cat.stdout.take().expect("it is piped");
        assert_eq!(
            unnamed(&driver.honeutil_with(&arguments, pipe).end().silently()),
            expected,
            "{filters:?}, a pipe"
        );
        cat.wait().expect("it ends");
        lengths.push(expected.lines().count());
    }
    let all = lengths[0];
    assert!(all > 20 && lengths[2..].iter().all(|lines| (1..all).contains(lines)), "{lengths:?}");
}

#[test]
fn what_can_not_be_shown_is_told() {
    let Some(driver) = driver() else { return };
    let files = driver.files();
    std::fs::write(files.file("a.txt"), "a text\n").expect("there is room");
    let absent = driver.run_honeutil(&["show", &files.name("none.pcapng")]);
    assert!(absent.stderr.starts_with(r"honeutil: cannot open C:\hone\files\none.pcapng: "), "{absent:?}");
    let text = driver.run_honeutil(&["show", &files.name("a.txt")]);
    assert!(text.stderr.starts_with(r"honeutil: C:\hone\files\a.txt: "), "{text:?}");
    assert_eq!((absent.code, text.code), (Some(1), Some(1)));
    assert!(text.wine.contains("trace:process:"), "Wine tells how it starts, for when this fails: {text:?}");
}
