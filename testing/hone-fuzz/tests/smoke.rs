//! Runs every fuzz target on its kept inputs and on a fixed number of mutations of its seeds. The same on each run.

use std::path::Path;

use hone_fuzz::{TARGETS, bounded};

fn run(name: &str, mutations: u32) {
    let (_, target, seeds) =
        TARGETS.into_iter().find(|(target, ..)| *target == name).expect("there is such a target");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    bounded::run(name, target, &seeds(), mutations, &kept);
}

macro_rules! targets {
    ($($name:ident: $mutations:literal,)+) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), $mutations);
        })+

        #[test]
        fn every_target_is_run_here_and_under_libfuzzer() {
            assert_eq!(TARGETS.map(|(name, ..)| name), [$(stringify!($name)),+]);
            let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/Cargo.toml");
            let manifest = std::fs::read_to_string(manifest).expect("the file can be read");
            for (name, ..) in TARGETS {
                assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
            }
        }
    };
}

// The number of mutations for each target. Slow targets get fewer.
targets! {
    pcapng_reader: 20_000,
    api_request: 20_000,
    engine_events: 10_000,
    packet_checksums: 20_000,
    packet_names: 10_000,
    show_stream: 2_000,
    cut_stream: 2_000,
    show_compressed: 2_000,
    filter_expression: 20_000,
    selection_text: 20_000,
    option_values: 20_000,
    configuration: 4_000,
    local_files: 20_000,
    server_frames: 4_000,
    server_session: 1_000,
    client_frames: 4_000,
    kernel_records: 20_000,
}
