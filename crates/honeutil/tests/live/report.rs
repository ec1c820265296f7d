//! A report of real traffic in a browser, compared with `show --json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use hone_testing::run;
use serde_json::Value;

use crate::names::{objects, show};
use crate::recorder::HONEUTIL;

#[path = "../report/browser.rs"]
#[allow(dead_code, reason = "the tests of the page use all of it")]
mod browser;

/// Whose sums, names or ancestors, as text.
type Texts = BTreeMap<String, String>;

/// An object of JavaScript, without what is empty.
fn texts(value: &Value) -> Texts {
    let object = value.as_object().expect("it is an object");
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let all = object.iter().map(|(key, value)| (key.clone(), text(value)));
    all.filter(|(_, text)| !matches!(&**text, "" | "0")).collect()
}

/// Compares all of the report of these packets: numbers, names, and from which processes each process descends.
pub(crate) fn is_as_shown(file: &Path, place: &Path, words: &[&str]) {
    let report = place.join("report.html");
    let mut command = Command::new(HONEUTIL);
    run(command.arg("report").args(words).arg("-o").arg(&report).arg(file).stderr(Stdio::null()));
    let Some(mut page) = browser::Page::open(&report, false) else { return };

    let events = objects(&show(file, &[&["--json"], words].concat()));
    let (mut of_connections, mut of_processes) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, u64>::new());
    let (mut domains, mut names) = (Texts::new(), BTreeSet::new());
    for packet in &events {
        let bytes = packet["network"]["bytes"].as_u64().expect("it is a packet");
        let connection = packet["hone"]["connection"]["id"].to_string();
        let process = packet["process"]["pid"].to_string();
        let text = |path: &str| packet.pointer(path).and_then(Value::as_str).map(str::to_owned);
        if let Some(domain) = text("/source/domain").or(text("/destination/domain")) {
            domains.insert(connection.clone(), domain);
        }
        *of_connections.entry(connection).or_default() += bytes;
        if let Some(kind) = text("/network/protocol") {
            let name = text("/dns/question/name").or(text("/tls/client/server_name")).or(text("/url/domain"));
            names.insert(format!("{kind} {} {process}", name.unwrap_or_default()));
        }
        if process != "null" {
            *of_processes.entry(process).or_default() += bytes;
        }
    }
    let sums = |sums: BTreeMap<String, u64>| -> Texts {
        sums.into_iter().map(|(key, sum)| (key, sum.to_string())).collect()
    };
    let sum = |id: &str, rows: &str, what: &str| {
        format!(
            "Array.from({rows}, (_, row) => row).reduce((all, row) => {{ const id = {id} || null; all[id] = (all[id] ?? 0) + {what}; return all; }}, {{}})"
        )
    };
    let found = page.value(&sum(
        "honeReport.connectionId(row)",
        "honeReport.connections.open",
        "honeReport.bytes(row)",
    ));
    assert_eq!(texts(&found), sums(of_connections));
    let found = page.value(&sum(
        "honeReport.processes.pid[row]",
        "honeReport.processes.pid",
        "honeReport.processes.bytes[row]",
    ));
    assert_eq!(texts(&found), sums(of_processes.clone()));
    let found = page.value(
        "(() => { const { connections, text } = honeReport; return Object.fromEntries(Array.from(connections.open, (_, row) => \
         [honeReport.connectionId(row), text(connections.remote_name[row]) || text(connections.local_name[row])])); })()",
    );
    assert_eq!(texts(&found), domains);
    let found = page.value(
        "(() => { const { names, processes, text } = honeReport; return Array.from(names.time, (_, row) => \
         `${text(names.kind[row])} ${text(names.name[row])} ${processes.pid[names.process[row]] ?? null}`); })()",
    );
    let found = found.as_array().expect("it is an array").iter();
    assert_eq!(
        found.map(|name| name.as_str().unwrap_or_default().to_owned()).collect::<BTreeSet<_>>(),
        names
    );

    // In the tree, each process with traffic stands below those that `show` names as its ancestors.
    let pids: Vec<&str> = of_processes.keys().flat_map(|pid| ["--pid", pid]).collect();
    let mut ancestors = Texts::new();
    for event in objects(&show(file, &[&["--json"], &pids[..]].concat())) {
        if let Some(all) = event["hone"]["ancestors"].as_array() {
            let all = all.iter().map(|one| format!("{} {}", one["pid"], one["name"].as_str().unwrap_or("")));
            ancestors.insert(event["process"]["pid"].to_string(), all.collect::<Vec<_>>().join(" < "));
        }
    }
    let found = page.value(
        "(() => { const { processes, above, text } = honeReport, all = {}; \
         processes.pid.forEach((pid, row) => { if (!processes.bytes[row]) return; const line = []; \
         for (let at = above[row]; at < processes.count; at = above[at]) line.push(`${processes.pid[at]} ${text(processes.name[at])}`); \
         all[pid] = line.join(' < '); }); return all; })()",
    );
    assert_eq!(texts(&found), ancestors);
    assert!(!ancestors.is_empty() && !domains.is_empty());
    page.check();
}
