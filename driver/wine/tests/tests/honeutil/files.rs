//! The files that `read` writes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use hone_wine_tests::{Folder, driver};

use crate::held;

#[test]
fn in_a_folder_a_file_is_named_by_host_and_time_and_private() {
    let Some(driver) = driver() else { return };
    let files = driver.files();
    for _ in 0..2 {
        let ended = driver.run_honeutil(&["read", "-q", "--duration", "50ms", "-d", Folder::NAME]);
        assert_eq!(ended.silently(), "");
    }
    let names = files.list();
    assert_eq!(names.len(), 2, "{names:?}");
    for name in &names {
        let time = name.rsplitn(3, '_').collect::<Vec<_>>();
        assert!(name.ends_with(".pcapng") && time.len() == 3, "{name}");
        assert_eq!(held(&files.read(name)).sections, 1);
        // Wine derives Linux's permissions from the access list. Administrators are represented by the group.
        let mode = fs::metadata(files.file(name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o007, 0, "{name}: {mode:o}");
    }
}

#[test]
fn a_file_that_is_there_is_overwritten_once_recording_starts() {
    let Some(driver) = driver() else { return };
    let files = driver.files();
    fs::write(files.file("a.pcapng"), [7; 100_000]).expect("there is room");
    let name = files.name("a.pcapng");
    let ended = driver.run_honeutil(&["read", "-q", "--duration", "50ms", "-w", &name]);
    assert_eq!(ended.silently(), "");
    assert_eq!(held(&files.read("a.pcapng")).sections, 1);
}

#[test]
fn what_can_not_be_written_is_told_before_anything_starts() {
    let Some(driver) = driver() else { return };
    let files = driver.files();
    fs::create_dir(files.file("folder")).expect("there is room");
    for (arguments, reason) in [
        (["-w", &files.name(r"none\a.pcapng")], ": make the directory first (mkdir), or name another"),
        (["-d", &files.name("none")], ": make the directory first (mkdir), or name another"),
        (["-w", &files.name("folder")], ": name a file, or use -d for a directory"),
    ] {
        let ended = driver.run_honeutil(&[&["read"][..], &arguments].concat());
        assert!(ended.stderr.starts_with(r"honeutil: cannot open C:\hone\files\"), "{ended:?}");
        assert!(ended.stderr.ends_with(&format!("{reason}\n")), "{ended:?}");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    }
    assert_eq!(files.list(), ["folder"]);
}
