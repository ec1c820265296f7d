//! The driver's readers must read the same bytes that the engine on Linux makes from the same events. Other programs
//! must be able to read them too.

use hone_api::Operation;
use hone_engine::Filter;
use hone_wine_tests::{NOW, Native, WIDE, assert_same, driver, happen, stock_readers};

#[test]
fn a_recording_is_the_engines_byte_for_byte() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    let beginning = probe.read(file);
    let mut native = Native::like(&beginning);
    let reader = native.attach(0, NOW);
    assert_same(&beginning, &native.read(reader, NOW), "the beginning");

    happen(&mut driver, &mut native, NOW + 1_000_000);
    let later = NOW + 1_000_000_000;
    driver.stand_in.set_clock(later);
    probe.control(file, Operation::MarkRestart, &[]).expect("it is attached");
    native.mark_restart(reader, later);
    let (first, expected) = (probe.read(file), native.read(reader, later));
    assert_same(&first, &expected, "the first section");
    let (second, expected) = (probe.read(file), native.read(reader, later));
    assert_same(&second, &expected, "the second section's beginning");
    assert!(second.len() > 200 && probe.read(file).is_empty());
    stock_readers(&[beginning, first, second].concat());
}

#[test]
fn several_readers_have_their_own_filters_and_snap_lengths() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let mut probes = [driver.probe(), driver.probe()];
    let files = [(0, 0), (0, 96), (1, 0), (1, 41)].map(|(probe, snap_length)| {
        let file = probes[probe].open().expect("it is opened");
        (probe, file, snap_length)
    });
    let mut native = Native::like(&probes[0].read(files[0].1));
    let readers = files.map(|(probe, file, snap_length)| {
        let input = u32::to_le_bytes(snap_length);
        probes[probe].control(file, Operation::SetSnapLength, &input).expect("it is in range");
        let reader = native.attach(snap_length, NOW);
        (probe, file, reader)
    });
    let mut set = |place: usize, operation, input: &[u8], filter: Filter<'_>| {
        let (probe, file, reader) = readers[place];
        probes[probe].control(file, operation, input).expect("it is in range");
        native.set_filter(reader, filter);
    };
    set(1, Operation::FilterConnections, &77_u32.to_le_bytes(), Filter::ExcludeConnections(&[77]));
    set(2, Operation::FilterConnections64, &WIDE.to_le_bytes(), Filter::ExcludeConnections(&[WIDE]));
    set(3, Operation::FilterProcesses, &5004_u32.to_le_bytes(), Filter::ExcludeProcesses(&[5004]));
    let [first, others @ ..] = readers;
    native.read(first.2, NOW);

    happen(&mut driver, &mut native, NOW + 1_000_000);
    let later = NOW + 1_000_000_000;
    driver.stand_in.set_clock(later);
    let mut lengths = Vec::new();
    for (probe, file, reader) in [first].into_iter().chain(others) {
        let (read, expected) = (probes[probe].read(file), native.read(reader, later));
        assert_same(&read, &expected, &format!("reader {reader:?}"));
        lengths.push(read.len());
    }
    lengths.sort_unstable();
    lengths.dedup();
    assert_eq!(lengths.len(), 4, "each reads something else");
}
