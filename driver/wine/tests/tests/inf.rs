//! The INF for attestation signing: that it refers to nothing that is missing, and that Wine installs the same service with
//! it as `honeutil install` does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use hone_wine_tests::{Driver, driver};

/// The sections that Windows itself looks for ("Summary of INF Sections"); every other one has to be referred to.
const ENTRIES: [&str; 9] = [
    "Version",
    "SourceDisksNames",
    "SourceDisksFiles",
    "DestinationDirs",
    "DefaultInstall.NTamd64",
    "DefaultInstall.NTamd64.Services",
    "DefaultUninstall.NTamd64",
    "DefaultUninstall.NTamd64.Services",
    "Strings",
];

/// The file as `scripts/build-submission` makes it; `None`, and the reason is printed, if it did not run.
fn inf() -> Option<PathBuf> {
    let file = std::env::var_os("HONE_WINE").map(|files| PathBuf::from(files).join("hone.inf"));
    let file = file.filter(|file| file.exists());
    if file.is_none() {
        assert!(std::env::var_os("HONE_LIVE").is_none_or(|live| live != "required"), "there is no hone.inf");
        eprintln!("skipped: HONE_WINE has no hone.inf (scripts/test-windows puts it there)");
    }
    file
}

/// The lines of each section, as names and values; without comments.
fn sections(text: &str) -> BTreeMap<&str, Vec<(&str, &str)>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    let mut section = "";
    for line in text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with(';')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.strip_suffix(']').expect("a section's name ends");
            assert!(all.insert(section, Vec::new()).is_none(), "[{section}] is there twice");
            continue;
        }
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        all.get_mut(section).expect("lines are in sections").push((name.trim(), value.trim()));
    }
    all
}

#[test]
fn the_inf_is_whole_and_has_cargos_version() {
    let Some(file) = inf() else { return };
    let text = fs::read_to_string(file).expect("it is text");
    assert!(
        !text.contains('@') && !text.replace("\r\n", "").contains('\n'),
        "filled in, with Windows' lines"
    );
    let sections = sections(&text);
    let value = |section: &str, name: &str| {
        sections[section].iter().find(|(other, _)| *other == name).map_or("", |(_, value)| *value)
    };

    let (date, version) = value("Version", "DriverVer").split_once(',').expect("a date and a version");
    assert_eq!(
        version,
        format!("{}.0", env!("CARGO_PKG_VERSION").split(['-', '+']).next().expect("a version"))
    );
    let numbers: Vec<u32> = date.split('/').map(|number| number.parse().expect("it is a number")).collect();
    assert!(matches!(numbers[..], [1..=12, 1..=31, 2026..=9999]), "{date} is month, day and year");
    for name in ["Class", "ClassGuid", "Provider", "CatalogFile"] {
        assert_ne!(value("Version", name), "", "a primitive driver needs {name}");
    }

    assert_eq!(
        value("Hone.Service", "StartType"),
        "3",
        "not with the system before Windows has accepted it once"
    );

    let mut used = BTreeSet::from(ENTRIES);
    for (section, name) in [
        ("DefaultInstall.NTamd64", "CopyFiles"),
        ("DefaultUninstall.NTamd64", "DelFiles"),
        ("DefaultInstall.NTamd64.Services", "AddService"),
    ] {
        let target = value(section, name).rsplit(',').next().expect("it refers to a section");
        assert!(sections.contains_key(target), "{name} refers to [{target}]");
        used.insert(target);
    }
    let found: BTreeSet<_> = sections.keys().copied().collect();
    assert_eq!(found, used, "every section is there, and used");

    let files: BTreeSet<_> = sections["SourceDisksFiles"].iter().map(|(name, _)| *name).collect();
    let copied = sections["Hone.Files"].iter().map(|(line, _)| line.split(',').next().expect("a file"));
    assert_eq!(files, copied.collect(), "every file is copied, and no other one");
    assert_eq!(value("DestinationDirs", "Hone.Files"), "12", "System32\\drivers");

    let strings: BTreeSet<_> = sections["Strings"].iter().map(|(name, _)| *name).collect();
    let named = sections.values().flatten().flat_map(|(_, value)| value.split('%').skip(1).step_by(2));
    // A directory's number has the same form.
    let named: BTreeSet<_> = named.filter(|name| name.parse::<u32>().is_err()).collect();
    assert_eq!(strings, named, "every text is there, and used");
}

