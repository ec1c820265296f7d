//! Independent readers: what others make of our files.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// tshark's only words on standard error when root reads a good file.
const ROOT_WARNING: &str = "Running as user \"root\" and group \"root\". This could be dangerous.";

/// What a tool said, after it ended well.
fn output(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {text}", output.status);
    output
}

/// What remains of tshark's standard error without the warning.
pub(crate) fn complaints(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| !line.is_empty() && *line != ROOT_WARNING).collect()
}

/// A field of every packet as tshark sees it, a line each, where `filter` (Wireshark's) matches; "" matches all.
pub(crate) fn tshark(path: &Path, filter: &str, field: &str) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(path).args(["-T", "fields", "-e", field]);
    if !filter.is_empty() {
        command.args(["-Y", filter]);
    }
    let output = output(&mut command);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaints(&errors).is_empty(), "{command:?} complains: {errors}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Asserts that capinfos, tshark and tcpdump open the file without a complaint and count so many packets.
pub(crate) fn agree(path: &Path, packets: usize, sections: usize) {
    let capinfos = output(Command::new("capinfos").args(["-T", "-r", "-M", "-c"]).arg(path));
    let text = String::from_utf8_lossy(&capinfos.stdout);
    let counted = text.trim_end().rsplit('\t').next().and_then(|count| count.parse().ok());
    assert_eq!(counted, Some(packets), "capinfos counts otherwise: {text}");
    assert!(capinfos.stderr.is_empty(), "capinfos complains: {}", String::from_utf8_lossy(&capinfos.stderr));

    let frames = tshark(path, "", "frame.number");
    let expected: Vec<String> = (1..=packets).map(|number| number.to_string()).collect();
    assert!(frames == expected, "tshark sees {} packets of {packets} in {}", frames.len(), path.display());
    // At the second section libpcap compares the link type's number in the file (101) with its own (12), and finds
    // that the type has changed; so it goes with every recorder of raw IP.
    if sections == 1 {
        tcpdump_agrees(path, packets);
    }
}

fn tcpdump_agrees(path: &Path, packets: usize) {
    // From standard input: where AppArmor confines tcpdump, it may open few names.
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut command = Command::new("tcpdump");
    command.args(["-n", "--count", "-r", "-"]).stdin(file);
    let tcpdump = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&tcpdump.stderr);
    assert!(tcpdump.status.success(), "tcpdump ended with {}: {errors}", tcpdump.status);
    let complaint = errors.lines().find(|line| !line.starts_with("reading from file "));
    assert_eq!(complaint, None, "tcpdump complains about {}", path.display());
    let text = String::from_utf8_lossy(&tcpdump.stdout);
    let counted = text.split(' ').next().and_then(|count| count.parse().ok());
    assert_eq!(counted, Some(packets), "tcpdump counts otherwise: {text}");
}
