//! The filters that make Windows call the driver: installed, replaced and removed; always all or none.

use std::fs;
use std::path::PathBuf;

use hone_wine_tests::{Driver, driver};

/// Windows' error numbers (fwpmu.h of MinGW, winerror.h).
const PERSISTENT: &str = "1";
const BOOT_TIME: &str = "2";
const PERSISTENT_CALLOUT: &str = "10000";
const ACTION_INSPECTION: &str = "6004";
const ERROR_NO_SYSTEM_RESOURCES: u32 = 1450;

/// The weight of `FWPM_SUBLAYER_UNIVERSAL`: Microsoft's WFPSampler has its own sublayer just below, at 0x7FFF.
const UNIVERSAL: u16 = 0x8000;

/// The layers' keys, in the order of the driver's table (learn.microsoft.com, "Management filtering layer identifiers").
const LAYERS: [&str; 14] = [
    "c38d57d1-05a7-4c33-904f7fbceee60e82",
    "4a72393b-319f-44bc-84c3ba54dcb3b6b4",
    "e1cd9fe7-f4b5-4273-96c0592e487b8650",
    "a3b42c97-9f04-4672-b87ecee9c483257f",
    "b4766427-e2a2-467a-bd7edbcd1bd85a09",
    "bb536ccd-4755-4ba9-9ff7f9edf8699c7b",
    "1247d66d-0b60-4a15-8d447155d0f53a0c",
    "55a650e1-5f0a-4eca-a65388f53b26aa8c",
    "74365cce-ccb0-401a-bfc1b89934ad7e15",
    "f4e5ce80-edcc-4e13-8a2fb91454bb057b",
    "5926dfc8-e3cf-4426-a283dc393f5d0f9d",
    "634a869f-fc23-4b90-b0c1bf620a36ae6f",
    "09e61aea-d214-46e2-9b21b26b0b2f28c8",
    "e1735bde-013f-4655-b351a49e15762df0",
];

fn file(driver: &Driver, name: &str) -> PathBuf {
    driver.wine().folder().join(name)
}

fn objects(driver: &Driver, kind: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(file(driver, "filters.txt")).unwrap_or_default();
    let lines = text.lines().map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|words| words[0] == kind).collect()
}

#[test]
fn filters_are_installed_once_and_removed_without_a_trace() {
    let Some(mut driver) = driver() else { return };
    let _ = fs::remove_file(file(&driver, "filters.txt"));
    let _ = fs::remove_file(file(&driver, "filters.fail"));
    let mut probe = driver.probe();
    probe.command("uninstall").expect("there is nothing to remove");
    probe.command("install").expect("there is nothing in the way");
    let once = fs::read_to_string(file(&driver, "filters.txt")).expect("something is installed");
    probe.command("install").expect("what is there is replaced");
    let again = fs::read_to_string(file(&driver, "filters.txt")).expect("something is installed");
    assert_eq!(once, again);

    let keys = driver.stand_in.tell("callouts");
    let registered: Vec<String> = keys.split(' ').map(windows_form).collect();
    let (callouts, filters) = (objects(&driver, "Callout"), objects(&driver, "Filter"));
    assert_eq!((objects(&driver, "Provider").len(), objects(&driver, "Sublayer").len()), (1, 1));
    assert_eq!((callouts.len(), filters.len()), (14, 28));
    for ((callout, key), layer) in callouts.iter().zip(&registered).zip(LAYERS) {
        assert_eq!(
            (&callout[1], callout[2].as_str()),
            (key, PERSISTENT_CALLOUT),
            "the driver has this callout"
        );
        assert_eq!(callout.last().map(String::as_str), Some(layer));
        let own: Vec<_> =
            filters.iter().filter(|filter| filter.contains(&format!("Callout={key}"))).collect();
        let flags: Vec<&str> = own.iter().map(|filter| filter[2].as_str()).collect();
        assert_eq!(flags, [PERSISTENT, BOOT_TIME]);
        for filter in own {
            assert_eq!(filter[filter.len() - 2..], [layer, ACTION_INSPECTION]);
        }
    }

    probe.command("uninstall").expect("nothing else refers to it");
    assert_eq!(fs::read_to_string(file(&driver, "filters.txt")).expect("it is there"), "");
}

/// "WFP Layer Requirements and Restrictions": a callout at these layers with a higher weight would see packets before
/// IPsec's own callouts.
#[test]
fn the_sublayer_weighs_less_than_the_universal_one_also_after_an_upgrade() {
    let Some(driver) = driver() else { return };
    let path = file(&driver, "filters.txt");
    let _ = fs::remove_file(&path);
    let mut probe = driver.probe();
    let weight = || {
        let sublayers = objects(&driver, "Sublayer");
        let [sublayer] = &sublayers[..] else { panic!("there is one sublayer: {sublayers:?}") };
        u16::from_str_radix(sublayer.last().expect("it has a weight"), 16).expect("it is a number")
    };
    probe.command("install").expect("nothing is in the way");
    let installed = weight();
    assert!(installed < UNIVERSAL, "{installed:#x}");
    // An earlier version installed this weight.
    let text = fs::read_to_string(&path).expect("something is installed");
    let former: String = text
        .lines()
        .map(|line| match line.rsplit_once(' ') {
            Some((line, _)) if line.starts_with("Sublayer") => format!("{line} 8000\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    fs::write(&path, former).expect("it can be replaced");
    assert_eq!(weight(), UNIVERSAL);
    probe.command("install").expect("what is there is replaced");
    assert_eq!(weight(), installed);
    probe.command("uninstall").expect("nothing else refers to it");
}

#[test]
fn an_installation_that_fails_changes_nothing() {
    let Some(driver) = driver() else { return };
    let _ = fs::remove_file(file(&driver, "filters.txt"));
    let mut probe = driver.probe();
    for installed_before in [false, true] {
        let before = fs::read_to_string(file(&driver, "filters.txt")).unwrap_or_default();
        for filters in ["0", "13", "27"] {
            fs::write(file(&driver, "filters.fail"), filters).expect("the folder is there");
            assert_eq!(probe.command("install"), Err(ERROR_NO_SYSTEM_RESOURCES));
            let after = fs::read_to_string(file(&driver, "filters.txt")).unwrap_or_default();
            assert_eq!(before, after);
        }
        fs::remove_file(file(&driver, "filters.fail")).expect("it was written");
        probe.command("install").expect("nothing is in the way");
        assert_eq!(before.is_empty(), !installed_before);
    }
}

/// A key's bytes in memory order, in the form that lists of installed objects use.
fn windows_form(bytes: &str) -> String {
    let bytes = hone_wine_tests::unhex(bytes);
    let reversed = |range: std::ops::Range<usize>| -> String {
        bytes[range].iter().rev().map(|byte| format!("{byte:02x}")).collect()
    };
    let rest: String = bytes[8..].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{rest}", reversed(0..4), reversed(4..6), reversed(6..8))
}
