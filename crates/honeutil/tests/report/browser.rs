//! A browser without a window, driven by Chromium's DevTools protocol through its pipe: messages of JSON, a zero byte after each.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hone_testing::{Guarded, PATIENCE, run, skip};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What Chromium is called.
const PROGRAMS: [&str; 4] = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = || std::env::split_paths(&path);
    PROGRAMS.iter().find_map(|name| all().map(|directory| directory.join(name)).find(|file| file.exists()))
}

/// A page in a browser of its own.
pub(crate) struct Page {
    browser: Guarded,
    input: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    last: u64,
    /// What the page asked for, what went wrong in it, and what its policy forbade.
    pub(crate) requests: Vec<String>,
    pub(crate) troubles: Vec<String>,
    _home: TempDir,
}

impl Page {
    /// Opens a report. `None` if no browser is installed.
    pub(crate) fn open(report: &Path, is_dark: bool) -> Option<Self> {
        let mut page = Self::start()?;
        page.dark(is_dark);
        page.go(report);
        Some(page)
    }

    fn start() -> Option<Self> {
        let Some(program) = installed() else {
            skip("no chromium is installed: apt install chromium-headless-shell");
            return None;
        };
        let home = tempfile::tempdir().expect("a directory can be made");
        let mut command = Command::new("sh");
        let script = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#;
        command.args(["-c", script]).arg(program).args([
            "--headless",
            "--remote-debugging-pipe",
            "--disable-gpu",
        ]);
        command.args([
            "--no-first-run",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
        ]);
        // As root, its sandbox does not work.
        command.args(["--no-sandbox", "--force-color-profile=srgb", "--font-render-hinting=none"]);
        command.arg(format!("--user-data-dir={}", home.path().display())).arg("about:blank");
        command.env("HOME", home.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut browser = Guarded::spawn(&mut command);
        let input = browser.child().stdin.take().expect("it is a pipe");
        let mut output = BufReader::new(browser.child().stdout.take().expect("it is a pipe"));
        let (sender, messages) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|count| count > 0) {
                message.pop();
                let value = serde_json::from_slice(&message).expect("it is JSON");
                if sender.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let (requests, troubles) = (Vec::new(), Vec::new());
        let mut page =
            Self { browser, input, messages, session: None, last: 0, requests, troubles, _home: home };
        let target = page.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached =
            page.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        page.session = Some(attached["sessionId"].as_str().expect("it has a session").to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.size(1280, 800, false);
        Some(page)
    }

    /// Opens another report.
    pub(crate) fn go(&mut self, report: &Path) {
        self.call("Page.navigate", json!({"url": format!("file://{}", report.display())}));
        self.until("document.documentElement.dataset.ready !== undefined || document.getElementById('problem')?.hidden === false");
        assert_eq!(self.value("document.getElementById('problem').textContent"), "");
    }

    /// Asks for something, and returns the answer.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).expect("the browser runs");
        loop {
            let answer =
                self.messages.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer to {method}"));
            self.note(&answer);
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }

    /// Takes note of an event.
    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                self.requests.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            Some("Runtime.exceptionThrown") => self.troubles.push(params["exceptionDetails"].to_string()),
            Some("Log.entryAdded") => self.troubles.push(params["entry"]["text"].to_string()),
            Some("Page.javascriptDialogOpening") => self.troubles.push(format!("a dialog: {params}")),
            _ => {}
        }
    }

    /// The value of an expression in the page. It may be a promise.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// The text of the first element of a selector.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({selector:?})?.textContent"));
        text.as_str().unwrap_or_else(|| panic!("there is no {selector}")).to_owned()
    }

    /// Waits until an expression is true, and everything is drawn.
    pub(crate) fn until(&mut self, expression: &str) {
        let wait = format!(
            "new Promise((done) => {{ const look = () => {{ let is = false; try {{ is = {expression}; }} catch {{}} \
             if (is) requestAnimationFrame(() => requestAnimationFrame(() => done(true))); else setTimeout(look, 20); }}; look(); }})"
        );
        assert_eq!(self.value(&wait), true);
    }

    /// Waits until what has changed is drawn.
    pub(crate) fn drawn(&mut self) {
        self.until("true");
    }

    /// Clicks in the middle of the first element of a selector.
    pub(crate) fn click(&mut self, selector: &str) {
        let place = self.value(&format!(
            "(() => {{ const one = document.querySelector({selector:?}); one.scrollIntoView({{block: 'nearest'}}); \
             const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        ));
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            self.mouse(kind, place[0].as_f64().unwrap(), place[1].as_f64().unwrap());
        }
        self.drawn();
    }

    /// Moves, presses or releases the mouse.
    pub(crate) fn mouse(&mut self, kind: &str, x: f64, y: f64) {
        let pressed = if kind == "mouseMoved" { 0 } else { 1 };
        let button = if pressed == 1 { "left" } else { "none" };
        let params = json!({"type": kind, "x": x, "y": y, "button": button, "buttons": pressed, "clickCount": pressed});
        self.call("Input.dispatchMouseEvent", params);
    }

    /// Presses a key: a character, or a name such as `ArrowDown`.
    pub(crate) fn key(&mut self, key: &str) {
        let mut params = json!({"type": "keyDown", "key": key, "code": key});
        if key.chars().count() == 1 {
            params["text"] = key.into();
        }
        if key == "Enter" {
            params["text"] = "\r".into();
            params["windowsVirtualKeyCode"] = 13.into();
        }
        self.call("Input.dispatchKeyEvent", params);
        self.call("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key, "code": key}));
        self.drawn();
    }

    /// Types a text where the focus is.
    pub(crate) fn typed(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
        self.drawn();
    }

    /// The size of the window, in pixels.
    pub(crate) fn size(&mut self, width: u32, height: u32, is_phone: bool) {
        let params = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.call("Emulation.setDeviceMetricsOverride", params);
    }

    /// Whether the system prefers dark colours.
    pub(crate) fn dark(&mut self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// The page on paper, as PDF.
    pub(crate) fn print(&mut self) -> Vec<u8> {
        let printed = self.call("Page.printToPDF", json!({"landscape": true, "printBackground": true}));
        STANDARD.decode(printed["data"].as_str().unwrap()).expect("it is base64")
    }

    /// A picture of the window. With HONE_PICTURES, it is kept there under this name.
    pub(crate) fn picture(&mut self, name: &str) -> Vec<u8> {
        self.drawn();
        let picture = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).expect("it is base64");
        if let Some(pictures) = std::env::var_os("HONE_PICTURES") {
            let path = Path::new(&pictures).join(name);
            std::fs::write(&path, &bytes).expect("the directory is there");
            // Few colours make it small.
            let few = ["+dither", "-colors", "64", "-depth", "8", "-strip"];
            run(Command::new("mogrify").args(few).arg(path));
        }
        bytes
    }

    /// Nothing was asked for but the report itself, and nothing went wrong.
    pub(crate) fn check(&mut self) {
        self.drawn();
        let others: Vec<_> = self
            .requests
            .iter()
            .filter(|url| !url.starts_with("file:///") && *url != "about:blank")
            .collect();
        assert!(others.is_empty(), "the page asked for {others:?}");
        assert!(self.troubles.is_empty(), "{:?}", self.troubles);
        assert!(self.browser.ended().is_none());
    }
}
