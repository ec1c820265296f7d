//! `hone.lua`: the fields that a stock Wireshark and tshark have of the packets' processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hone_testing::{Guarded, directory, run, wait_for};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::guard::ready;
use crate::network::{End, Network};
use crate::recorder::HONEUTIL;
use crate::traffic::wait_until_listening;
use crate::wireshark::in_wireshark;

/// tshark with the fields; no error of Lua may be seen.
fn tshark(place: &Path, arguments: &[&str]) -> Output {
    let output = in_wireshark(place, "tshark", arguments).output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains(".lua"), "no error of Lua: {said}");
    output
}

/// The numbers of the frames that a display filter leaves.
fn frames(place: &Path, file: &Path, how: &[&str], filter: &str) -> Vec<usize> {
    let mut arguments = vec!["-r", file.to_str().expect("it is text")];
    arguments.extend(how);
    arguments.extend([filter, "-T", "fields", "-e", "frame.time_epoch"]);
    let all = ["-r", file.to_str().expect("it is text"), "-T", "fields", "-e", "frame.time_epoch"];
    let output = tshark(place, &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all = String::from_utf8(tshark(place, &all).stdout).expect("it is text");
    let times: Vec<&str> = all.lines().collect();
    let left = String::from_utf8(output.stdout).expect("it is text");
    let left = left.lines();
    left.map(|time| times.iter().position(|known| *known == time).expect("it is a packet of the file"))
        .collect()
}

/// A recording of two pings at once, and the process id of the first.
fn recording(place: &Path) -> (PathBuf, u32) {
    let network = Network::new();
    let ping = || {
        let mut command = network.command(End::A, "ping");
        command.args(["-q", "-i", "0.2"]).arg(network.v4(End::B).to_string());
        Guarded::spawn(command.stdout(Stdio::null()))
    };
    let (wanted, _other) = (ping(), ping());
    let file = place.join("a.pcapng");
    let filter = format!("net {}", network.range());
    let mut read = Command::new(HONEUTIL);
    run(read.args(["read", "--count", "24", "--filter", &filter, "-w"]).arg(&file));
    (file, wanted.pid())
}

/// The positions of a process's packets as `show` has them.
fn truth(file: &Path, pid: u32) -> Vec<usize> {
    let shown = run(Command::new(HONEUTIL).arg("show").arg(file));
    let packets = shown.lines().filter(|line| line.contains(" PAKT ")).enumerate();
    let pid = pid.to_string();
    packets
        .filter(|(_, line)| line.split_whitespace().nth(2) == Some(&pid))
        .map(|(number, _)| number)
        .collect()
}

#[test]
fn a_filter_leaves_exactly_the_packets_of_a_process_in_one_and_two_passes_and_compressed() {
    if !ready(&["unshare", "mount", "ping", "tshark", "gzip", "zstd"]) {
        return;
    }
    let place = directory();
    let (file, pid) = recording(place.path());
    let truth = truth(&file, pid);
    assert!(!truth.is_empty() && truth.len() < 24, "{truth:?}");
    run(Command::new("gzip").arg("-k").arg(&file));
    run(Command::new("zstd").args(["-q", "-k"]).arg(&file));
    let filter = format!("hone.pid == {pid} && hone.name == \"ping\"");
    for suffix in ["", ".gz", ".zst"] {
        let file = PathBuf::from(format!("{}{suffix}", file.display()));
        for how in [&["-Y"][..], &["-2", "-Y"], &["-2", "-R"]] {
            assert_eq!(frames(place.path(), &file, how, &filter), truth, "{} {how:?}", file.display());
        }
    }
}

#[test]
fn no_damaged_recording_makes_the_script_fail() {
    if !ready(&["unshare", "mount", "ping", "tshark"]) {
        return;
    }
    let place = directory();
    let (file, _) = recording(place.path());
    let content = std::fs::read(&file).expect("it was recorded");
    let damaged = place.path().join("damaged.pcapng");
    // Cut off, and with bytes changed, all over the file.
    for step in 0..4 {
        let at = content.len() * step / 4 + 7;
        for bytes in [&content[..at.min(content.len())], &changed(&content, at)] {
            std::fs::write(&damaged, bytes).expect("the directory is ours");
            let output = tshark(
                place.path(),
                &["-r", damaged.to_str().expect("it is text"), "-T", "fields", "-e", "hone.note"],
            );
            assert!(output.status.code().is_some(), "at {at}: {}", output.status);
            assert!(
                !String::from_utf8_lossy(&output.stdout).contains("hone.lua"),
                "at {at}: an error of the script"
            );
        }
    }
}

/// With every 97th byte from `at` on another one.
fn changed(content: &[u8], at: usize) -> Vec<u8> {
    let mut content = content.to_vec();
    for byte in content.iter_mut().skip(at).step_by(97) {
        *byte ^= 0xFF;
    }
    content
}

/// A capture is in the temporary file of dumpcap, which can be read a second time.
#[test]
fn a_capture_from_a_pipe_has_its_processes_and_a_pipe_that_is_read_a_note_why_not() {
    if !ready(&["unshare", "mount", "ping", "tshark", "mkfifo", "sh"]) {
        return;
    }
    let place = directory();
    let (file, pid) = recording(place.path());
    let pipe = place.path().join("pipe");
    run(Command::new("mkfifo").arg(&pipe));
    let lines = |option: &str| {
        let mut writer = Command::new("sh");
        let _writer = Guarded::spawn(writer.args(["-c", "cat \"$1\" > \"$2\"", "sh"]).arg(&file).arg(&pipe));
        let pipe = pipe.to_str().expect("it is text");
        let output =
            tshark(place.path(), &[option, pipe, "-T", "fields", "-e", "hone.pid", "-e", "hone.note"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).expect("it is text");
        lines.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let captured = lines("-i");
    let of_pid = captured.iter().enumerate().filter(|(_, line)| **line == format!("{pid}\t"));
    assert_eq!(of_pid.map(|(number, _)| number).collect::<Vec<_>>(), truth(&file, pid), "{captured:?}");
    let notes = lines("-r");
    let has_note = |note: &&String| note.contains("is a pipe") && note.contains("-i - instead of -r -");
    assert_eq!(notes.iter().filter(has_note).count(), 24, "{notes:?}");
}

/// The comments say what the options of the same recording say, but for the fields that comments do not have.
#[test]
fn a_pipe_of_comments_has_the_fields_that_comments_say() {
    if !ready(&["unshare", "mount", "ping", "tshark", "mkfifo", "sh"]) {
        return;
    }
    let place = directory();
    let (file, _) = recording(place.path());
    let commented = place.path().join("commented.pcapng");
    let mut convert = Command::new(HONEUTIL);
    run(convert.arg("convert").arg(&file).arg(&commented).args(["--to", "comments"]));
    let pipe = place.path().join("pipe");
    run(Command::new("mkfifo").arg(&pipe));
    let fields = |file: &Path, filter: &str, fields: &[&str]| {
        let mut arguments = vec!["-r", file.to_str().expect("it is text"), "-Y", filter, "-T", "fields"];
        arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
        let output = tshark(place.path(), &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it is text")
    };
    let through_pipe = |filter: &str, names: &[&str]| {
        let mut writer = Command::new("sh");
        let script = "cat \"$1\" > \"$2\"";
        let _writer = Guarded::spawn(writer.args(["-c", script, "sh"]).arg(&commented).arg(&pipe));
        fields(&pipe, filter, names)
    };
    let names =
        ["hone.pid", "hone.name", "hone.path", "hone.user", "hone.conn", "hone.how", "hone.direction"];
    let filter = "hone.name == \"ping\"";
    let expected = fields(&file, filter, &names);
    assert!(expected.lines().count() > 0 && expected.contains("ping\t/"), "{expected}");
    assert_eq!(through_pipe(filter, &names), expected);
    let notes = through_pipe("hone.name", &["hone.cmdline", "hone.note"]);
    assert!(
        notes.lines().all(|line| line.starts_with("\tfrom the packet's comment")),
        "the missing fields are said: {notes}"
    );
}

const PORT: u16 = 8000;
/// The ports of curl's requests; others are from 32768 on.
const CURL: std::ops::Range<u16> = 31_000..32_000;
/// That of the request that counts while packets are captured.
const REQUEST: &str = "31999";

/// A web server, and requests to it: of curl, and of Python.
pub(crate) struct Web {
    pub(crate) network: Network,
    _server: Guarded,
    _site: TempDir,
}

impl Web {
    pub(crate) fn start() -> Self {
        let (network, site) = (Network::new(), directory());
        std::fs::write(site.path().join("page"), vec![b'x'; 100_000]).expect("the directory is ours");
        let mut command = network.command(End::B, "python3");
        command.args(["-m", "http.server", &PORT.to_string(), "--directory"]).arg(site.path());
        let mut server = Guarded::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
        wait_until_listening(&mut server, PORT);
        Self { network, _server: server, _site: site }
    }

    fn url(&self) -> String {
        format!("http://{}:{PORT}/page", self.network.v4(End::B))
    }

    pub(crate) fn curl(&self, more: &[&str; 2]) {
        let mut command = self.network.command(End::A, "curl");
        run(command.args(["--silent", "--fail", "--output", "/dev/null"]).args(more).arg(self.url()));
    }

    pub(crate) fn python(&self) {
        let mut command = self.network.command(End::A, "python3");
        let script = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).read()";
        run(command.args(["-c", script]).arg(self.url()));
    }
}

/// The words of each line that tshark prints.
fn lines(text: &[u8]) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(text).into_owned();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// What a packet's addresses say: curl sends from A, and receives what is sent to A. The other packets are seen at B.
fn of_curl(line: &[String]) -> bool {
    let [source, destination, direction, ..] = line else { panic!("{line:?}") };
    let of_curl = |port: &String| port.parse().is_ok_and(|port| CURL.contains(&port));
    (of_curl(source) && direction == "out") || (of_curl(destination) && direction == "in")
}

#[test]
fn a_filter_on_curl_selects_exactly_its_packets_while_they_are_captured() {
    if !ready(&["unshare", "mount", "curl", "python3", "tshark"]) {
        return;
    }
    let (place, web) = (directory(), Web::start());
    let net = format!("net {} and tcp", web.network.range());
    let fields = ["tcp.srcport", "tcp.dstport", "hone.direction", "hone.name", "tcp.seq", "tcp.flags.fin"];
    let capture = |name: &str, filter: &str| {
        let mut arguments = vec!["-l", "-n", "-i", "hone", "-f", &net, "-Y", filter, "-T", "fields"];
        arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
        let mut command = in_wireshark(place.path(), "tshark", &arguments);
        let file = |name: String| File::create(place.path().join(name)).expect("the directory is ours");
        Guarded::spawn(command.stdout(file(name.to_owned())).stderr(file(format!("{name}.log"))))
    };
    let printed = |name: &str| lines(&std::fs::read(place.path().join(name)).expect("it is ours"));
    let mut both = [capture("all", "tcp"), capture("curl", "hone.name == \"curl\"")];
    wait_for("both capture", || {
        web.curl(&["--local-port", "31000-31998"]);
        (!printed("all").is_empty() && !printed("curl").is_empty()).then_some(())
    });
    web.python();
    web.curl(&["--local-port", REQUEST]);
    let ours = |name: &str| {
        let ours = |line: &Vec<String>| line[..2].iter().any(|port| port == REQUEST);
        printed(name).into_iter().filter(ours).collect::<Vec<_>>()
    };
    // Each end is seen twice, and so is each of its two last segments.
    let ended = |lines: &[Vec<String>], count| lines.iter().filter(|line| line[5] == "1").count() >= count;
    wait_for("both have all of it", || {
        web.python();
        (ended(&ours("all"), 4) && ended(&ours("curl"), 2)).then_some(())
    });
    for tshark in &mut both {
        tshark.signal(Signal::INT);
        tshark.wait("tshark ends");
    }
    let said = std::fs::read_to_string(place.path().join("curl.log")).expect("it is ours");
    assert!(!said.contains(".lua"), "{said}");
    let all = ours("all");
    for line in &all {
        assert_eq!(line[3] == "curl", of_curl(line), "{line:?}");
    }
    let expected: Vec<_> = all.into_iter().filter(|line| of_curl(line)).collect();
    assert!(expected.len() >= 8, "{expected:?}");
    assert_eq!(ours("curl"), expected, "the filter leaves all of curl, and nothing else");
    assert!(printed("curl").iter().all(|line| line[3] == "curl"));
    assert!(printed("all").iter().any(|line| line[3].starts_with("python")), "others were captured");
}

#[test]
fn each_file_of_a_rotated_recording_has_the_processes_of_its_packets() {
    if !ready(&["unshare", "mount", "curl", "python3", "tshark"]) {
        return;
    }
    let (place, web) = (directory(), Web::start());
    let mut command = Command::new(HONEUTIL);
    command.args(["read", "--rotate-size", "1M", "--filter", &format!("net {}", web.network.range())]);
    command.arg("-w").arg(place.path().join("a.pcapng"));
    let log = File::create(place.path().join("log")).expect("the directory is ours");
    let mut recorder = Guarded::spawn(command.stdin(Stdio::null()).stderr(log));
    let files = || {
        let entries = std::fs::read_dir(place.path()).expect("it is ours").flatten();
        let mut files: Vec<_> = entries
            .map(|e| e.path())
            .filter(|path| path.extension().is_some_and(|e| e == "pcapng"))
            .collect();
        files.sort();
        files
    };
    wait_for("four files", || {
        web.curl(&["--local-port", "31000-31999"]);
        web.python();
        (files().len() > 3).then_some(())
    });
    recorder.signal(Signal::INT);
    assert!(recorder.wait("honeutil ends").success());
    let mut seen = 0;
    for file in files() {
        let mut arguments = vec!["-n", "-r", file.to_str().expect("it is text"), "-Y", "tcp", "-T", "fields"];
        let fields = ["tcp.srcport", "tcp.dstport", "hone.direction", "hone.name"];
        arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
        for line in lines(&tshark(place.path(), &arguments).stdout) {
            assert_eq!(line[3] == "curl", of_curl(&line), "{}: {line:?}", file.display());
            seen += usize::from(line[3] == "curl");
        }
    }
    assert!(seen > 0, "there are packets of curl");
}
