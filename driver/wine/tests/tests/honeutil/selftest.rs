//! `honeutil selftest`: the file that it writes, with the driver and without. The stand-in sees none of the traffic, so what
//! is recorded of it is judged in honeutil's own tests.

use std::process::Command;

use hone_wine_tests::{Ended, Folder, driver};

/// The answers: id, verdict and what was observed, from the lines of the file.
fn answers(files: &Folder, name: &str) -> Vec<[String; 3]> {
    let text = String::from_utf8(files.read(name)).expect("it is text");
    assert!(text.contains("\n  \"selftest\": 1,\n") && text.contains("\n    \"windows\": \""), "{text}");
    let mut answers: Vec<[String; 3]> = Vec::new();
    for line in text.lines() {
        let Some((key, value)) = line.trim().trim_end_matches(',').split_once(": ") else { continue };
        let value = value.trim_matches('"').to_owned();
        match (key, answers.last_mut()) {
            ("\"id\"", _) => answers.push([value, String::new(), String::new()]),
            ("\"verdict\"", Some([_, verdict, _])) => *verdict = value,
            ("\"observed\"", Some([_, _, observed])) => *observed = value,
            _ => {}
        }
    }
    answers
}

fn verdict<'a>(answers: &'a [[String; 3]], id: &str) -> &'a str {
    let found = answers.iter().find(|[known, ..]| known == id);
    &found.unwrap_or_else(|| panic!("{id} is not among {answers:?}"))[1]
}

/// The text that it prints has a line for each answer of the file, in the same order.
fn is_printed(ended: &Ended, answers: &[[String; 3]]) {
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), answers.len(), "{ended:?}");
    for (line, [id, verdict, _]) in lines.iter().zip(answers) {
        assert!(line.starts_with(&format!("{id:14}{verdict:13}")), "{line}");
    }
}

#[test]
fn the_selftest_asks_the_driver_and_writes_one_file() {
    let Some(driver) = driver() else { return };
    let files = driver.files();
    let mut probe = driver.probe();
    probe.command("install").expect("the filters can be installed");
    let ended = driver.run_honeutil(&["selftest", "-o", &files.name("a.json")]);
    probe.command("uninstall").expect("they can be removed");
    // The stand-in records nothing of this traffic, so some answers are unknown.
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.ends_with("a.json: send this file back\n"), "{ended:?}");
    let answers = answers(&files, "a.json");
    assert_eq!(answers.len(), 24, "{answers:?}");
    is_printed(&ended, &answers);
    for id in ["administrator", "service", "filters", "device", "name", "list", "losses"] {
        assert_eq!(verdict(&answers, id), "as expected", "{answers:?}");
    }
    for id in ["sent", "received", "ping4", "raw", "clock"] {
        assert_eq!(verdict(&answers, id), "unknown", "{answers:?}");
    }
    assert_eq!(
        verdict(&answers, "process"),
        "other",
        "the stand-in reports no process by itself: {answers:?}"
    );
    // Where every answer of the traffic comes from.
    let text = String::from_utf8(files.read("a.json")).expect("it is text");
    for made in [r#""tcp4": true"#, r#""udp4": true"#, r#""large": true"#] {
        assert!(text.contains(made), "{text}");
    }
    // What others read it with.
    let parsed = Command::new("python3").args(["-m", "json.tool"]).arg(files.file("a.json")).output();
    assert!(parsed.is_ok_and(|parsed| parsed.status.success()), "it is JSON");
}

#[test]
fn without_the_driver_the_selftest_says_so_and_writes_the_file_nonetheless() {
    let Some(mut driver) = driver() else { return };
    assert!(driver.stop(), "no reader is attached");
    let files = driver.files();
    let ended = driver.run_honeutil(&["selftest", "-o", &files.name("b.json")]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let message = "honeutil: the driver does not run: `honeutil start` starts it once `honeutil install` has installed it\n";
    assert!(ended.stderr.ends_with(message), "{ended:?}");
    let answers = answers(&files, "b.json");
    assert_eq!(answers.len(), 24, "{answers:?}");
    is_printed(&ended, &answers);
    assert_eq!(
        [verdict(&answers, "service"), verdict(&answers, "device")],
        ["other", "other"],
        "{answers:?}"
    );
    assert_eq!(verdict(&answers, "sent"), "unknown");

    let ended = driver.run_honeutil(&["selftest", "-o", r"C:\no\such\folder.json"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with(r"honeutil: cannot write C:\no\such\folder.json"), "{ended:?}");
}
