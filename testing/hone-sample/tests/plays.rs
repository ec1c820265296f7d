//! Plays the sample traffic. Works on any machine, for any user.

use std::process::Command;

#[test]
fn every_part_does_its_work_and_says_who_it_was() {
    let output = Command::new(env!("CARGO_BIN_EXE_hone-sample")).output().unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complained}");
    let mut names = Vec::new();
    for line in said.lines() {
        let (name, pid) = line.split_once(' ').unwrap();
        assert!(pid.parse::<u32>().is_ok(), "{line}");
        names.push(name);
    }
    if complained.contains("no echo requests, which this user may not send") {
        eprintln!("skipped: echo requests: this user may not send them");
        names.push("sample-ping");
    }
    assert_eq!(names, ["sample-server", "sample-download", "sample-names", "sample-lookup", "sample-ping"]);
}
