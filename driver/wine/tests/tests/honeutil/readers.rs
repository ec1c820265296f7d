//! Several readers at once, and a reader that is too slow.

use std::io::Read as _;

use hone_wine_tests::{NOW, driver, start_processes, wait};

use crate::held;

#[test]
fn several_read_at_once_and_a_slow_one_loses_only_its_own() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let (files, mut probe) = (driver.files(), driver.probe());
    let file = probe.open().expect("it is opened");
    driver.set_ring_size(Some(131_072));
    let fast = ["a.pcapng", "b.pcapng"].map(|name| driver.record(&files, name, &["-v"]));
    // A reader with a small ring buffer, and a pipe that is not read for a while.
    driver.set_ring_size(Some(1024));
    let (slow, mut pipe) = driver.honeutil_piped(&["read", "-w", "-"]);
    let mut stream = vec![0; 28];
    pipe.read_exact(&mut stream).expect("it records");
    driver.set_ring_size(None);
    assert_eq!(probe.statistics(file).readers, 4);

    let count = 4000;
    start_processes(&mut driver, 10_000, count);
    // It continues to write while it is read, so it must be asked to end first.
    slow.interrupt();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut rest = Vec::new();
            pipe.read_to_end(&mut rest).map(|_| rest)
        });
        stream.extend(reader.join().expect("it ends").expect("it is a pipe"));
    });
    let slow = slow.end();
    assert_eq!(slow.code, Some(0), "{slow:?}");
    let stream = held(&stream);
    let [counted] = stream.statistics[..] else { panic!("{:?}", stream.statistics) };
    let got = stream.processes.iter().filter(|pid| (10_000..14_000).contains(*pid)).count() as u64;
    assert!(counted.dropped_processes > 0, "{counted:?}");
    assert_eq!(got + counted.dropped_processes, count.into(), "{counted:?}");
    let line = format!(
        "Dropped     {} process events by the reader's full ring buffer in the driver",
        thousands(counted.dropped_processes)
    );
    assert!(slow.stderr.contains(&line), "{line}: {slow:?}");

    for (honeutil, name) in fast.into_iter().zip(["a.pcapng", "b.pcapng"]) {
        let ended = honeutil.interrupted();
        assert!(ended.stderr.contains("Dropped     nothing\n"), "{ended:?}");
        assert!(ended.stderr.starts_with(" INFO recording through the driver\n"), "{ended:?}");
        let held = held(&files.read(name));
        let pids: Vec<u32> = held.processes.into_iter().filter(|pid| *pid >= 10_000).collect();
        assert!(pids.into_iter().eq(10_000..14_000), "{name} has every start once, in order");
    }
    wait("end of the readers", || (probe.statistics(file).readers == 1).then_some(()));
    drop(probe);
    let left = driver.unload();
    assert!(left.is_nothing(), "{left:?}");
}

fn thousands(number: u64) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}
