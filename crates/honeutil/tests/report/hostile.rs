//! Names that others chose show as text, whatever they contain; and many of them.

use crate::browser::Page;
use crate::page::Made;
use crate::sample::{LOCAL, NOON, Program, Recording, SECOND, Talk};

/// Names that would do something if they were more than text.
const NAMES: [&str; 9] = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "<!--<script>",
    "\"'`><svg onload=alert(3)>",
    "javascript:alert(4)",
    "\u{202e}gpj.exe",
    "a\u{2028}alert(5)\u{2029}b",
    "${alert(6)}{{7*7}}",
    "__proto__",
];

fn hostile(names: impl Iterator<Item = String>) -> Vec<u8> {
    let mut recording = Recording::of("<b>host</b></script>");
    for (number, name) in (0..).zip(names) {
        let path = format!("/tmp/{name}");
        let arguments = [&*path, &*name];
        let pid = 1000 + number;
        let program = Program {
            pid,
            parent: 1 + number % 50,
            path: &path,
            arguments: &arguments,
            user: &name,
            unit: &name,
        };
        let at = NOON + u64::from(number) * SECOND / 100;
        recording.start(at, &program);
        recording.talk(&Talk {
            id: u64::from(number) + 1,
            pid: Some(pid),
            at,
            lasts: SECOND,
            protocol: 17,
            local: (LOCAL, 40_000),
            remote: ([198, 51, 100, 7].into(), 123),
            is_out: true,
            sent: 100,
            received: 0,
        });
    }
    recording.finish(0)
}

#[test]
fn hostile_names_are_text_and_nothing_runs() {
    // The file's name is shown, too.
    let made = Made::of(&[(
        "<img src=x onerror=alert(7)>.pcapng",
        hostile(NAMES.iter().map(|name| (*name).to_owned())),
    )]);
    let Some(mut page) = Page::open(&made.report, false) else { return };
    page.value("globalThis.alert = () => { throw new Error('it ran'); }");
    page.value("document.addEventListener('securitypolicyviolation', (event) => console.error(globalThis.violated = event.violatedDirective))");
    for key in ["1", "2", "3", "4", "5", "6", "7"] {
        page.key(key);
        let made_elements = page.value("document.querySelectorAll('img, iframe, object, embed, b:not(.note b), svg:not([role]), script:not([id]):nth-of-type(n+3)').length");
        assert_eq!(made_elements, 0, "view {key}");
    }
    page.key("3");
    let shown = page.text("#process-grid .grid-space");
    // The name is what is behind the last slash of the path.
    for name in [
        "<img src=x onerror=alert(1)>",
        "script><script>alert(2)",
        "${alert(6)}{{7*7}}",
        "__proto__",
        r"\u{202e}gpj.exe",
        r"a\u{2028}alert(5)\u{2029}b",
    ] {
        assert!(shown.contains(name), "{name} is not in {shown}");
    }
    assert!(!shown.contains(['\u{202e}', '\u{2028}', '\u{2029}']));
    for row in 0..NAMES.len() {
        page.value(&format!("honeReport.select({{process: {row}, connection: {row}}})"));
        page.drawn();
    }
    // The names are in the page as text only; and a script that came in by another way would not run.
    page.check();
    let ran = page.value("(() => { try { document.body.innerHTML = '<img src=x onerror=alert(8)>'; return 'markup was taken'; } catch (error) { return error.name; } })()");
    assert_eq!(ran, "TypeError", "the policy forbids text as markup");
    page.value("(() => { const script = document.createElement('script'); script.append('globalThis.ran = true'); document.body.append(script); })()");
    assert_eq!(page.value("globalThis.ran === undefined"), true);
}

#[test]
fn a_hundred_thousand_processes_and_connections_open_in_a_moment() {
    let names = (0..100_000).map(|number| format!("{} {number}", NAMES[number % NAMES.len()]));
    let made = Made::of(&[("many.pcapng", hostile(names))]);
    let Some(mut page) = Page::open(&made.report, false) else { return };
    assert_eq!(page.value("honeReport.connections.count"), 100_000);
    let opened = page.value("Number(document.documentElement.dataset.ready)");
    // The figure is in docs/report.md. Here, only what would be a fault on any machine fails.
    eprintln!("the page was ready after {opened} ms");
    page.key("4");
    page.until("document.querySelectorAll('#connection-grid .grid-row').length > 10");
    let rows = page.value("document.querySelectorAll('#connection-grid .grid-row').length");
    assert!(rows.as_u64().unwrap() < 100, "only the rows in sight are elements: {rows}");
    page.click("#connection-grid [data-key=program]");
    page.value("document.querySelector('#connection-grid .grid-body').focus()");
    page.key("End");
    assert!(page.text("#connection-grid .grid-row:last-child").contains(" 9"));
    page.key("3");
    page.until("document.querySelectorAll('#process-grid .grid-row').length > 10");
    page.check();
}
