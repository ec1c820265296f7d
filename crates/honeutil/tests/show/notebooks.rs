//! The commands that `docs/notebooks.md` shows work as they are written there.

use std::process::Command;

use hone_pcapng::ByteOrder;

use crate::fixture::everyday;
use crate::tools::file;

const PAGE: &str = include_str!("../../../../docs/notebooks.md");

/// The page's Python, but for what needs pandas.
fn recipe() -> String {
    let blocks = PAGE.split("```python\n").skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(code, _)| code).filter(|code| !code.contains("pandas")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_recipe_reads_each_packet_with_its_process() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: the recipe for Python: python3 is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    file(&directory, "web.pcapng", &everyday(ByteOrder::Little));
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_honeutil")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(bin.to_owned()).chain(std::env::split_paths(&path)));
    let run = Command::new("python3")
        .args(["-c", &recipe()])
        .current_dir(directory.path())
        .env("PATH", path.unwrap())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let printed = String::from_utf8(run.stdout).unwrap();
    let sent = "2026-07-30T12:00:00.000008000Z egress 140 /usr/bin/curl";
    assert!(printed.lines().any(|line| line == sent), "{printed}");
    assert!(
        printed.lines().any(|line| line.ends_with(" /usr/bin/curl") && !line.contains("gress")),
        "{printed}"
    );
}
