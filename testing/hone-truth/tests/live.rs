//! Runs the bench live. In every scenario, the owner of every packet must be right.
//!
//! Needs root, everything that the sensor needs, and a honeutil beside the bench. If something is missing, the test
//! prints `skipped: ` and the reason; with `HONE_LIVE=required` in the environment it fails instead.

#![cfg(target_os = "linux")]

mod common;

use std::process::{Command, Stdio};

use common::{TRUTH, ready, say};

#[test]
fn every_packet_has_the_right_owner() {
    if !ready() {
        return;
    }
    let place = tempfile::Builder::new().prefix("hone-truth-").tempdir().expect("a temporary directory");
    let mut command = Command::new(TRUTH);
    command.args(["run", "--quick", "--tcpdump", "--json", "--keep"]).arg(place.path());
    let output = command.stdin(Stdio::null()).output().expect("the bench can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    let scores: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{}, no scores ({error}): {said}", output.status));
    let scores = scores.as_array().expect("a list");
    assert!(scores.len() >= 100, "only {} scenarios: {said}", scores.len());
    let mut played = 0;
    for score in scores {
        match score["skipped"].as_str() {
            Some(reason) => say(&format!("skipped: {}: {reason}", score["scenario"])),
            None => played += 1,
        }
    }
    let bad: Vec<_> = scores.iter().filter(|score| score["good"] != true).collect();
    let lost = said.lines().find(|line| line.contains("lost")).unwrap_or("nothing is said to be lost");
    assert!(bad.is_empty() && output.status.success(), "{}, {lost}: {bad:#?}", output.status);
    assert!(played >= 80, "only {played} scenarios could play here");
}
