//! Runs widely used programs live. The owner of every packet must be the process that sent or received it, according to
//! the system calls.
//!
//! Needs root, everything that the sensor needs, a honeutil beside the bench, and the programs. If something is
//! missing, the test prints `skipped: ` and the reason; with `HONE_LIVE=required` in the environment it fails instead.
//! `cargo test -p hone-truth --test apps -- --ignored` runs all programs; `hone-truth apps --install` installs them.

#![cfg(target_os = "linux")]

mod common;

use std::process::{Command, Stdio};

use common::{TRUTH, ready, say};

/// Results that cannot be decided: a program, and the beginning of the explanation.
const TOLERATED: &[(&str, &str)] = &[
    // Two workers may read datagrams of the same length at the same instant. Then it cannot be known which one read
    // which.
    ("nsd", "without"),
];

fn run(names: &[&str]) {
    if !ready() {
        return;
    }
    let mut command = Command::new(TRUTH);
    command.args(["apps", "--json"]).args(names);
    let output = command.stdin(Stdio::null()).output().expect("the bench can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    let outcomes: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{}, no outcomes ({error}): {said}", output.status));
    let outcomes = outcomes.as_array().expect("a list");
    assert!(!outcomes.is_empty() && (names.is_empty() || outcomes.len() == names.len()));
    for outcome in outcomes {
        let app = outcome["app"].as_str().expect("a name");
        if let Some(reason) = outcome["skipped"].as_str() {
            common::skip(&format!("{app}: {reason}"));
            continue;
        }
        assert!(outcome["failed"].is_null(), "{outcome:#}");
        let (tolerated, bad): (Vec<&str>, Vec<&str>) = outcome["explanations"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|text| text.as_str())
            .partition(|text| TOLERATED.iter().any(|(name, fault)| *name == app && text.starts_with(fault)));
        assert!(bad.is_empty(), "{app}: {bad:#?}");
        // Packets with data and packets without must have been judged, and the falsified owners must have been found.
        assert!(outcome["right_by_data"].as_u64() >= Some(100), "{outcome:#}");
        assert!(outcome["control"]["falsified"].as_u64() >= Some(20), "{outcome:#}");
        assert_eq!(outcome["control"]["found"], outcome["control"]["falsified"], "{outcome:#}");
        if !tolerated.is_empty() {
            say(&format!("tolerated: {app}: {} packets, for example {}", tolerated.len(), tolerated[0]));
        }
    }
}

#[test]
fn two_programs_that_people_run_have_their_packets() {
    run(&["apache", "socat"]);
}

#[test]
#[ignore = "needs a dozen programs (`hone-truth apps --install`), and takes half a minute"]
fn every_program_that_people_run_has_its_packets() {
    run(&[]);
}

#[test]
fn falsified_owners_fail_the_run() {
    if !ready() {
        return;
    }
    let output = Command::new(TRUTH)
        .args(["apps", "socat", "--falsify", "--json"])
        .stdin(Stdio::null())
        .output()
        .expect("the bench can be started");
    let outcomes: serde_json::Value = serde_json::from_slice(&output.stdout).expect("outcomes");
    if let Some(reason) = outcomes[0]["skipped"].as_str() {
        common::skip(&format!("socat: {reason}"));
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{outcomes:#}");
    // Packets without data that name a process which never had their socket.
    assert!(outcomes[0]["wrong_by_kind"]["wrong stranger"].as_u64() >= Some(10), "{outcomes:#}");
}
