//! What the page shows, and what clicks and keys do.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use hone_testing::directory;
use serde_json::Value;
use tempfile::TempDir;

use crate::browser::Page;
use crate::sample::{NOON, SECOND, web_server};

pub(crate) const HONEUTIL: &str = env!("CARGO_BIN_EXE_honeutil");

/// Runs `honeutil`; returns what it wrote.
pub(crate) fn honeutil(arguments: &[&str]) -> String {
    let output = Command::new(HONEUTIL).args(arguments).output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("it is text")
}

/// Recordings in a directory of their own, and the report of them.
pub(crate) struct Made {
    _directory: TempDir,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) report: PathBuf,
}

impl Made {
    pub(crate) fn of(recordings: &[(&str, Vec<u8>)]) -> Self {
        let directory = directory();
        let mut files = Vec::new();
        for (name, bytes) in recordings {
            files.push(directory.path().join(name));
            std::fs::write(files.last().expect("there is one"), bytes).expect("the directory is ours");
        }
        let report = directory.path().join("report.html");
        // By their names alone, as most people give them.
        let mut command = Command::new(HONEUTIL);
        command.current_dir(directory.path()).args(["report", "-o", "report.html"]);
        let output =
            command.args(recordings.iter().map(|(name, _)| name)).output().expect("it can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { _directory: directory, files, report }
    }

    /// The packets of `honeutil show --json`, with these words.
    fn packets(&self, words: &[&str]) -> Vec<Value> {
        let mut arguments = vec!["show", "--json"];
        arguments.extend(words);
        arguments.extend(self.files.iter().map(|file| path(file)));
        let lines = honeutil(&arguments);
        let objects = lines.lines().map(|line| serde_json::from_str(line).expect("it is JSON"));
        objects.filter(|object: &Value| object["event"]["action"] == "packet").collect()
    }
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().expect("it is text")
}

fn web() -> Made {
    Made::of(&[("web-1.pcapng", web_server("web-1", 7))])
}

/// The bytes of packets, by what `of` names.
fn sums(packets: &[Value], of: impl Fn(&Value) -> Option<String>) -> HashMap<String, u64> {
    let mut sums = HashMap::new();
    for packet in packets {
        if let Some(key) = of(packet) {
            *sums.entry(key).or_default() += packet["network"]["bytes"].as_u64().expect("it has a length");
        }
    }
    sums
}

/// A JavaScript object of sums.
fn map(value: &Value) -> HashMap<String, u64> {
    let object = value.as_object().expect("it is an object");
    object
        .iter()
        .filter(|(_, sum)| sum.as_f64() != Some(0.0))
        .map(|(key, sum)| (key.clone(), sum.as_f64().unwrap() as u64))
        .collect()
}

/// The words of a command line that are quoted as a shell takes them.
fn shell_words(line: &str) -> Vec<String> {
    let output = Command::new("sh")
        .args(["-c", &format!("printf '%s\\n' {line}")])
        .output()
        .expect("there is a shell");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn numbers_are_those_of_show_to_the_byte() {
    let made = web();
    let Some(mut page) = Page::open(&made.report, false) else { return };
    let packets = made.packets(&[]);
    let total: u64 = packets.iter().map(|packet| packet["network"]["bytes"].as_u64().unwrap()).sum();
    let unowned = packets.iter().filter(|packet| packet["process"].is_null()).count();
    let tiles = page.text("#tiles");
    for number in [packets.len() as u64, total, unowned as u64, 12] {
        let text = honeutil::text::thousands(number);
        assert!(tiles.contains(&text), "{text} is not in {tiles}");
    }

    let of_connections = page.value(
        "Object.fromEntries(Array.from(honeReport.connections.open, (_, row) => [honeReport.connectionId(row), honeReport.bytes(row)]).filter(([id]) => id))",
    );
    let id = |packet: &Value| packet["hone"]["connection"]["id"].as_u64().map(|id| id.to_string());
    assert_eq!(map(&of_connections), sums(&packets, id));
    let of_processes = page
        .value("Object.fromEntries(Array.from(honeReport.processes.pid, (pid, row) => [pid, honeReport.processes.bytes[row]]))");
    let pid = |packet: &Value| packet["process"]["pid"].as_u64().map(|pid| pid.to_string());
    assert_eq!(map(&of_processes), sums(&packets, pid));
    let over_time = page.value("honeReport.timeline.bytes.reduce((sum, bytes) => sum + bytes, 0)");
    assert_eq!(over_time.as_f64().unwrap() as u64, total);

    let hash = Command::new("sha256sum").arg(&made.files[0]).output().expect("coreutils have it");
    let hash = String::from_utf8_lossy(&hash.stdout)[..64].to_owned();
    assert!(page.text("#files").contains(&hash));
    page.picture("report-overview.png");
    page.check();
}

#[test]
fn the_command_that_the_page_shows_selects_the_same() {
    let made = web();
    let Some(mut page) = Page::open(&made.report, false) else { return };
    let at = |second: u64| (NOON + second * SECOND) / 1000;
    let selections = [
        "{program: honeReport.processes.name[Array.from(honeReport.processes.pid).indexOf(521)]}".to_owned(),
        "{process: Array.from(honeReport.processes.pid).indexOf(2301)}".to_owned(),
        "{connection: 700}".to_owned(),
        // A connection without an id.
        "{connection: Array.from(honeReport.connections.process).indexOf(4294967295)}".to_owned(),
        "{remote: honeReport.remote(3)}".to_owned(),
        "{words: 'name:nginx port:5432 -proto:udp'}".to_owned(),
        "{words: 'port:443 host:203.0.113.77 user:www-data'}".to_owned(),
        "{words: 'domain:Example.com. -port:22'}".to_owned(),
        "{words: 'domain:example.com domain:cdn-update.example.com'}".to_owned(),
        format!("{{words: 'proto:udp', from: {}, to: {}}}", at(0), at(7300)),
    ];
    for selection in &selections {
        page.value(&format!("honeReport.clear(), honeReport.select({selection})"));
        page.drawn();
        let line = page.text("#filter-show");
        let shown = page
            .value("Array.from(honeReport.selected()).reduce((sum, row) => sum + honeReport.bytes(row), 0)");
        let words = shell_words(&line);
        assert_eq!((&*words[0], &*words[1]), ("honeutil", "show"));
        let mut words: Vec<_> =
            words[2..].iter().map(String::as_str).filter(|word| !word.ends_with(".pcapng")).collect();
        if selection.contains("domain:") {
            assert!(page.text("#filter-notes").contains("also shows the DNS messages about"));
            words.extend(["--not-port", "53"]);
        }
        let bytes: u64 = sums(&made.packets(&words), |_| Some(String::new())).values().sum();
        assert!(bytes > 0);
        assert_eq!(shown.as_f64().unwrap() as u64, bytes, "{line}");
    }
    page.check();
}

#[test]
fn clicks_and_keys_select_sort_and_search() {
    let made = web();
    let Some(mut page) = Page::open(&made.report, false) else { return };

    // A program by a click, then out of the selection again.
    page.click("#top-programs button");
    assert!(page.text("#chips").contains("program"), "{}", page.text("#chips"));
    assert!(page.text("#filter-show").starts_with("honeutil show --name "));
    page.click("#chips button");
    assert!(page.text("#chips").contains("Everything is shown"));

    // The connections, sorted by a click, chosen by keys.
    page.key("4");
    page.until("!document.getElementById('view-connections').hidden");
    page.click("#connection-grid [data-key=received]");
    let first = "honeReport.connections.bytes_in[__grid.order[0]]"
        .replace("__grid", "honeReport.views.connections.grid");
    let most = page.value("Math.max(...honeReport.connections.bytes_in)");
    assert_eq!(page.value(&first), most, "a column of numbers begins with the largest");
    page.click("#connection-grid [data-key=received]");
    let least = page.value("Math.min(...honeReport.connections.bytes_in)");
    assert_eq!(page.value(&first), least);
    assert_eq!(
        page.value("document.querySelector('#connection-grid [aria-sort=ascending] button').dataset.key"),
        "received"
    );
    page.value("document.querySelector('#connection-grid .grid-body').focus()");
    for key in ["End", "ArrowUp", "Enter"] {
        page.key(key);
    }
    let rows = page.value("honeReport.selected('connection').length").as_u64().unwrap();
    let chosen =
        page.value("honeReport.views.connections.grid.order.indexOf(honeReport.selection.connection)");
    assert_eq!(chosen.as_u64(), Some(rows - 2), "the row above the last one");
    assert!(page.text("#details").contains("Process known by"));
    page.key("Escape");
    assert_eq!(page.value("honeReport.isEmpty()"), true);

    // The search.
    page.key("/");
    page.typed("upd port:443");
    page.until("honeReport.selection.words === 'upd port:443'");
    page.drawn();
    assert!(
        page.text("#connection-count").starts_with("90 connections of "),
        "{}",
        page.text("#connection-count")
    );
    page.picture("report-connections.png");
    page.key("Escape");

    // The tree: a branch is closed and opened.
    page.key("3");
    let count = "document.querySelectorAll('#process-grid .grid-row').length";
    let open = page.value(count).as_u64().unwrap();
    page.value("document.querySelector('#process-grid .grid-body').focus()");
    page.key("Home");
    page.key("ArrowLeft");
    assert!(page.value(count).as_u64().unwrap() < open);
    page.key("ArrowRight");
    assert_eq!(page.value(count).as_u64().unwrap(), open);
    assert!(page.text("#process-grid").contains("--to 203.0.113.77"), "arguments are shown");
    page.picture("report-processes.png");

    // Names, and the connections that were made by them.
    page.key("5");
    page.click("#name-grid [data-key=name]");
    let names = page.text("#name-grid .grid-space");
    assert!(names.contains("cdn-update.example.com") && names.contains("203.0.113.77"), "{names}");
    page.click("#name-grid .grid-row");
    assert_eq!(page.value("honeReport.selection.words"), "domain:\"cdn-update.example.com\"");
    assert_eq!(page.value("honeReport.selected().length"), 90);
    page.key("Escape");

    // A connection without a name counts with the name that others to its address have, if it is one.
    let renamed = |names: &str| {
        format!(
            "(() => {{ const {{ connections: all }} = honeReport, rows = honeReport.selected().filter((row) => honeReport.text(all.remote_name[row]).startsWith('cdn-')), \
             before = all.remote_name.slice(); [{names}].forEach((name, at) => {{ all.remote_name[rows[at]] = name; }}); honeReport.nameRemotes(); \
             const one = honeReport.text(honeReport.remote(rows[0])); all.remote_name.set(before); honeReport.nameRemotes(); return one; }})()"
        )
    };
    assert_eq!(page.value(&renamed("0")), "cdn-update.example.com");
    assert_eq!(page.value(&renamed("0, all.remote_address[0]")), "203.0.113.77", "it is either of two names");

    // What calls home, and what listens.
    page.key("6");
    let intervals = page.text("#interval-grid .grid-space");
    assert!(intervals.contains("upd") && intervals.contains("cdn-update.example.com"), "{intervals}");
    assert!(intervals.contains("1 min 00 s") || intervals.contains("60.0 s"), "{intervals}");
    assert!(!intervals.contains("nginx"), "{intervals}");
    let listeners = page.text("#listener-grid .grid-space");
    for listener in ["sshd", "nginx", "updnew"] {
        assert!(listeners.contains(listener), "{listeners}");
    }
    page.picture("report-patterns.png");

    // The list to copy.
    page.key("7");
    page.value("navigator.clipboard.writeText = async (text) => { globalThis.copied = text; }");
    page.click("#copy-indicators");
    let copied = page.value("copied");
    let copied = copied.as_str().unwrap();
    for line in
        ["address\t203.0.113.77", "domain\tcdn-update.example.com", "path\t/tmp/.cache/upd", "sha256\t"]
    {
        assert!(copied.contains(line), "{line} is not in {copied}");
    }
    page.click("#public-only");
    assert!(!page.text("#indicator-grid .grid-space").contains("10.20."));
    page.check();
}

#[test]
fn the_picture_of_the_traffic_zooms() {
    let made = web();
    let Some(mut page) = Page::open(&made.report, false) else { return };
    let box_of = page.value("(() => { const box = document.querySelector('.u-over').getBoundingClientRect(); return [box.x, box.y, box.width]; })()");
    let (x, y, width) =
        (box_of[0].as_f64().unwrap(), box_of[1].as_f64().unwrap() + 40.0, box_of[2].as_f64().unwrap());
    page.mouse("mouseMoved", x + width * 0.25, y);
    page.mouse("mousePressed", x + width * 0.25, y);
    for part in [0.3, 0.4, 0.5] {
        let params = serde_json::json!({"type": "mouseMoved", "x": x + width * part, "y": y, "button": "left", "buttons": 1});
        page.call("Input.dispatchMouseEvent", params);
    }
    page.mouse("mouseReleased", x + width * 0.5, y);
    page.until("!Number.isNaN(honeReport.selection.from)");
    let span = page.value("[honeReport.selection.from, honeReport.selection.to]");
    let (from, to) = (span[0].as_f64().unwrap() / 1e6, span[1].as_f64().unwrap() / 1e6);
    let noon = (NOON / SECOND) as f64;
    assert!((from - noon - 1800.0).abs() < 120.0 && (to - noon - 3600.0).abs() < 120.0, "{from} to {to}");
    assert!(page.text("#filter-show").contains(" --from 2026-07-30T12:"));

    page.value("document.querySelector('.plot').focus()");
    page.key("0");
    assert_eq!(page.value("Number.isNaN(honeReport.selection.from)"), true);
    page.key("+");
    page.key("ArrowLeft");
    let span = page.value("(honeReport.selection.to - honeReport.selection.from) / 1e6");
    assert!((span.as_f64().unwrap() - 3600.0).abs() < 200.0, "half of two hours: {span}");
    page.check();
}

#[test]
fn it_is_dark_narrow_and_on_paper() {
    let made = web();
    let Some(mut page) = Page::open(&made.report, true) else { return };
    assert_eq!(page.value("document.documentElement.dataset.theme"), "dark");
    page.key("2");
    page.until("document.querySelectorAll('#flows .node').length > 5");
    page.picture("report-flows.png");
    page.click("#flows g[data-node^=remote]");
    assert!(page.text("#chips").contains("other side"));
    page.key("Escape");
    page.key("d");
    assert_eq!(page.value("document.documentElement.dataset.theme"), "light");

    page.size(390, 844, true);
    page.key("1");
    for key in ["1", "2", "3", "4", "5", "6", "7"] {
        page.key(key);
        let wider = page.value("document.documentElement.scrollWidth - innerWidth");
        assert!(wider.as_i64().unwrap() <= 0, "view {key} is wider than the telephone by {wider}");
    }
    page.key("4");
    let visible = page.value("document.querySelectorAll('#connection-grid [role=columnheader]').length");
    assert!((2..=5).contains(&visible.as_u64().unwrap()), "{visible} columns");
    page.picture("report-narrow.png");

    page.size(1280, 800, false);
    let paper = page.print();
    assert!(paper.starts_with(b"%PDF"));
    let pages = paper.windows(11).filter(|bytes| *bytes == b"/Type /Page").count();
    assert!(pages >= 9, "each view begins a page, and tables go on over several: {pages}");
    page.check();
}

#[test]
fn several_hosts_are_in_one_report() {
    let made =
        Made::of(&[("web-1.pcapng", web_server("web-1", 7)), ("web-2.pcapng", web_server("web-2", 8))]);
    let Some(mut page) = Page::open(&made.report, false) else { return };
    let all: u64 = sums(&made.packets(&[]), |_| Some(String::new())).values().sum();
    assert!(page.text("#tiles").contains(&honeutil::text::thousands(all)));
    assert_eq!(page.value("document.querySelectorAll('#host option').length"), 3);
    page.value("(() => { const host = document.getElementById('host'); host.value = '1'; host.dispatchEvent(new Event('change')); })()");
    page.drawn();
    assert!(page.text("#tiles").contains("web-2"));
    assert!(page.text("#filter-show").ends_with("web-2.pcapng"), "{}", page.text("#filter-show"));
    page.check();
}

#[test]
fn a_browser_without_decompression_reads_it_too() {
    let made = web();
    let Some(mut page) = Page::open(&made.report, false) else { return };
    let before = page.text("#connection-count") + &page.text("#tiles");
    let script = "delete globalThis.DecompressionStream; delete Uint8Array.fromBase64;";
    page.call("Page.addScriptToEvaluateOnNewDocument", serde_json::json!({"source": script}));
    page.go(&made.report);
    assert_eq!(page.value("typeof DecompressionStream"), "undefined");
    assert_eq!(page.text("#connection-count") + &page.text("#tiles"), before);
    page.check();
}

#[test]
fn a_torn_recording_is_reported_up_to_the_damage() {
    let directory = directory();
    let mut bytes = web_server("web-1", 7);
    bytes.truncate(bytes.len() / 2 + 1);
    let (file, report) = (directory.path().join("torn.pcapng"), directory.path().join("report.html"));
    std::fs::write(&file, bytes).expect("the directory is ours");
    let output = Command::new(HONEUTIL)
        .args(["report", "-o", path(&report), path(&file)])
        .output()
        .expect("it can be started");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("honeutil repair"), "{said}");
    let Some(mut page) = Page::open(&report, false) else { return };
    assert!(page.text("#limits").contains("could not be read to its end"));
    page.check();
}
