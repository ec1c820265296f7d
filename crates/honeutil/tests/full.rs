//! Where no more fits: the file ends at its last whole block, and the message says where and what to do.
//! A test binary of its own, for the file size limit is one of the whole process.

mod common;

use std::fs;
use std::path::Path;

use common::{NOON, Script, Step, contents_of, record};
use hone_testing::SmallDisk;
use honeutil::output::archive::Keep;
use honeutil::output::{Output, Target};
use honeutil::platform::signals::ignore_file_size_signal;
use honeutil::record::control::Control;
use honeutil::record::recorder::Options;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Records more than fits into `path`, and checks what is left.
fn overfill(path: &Path, words: &[&str]) {
    // Odd sizes, so that the end of the space is in the middle of a block.
    let step = Step::Packet { pid: Some(1), outbound: true, size: 1333 };
    let (outcome, tally, result) = record(
        Script::new([Step::Forever(Box::new(step))]),
        Target::File(path.to_owned()),
        Options::default(),
    );
    let length = fs::metadata(path).unwrap().len();
    let message = result.unwrap_err().to_string();
    assert!(message.contains(&format!("{} at byte {length}: ", path.display())), "{message}");
    for word in words {
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(outcome.written, length);
    let contents = contents_of(path);
    assert!(!contents.packets.is_empty());
    assert_eq!(contents.packets.len() as u64, tally.total.packets(), "the tally is of what is in the file");
}

#[test]
fn the_file_ends_at_a_whole_block() {
    file_size_limit();
    full_disk();
}

fn file_size_limit() {
    ignore_file_size_signal().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(3_000_001), maximum: before.maximum }).unwrap();
    overfill(&directory.path().join("a.pcapng"), &["File too large", "ulimit -f"]);
    setrlimit(Resource::Fsize, before).unwrap();
}

fn full_disk() {
    let Some(disk) = SmallDisk::mount("2m") else {
        eprintln!("skipped: a full disk: mounting a tmpfs needs root");
        return;
    };
    overfill(&disk.path().join("a.pcapng"), &["No space left", "free some space"]);
}

/// No room for the compressed file beside the plain one: the plain one stays, and nothing half is left.
#[test]
fn a_disk_that_fills_while_compressing_leaves_the_plain_file() {
    let Some(disk) = SmallDisk::mount("2m") else {
        eprintln!("skipped: a full disk: mounting a tmpfs needs root");
        return;
    };
    let path = disk.path().join("a.pcapng");
    let mut control = Control::new();
    let mut output = Output::open(Target::File(path.clone()), "box", NOON, &mut control).unwrap();
    output.keep(Keep { max_files: None, compress: true, newest: None }).unwrap();
    let stream = incompressible(1_500_000);
    output.write(&stream, &mut control).unwrap();
    output.finish(&mut control).unwrap();
    let report = output.report().unwrap();
    assert_eq!((report.failures, &report.kept[..]), (1, &[path.clone()][..]));
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1);
    assert!(fs::read(&path).unwrap() == stream);
}

/// A stream of this many bytes, or a few more, in which there is nothing to be saved.
fn incompressible(length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    hone_pcapng::Section::default().emit(hone_engine::BYTE_ORDER, &mut out).unwrap();
    let mut state = 1_u64;
    while out.len() < length {
        let data: Vec<u8> = (0..1000)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect();
        let packet = hone_pcapng::Packet { data: data.into(), ..Default::default() };
        packet.emit(hone_engine::BYTE_ORDER, &mut out).unwrap();
    }
    out
}
