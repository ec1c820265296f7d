//! Processes that the kernel describes in different ways.

use hone_pcapng::{Block, Reader};
use hone_wine_tests::{Driver, driver, hex};

const NOW: u64 = 1_790_000_000_000_000_000;

/// Reports the starts to the driver: kind and path. Returns the process ids and paths in the recording, without those of
/// Wine's own processes.
fn recorded(driver: &mut Driver, starts: &[(&str, &str)]) -> Vec<(u32, String)> {
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    driver.stand_in.set_clock(NOW);
    for (pid, (kind, path)) in (50_000..).zip(starts) {
        let path = if path.is_empty() { "-".to_owned() } else { hex(path.as_bytes()) };
        driver.stand_in.tell(&format!("start {pid} 4 {path} - {kind}"));
    }
    let mut reader = Reader::new();
    reader.feed(&probe.read(file)).expect("there is memory");
    let mut found = Vec::new();
    while let Some(item) = reader.next_block().expect("the blocks are sound") {
        if let Block::Process(event) = item.block
            && event.process >= 50_000
        {
            let path = event.path.unwrap_or_default();
            found.push((event.process, String::from_utf8_lossy(&path).into_owned()));
        }
    }
    found
}

#[test]
fn paths_are_recorded_as_users_know_them() {
    let Some(mut driver) = driver() else { return };
    for (name, target) in [
        (r"\SystemRoot", r"\Device\BootDevice\Windows"),
        (r"\Device\BootDevice", r"\Device\HarddiskVolume3"),
        (r"\GLOBAL??\C:", r"\Device\HarddiskVolume3"),
    ] {
        driver.stand_in.tell(&format!("link {} {}", hex(name.as_bytes()), hex(target.as_bytes())));
    }
    let cases = [
        (r"\??\C:\a.exe", r"C:\a.exe"),
        (r"\??\UNC\srv\share\a.exe", r"\\srv\share\a.exe"),
        (r"\Device\Mup\srv\share\a.exe", r"\\srv\share\a.exe"),
        (r"\Device\HarddiskVolume3\Program Files\é.exe", r"C:\Program Files\é.exe"),
        (r"\SystemRoot\System32\smss.exe", r"C:\Windows\System32\smss.exe"),
        (r"\Device\HarddiskVolume4\a.exe", r"\Device\HarddiskVolume4\a.exe"),
    ];
    let found = recorded(&mut driver, &cases.map(|(path, _)| ("", path)));
    let expected: Vec<_> = (50_000..).zip(cases.map(|(_, path)| path.to_owned())).collect();
    assert_eq!(found, expected);
    assert!(driver.unload().is_nothing());
}

#[test]
fn processes_of_other_subsystems_are_recorded_where_windows_reports_them() {
    let Some(mut driver) = driver() else { return };
    let starts = [
        ("subsystem", "/usr/bin/bash"),
        ("subsystem", "bash"),
        ("subsystem", ""),
        ("partial", "part.exe"),
        ("", r"\??\C:\a.exe"),
    ];
    let expected = |paths: &[(u32, &str)]| -> Vec<(u32, String)> {
        paths.iter().map(|&(pid, path)| (pid, path.to_owned())).collect()
    };
    let all =
        [(50_000, "/usr/bin/bash"), (50_001, "bash"), (50_002, ""), (50_003, ""), (50_004, r"C:\a.exe")];
    assert_eq!(recorded(&mut driver, &starts), expected(&all));
    assert!(driver.unload().is_nothing(), "it is removed with the function that registered it");
    driver.load(false);
    assert_eq!(driver.stand_in.tell("notify"), "1", "it loads without images");
    assert_eq!(recorded(&mut driver, &starts), expected(&all[3..]));
    assert!(driver.unload().is_nothing());
}