/// The driver's service in the registry, with its values in order; `None` if it is not installed.
fn service(driver: &Driver) -> Option<Vec<String>> {
    let file = driver.wine().folder().join("service.reg");
    let _ = fs::remove_file(&file);
    let key = r"HKLM\SYSTEM\CurrentControlSet\Services\hone";
    driver.wine().run("reg", &["export", key, r"C:\hone\service.reg", "/y"]);
    let units: Vec<u16> = fs::read(&file)
        .ok()?
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes(unit.try_into().expect("they are two")))
        .collect();
    // A list of texts goes over several lines.
    let text = String::from_utf16(&units).expect("it is text").replace("\\\r\n  ", "");
    // The driver's own values.
    let is_installed = |line: &&str| {
        line.starts_with('"') && !["\"SystemId\"", "\"LogLevels\""].iter().any(|own| line.starts_with(own))
    };
    let mut values: Vec<_> = text.lines().filter(is_installed).map(str::to_owned).collect();
    values.sort();
    Some(values)
}

/// A value; of the driver's file only the path from Windows' folder: `honeutil` writes `\SystemRoot` before it, Wine's
/// setupapi a drive letter.
fn plain(value: String) -> String {
    let Some(path) = value.strip_prefix(r#""ImagePath"=""#) else { return value };
    let path = path.to_lowercase().replace(r"\\", r"\");
    [r"c:\windows\", r"\systemroot\"]
        .iter()
        .find_map(|root| path.strip_prefix(root))
        .unwrap_or(&path)
        .to_owned()
}

#[test]
fn the_inf_makes_the_same_service_as_honeutil_and_takes_it_away() {
    let (Some(file), Some(mut driver)) = (inf(), driver()) else { return };
    assert!(driver.stop());
    driver.remove();
    let (wine, folder) = (driver.wine(), driver.wine().folder());
    let installed = folder.join("../windows/system32/drivers/hone.sys");
    fs::copy(&file, folder.join("hone.inf")).expect("the folder is there");
    let process = |section: &str| {
        // 128: the path names the file; 4: it never restarts the computer (`InstallHinfSectionW`).
        wine.run("rundll32", &["setupapi,InstallHinfSection", section, "132", r"C:\hone\hone.inf"]);
    };

    // With the system, it may start only after Windows has accepted it once.
    let install = ["install", "--driver", r"C:\hone\hone.sys", "--on-demand"];
    assert_eq!(driver.run_honeutil(&install).code, Some(0));
    let mut by_honeutil = service(&driver).expect("it is installed");
    assert!(installed.exists(), "its file is copied");
    assert_eq!(driver.run_honeutil(&["uninstall"]).code, Some(0));
    assert_eq!((service(&driver), installed.exists()), (None, false));

    process("DefaultInstall");
    let by_inf = service(&driver).expect("it is installed");
    assert!(installed.exists(), "its file is copied");
    // Wine's setupapi ignores `Dependencies`.
    let dependency = by_honeutil.iter().position(|value| value.starts_with(r#""DependOnService""#));
    let dependency = by_honeutil.remove(dependency.expect("it depends on a service"));
    let text = fs::read_to_string(file).expect("it is text");
    let named = text.lines().find_map(|line| line.strip_prefix("Dependencies   = ")).expect("it names one");
    let units = named.bytes().chain([0, 0]).map(|byte| format!("{byte:02x},00")).collect::<Vec<_>>();
    assert_eq!(dependency, format!(r#""DependOnService"=hex(7):{}"#, units.join(",")));
    assert_eq!(
        by_inf.into_iter().map(plain).collect::<Vec<_>>(),
        by_honeutil.into_iter().map(plain).collect::<Vec<_>>()
    );
    process("DefaultUninstall");
    assert_eq!((service(&driver), installed.exists()), (None, false));
    driver.create();
}
