//! The information that Windows shows about the files: in Explorer, Task Manager, inventories and debuggers.

use hone_wine_tests::driver;

/// The version of the driver's workspace. The main workspace, to which `honeutil.exe` belongs, must have the same
/// version.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The same version as Windows' four numbers.
const NUMBERS: &str = concat!(
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR"),
    ".",
    env!("CARGO_PKG_VERSION_PATCH"),
    ".0"
);
/// `VFT_DRV` and `VFT2_DRV_SYSTEM`; `VFT_APP` and none (winver.h).
const DRIVER: &str = "3 7";
const PROGRAM: &str = "1 0";

#[test]
fn files_say_whose_they_are_and_of_which_version() {
    let Some(driver) = driver() else { return };
    let mut probe = driver.probe();
    for (file, kind, name, description) in [
        ("hone.sys", DRIVER, "hone", "Hone's driver"),
        ("honeutil.exe", PROGRAM, "honeutil", "Hone's utility"),
    ] {
        let path = format!(r"C:\hone\{file}");
        let numbers = probe.command(&format!("version {path}"));
        assert_eq!(numbers, Ok(format!("{NUMBERS} {NUMBERS} {kind}")), "{file}");
        for (key, text) in [
            ("ProductName", "Hone"),
            ("ProductVersion", VERSION),
            ("FileVersion", VERSION),
            ("FileDescription", description),
            ("CompanyName", "The Hone authors"),
            ("LegalCopyright", "The Hone authors; MIT or Apache-2.0"),
            ("InternalName", name),
            ("OriginalFilename", file),
        ] {
            let told = probe.command(&format!("version {path} {key}"));
            assert_eq!(told.as_deref(), Ok(text), "{key} of {file}");
        }
    }
}

#[test]
fn the_programs_manifest_runs_it_as_who_starts_it_for_windows_7_8_8_1_and_10() {
    let Some(driver) = driver() else { return };
    assert_eq!(driver.probe().command(r"manifest C:\hone\honeutil.exe").as_deref(), Ok("1 4"));
}
