//! The hashes of executables, compared with sha256sum.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hone_pcapng::{Block, ExecutableHash, NoHash, ProcessEventKind, Reader};
use rustix::process::Signal;

use hone_testing::{skip, wait_for};

use crate::guard::ready;
use crate::recorder::{Recorder, directory};
use crate::service::Service;

/// What a recording says so far of the programs of each process: the last part of the path, and the hash.
struct Hashes {
    file: File,
    reader: Reader,
    programs: HashMap<u32, Vec<(String, ExecutableHash)>>,
}

impl Hashes {
    fn of(recorder: &Recorder) -> Self {
        let file = File::open(&recorder.files()[0]).expect("it is there");
        Self { file, reader: Reader::new(), programs: HashMap::new() }
    }

    /// The last program of a process, by what is recorded up to now.
    fn last(&mut self, pid: u32) -> Option<(String, ExecutableHash)> {
        let mut more = Vec::new();
        self.file.read_to_end(&mut more).expect("it can be read");
        self.reader.feed(&more).expect("there is memory");
        while let Some(item) = self.reader.next_block().expect("it is sound") {
            let Block::Process(event) = item.block else { continue };
            let programs = self.programs.entry(event.process).or_default();
            match (event.kind, event.hash) {
                (ProcessEventKind::Started, Some(hash)) => {
                    let path = String::from_utf8_lossy(event.path.as_deref().unwrap_or_default());
                    programs.push((path.rsplit('/').next().unwrap_or_default().to_owned(), hash));
                }
                (ProcessEventKind::Hashed, Some(hash)) => {
                    // Of a fork, there is none.
                    programs.iter_mut().last().into_iter().for_each(|program| program.1 = hash);
                }
                _ => {}
            }
        }
        self.programs.get(&pid)?.last().cloned()
    }

    /// The hash of the last program of a process, once it is known, or why it will not be.
    fn hash_of(&mut self, pid: u32) -> ExecutableHash {
        wait_for("the hash", || {
            self.last(pid).map(|(_, hash)| hash).filter(|&hash| hash != Err(NoHash::Pending))
        })
    }
}

fn truth(path: &Path) -> ExecutableHash {
    let output = Command::new("sha256sum").arg("--").arg(path).output().expect("it is installed");
    let text = String::from_utf8(output.stdout).expect("it is text");
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    Ok(std::array::from_fn(|index| digit(2 * index)))
}

/// A process that is killed when it is dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("it can be executed"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end.
fn run(path: &Path) -> u32 {
    let mut child = Command::new(path).arg("0").spawn().expect("it can be executed");
    assert!(child.wait().expect("it ends").success());
    child.id()
}

#[test]
fn hashes_are_those_of_the_files_that_were_executed() {
    if !ready(&["sha256sum", "python3"]) {
        return;
    }
    let folder = directory();
    let path = |name: &str| folder.path().join(name);
    let copy = |name: &str| {
        std::fs::copy("/bin/sleep", path(name)).expect("there is a program");
        path(name)
    };
    let before = Running::start(Command::new(copy("before")).arg("1000"));
    let recorder = Recorder::start(&["--hash"]);
    let mut hashes = Hashes::of(&recorder);

    // Short, and many of the same file: the first one's hash comes later, the last one's with its start.
    let many = copy("many");
    let first = run(&many);
    assert_eq!(hashes.hash_of(first), truth(&many));
    for _ in 0..20 {
        let next = run(&many);
        let (_, hash) = wait_for("the process", || hashes.last(next));
        assert_eq!(hash, truth(&many), "known from the beginning");
    }

    // Another file takes the place of one that runs. After that, it is executed itself.
    let replaced = copy("replaced");
    let old = truth(&replaced);
    let running = Running::start(Command::new(&replaced).arg("1000"));
    std::fs::copy("/bin/true", path("new")).expect("there is a program");
    std::fs::rename(path("new"), &replaced).expect("it is there");
    // Its time was changed by that: what the process runs cannot be said to be as it was.
    let hash = hashes.hash_of(running.pid());
    assert!(hash == old || hash == Err(NoHash::Changed), "{hash:?}");
    assert_eq!(hashes.hash_of(run(&replaced)), truth(&replaced));

    // The same file with another content.
    let changed = copy("changed");
    assert_eq!(hashes.hash_of(run(&changed)), truth(&changed));
    let mut bytes = std::fs::read(&changed).expect("it can be read");
    bytes.push(0);
    std::fs::write(&changed, bytes).expect("nobody runs it");
    assert_eq!(hashes.hash_of(run(&changed)), truth(&changed));

    // Ended and removed.
    let gone = copy("gone");
    let pid = run(&gone);
    std::fs::remove_file(&gone).expect("it is there");
    let hash = hashes.hash_of(pid);
    assert!(matches!(hash, Ok(_) | Err(NoHash::Gone)) && (hash.is_err() || hash == truth(&many)), "{hash:?}");

    // Larger than what is hashed; the rest of the file takes no room.
    let huge = copy("huge");
    let file = std::fs::OpenOptions::new().write(true).open(&huge).expect("it is there");
    file.set_len(600 << 20).expect("the file system has holes");
    drop(file);
    assert_eq!(hashes.hash_of(run(&huge)), Err(NoHash::TooLarge));

    // A program without a file.
    let script = "import os; fd = os.memfd_create('none'); \
                  os.write(fd, open('/bin/sleep', 'rb').read()); os.execve(fd, ['none', '1000'], {})";
    let memory = Running::start(Command::new("python3").args(["-c", script]));
    let hash = wait_for("the program without a file", || {
        let (name, hash) = hashes.last(memory.pid())?;
        (name == "memfd:none" && hash != Err(NoHash::Pending)).then_some(hash)
    });
    assert_eq!(hash, truth(Path::new("/bin/sleep")));

    // What ran before the recording is hashed last.
    assert_eq!(hashes.hash_of(before.pid()), truth(&path("before")));
    recorder.stop();
}

/// In mounts that only the process sees, and where the kernel's time of a file can be an older one.
#[test]
fn hashes_in_other_mounts_are_right_or_there_are_none() {
    if !ready(&["sha256sum", "unshare", "mount", "python3"]) {
        return;
    }
    let folder = directory();
    // It ends what it has started, also when it is ended itself, of which the kernel tells it (--kill-child).
    let script = r#"
set -e
pids=
trap 'kill $pids' EXIT
trap 'exit 1' TERM
mount -t tmpfs none "$1"
cd "$1"
mkdir lower upper work merged bound
mount -t tmpfs none upper
mkdir upper/upper upper/work
cp /bin/sleep lower/program
mount -t overlay none -o lowerdir=lower,upperdir=upper/upper,workdir=upper/work merged
mount --bind lower bound
merged/program 0
merged/program 1000 &
pids="$pids $!"
echo overlay $! $(sha256sum < merged/program | cut -d " " -f 1)
bound/program 1000 &
pids="$pids $!"
echo bound $! $(sha256sum < bound/program | cut -d " " -f 1)
cp /bin/sleep merged/written
merged/written 0.3
python3 -c 'import mmap; f = open("merged/written", "r+b"); m = mmap.mmap(f.fileno(), 0); m[9] ^= 1; m.close()'
merged/written 1000 &
pids="$pids $!"
echo written $! $(sha256sum < merged/written | cut -d " " -f 1)
wait
"#;
    let recorder = Recorder::start(&["--hash"]);
    let mut hashes = Hashes::of(&recorder);
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "--kill-child=TERM", "--fork", "sh", "-c", script, "sh"]).arg(folder.path());
    let mut shell = shell.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it is installed");
    let lines = std::io::BufReader::new(shell.stdout.take().expect("it is a pipe"));
    let lines: Vec<_> = std::io::BufRead::lines(lines).map_while(Result::ok).take(3).collect();
    let _guard = Running(shell);
    if lines.len() < 3 {
        return skip("no file system can be mounted here");
    }
    for line in lines {
        let [what, pid, sum] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let hash = hashes.hash_of(pid.parse().expect("a number"));
        let text = hash.map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        match what {
            // Written to through memory, which changes no time: it must not have the former hash.
            "written" => assert!(text.is_err() || text.as_deref() == Ok(sum), "{line}: {text:?}"),
            _ => assert_eq!(text.as_deref(), Ok(sum), "{line}"),
        }
    }
    recorder.stop();
}

/// Through honed, whose other threads have no capability.
#[test]
fn honed_hashes_and_the_next_section_has_the_hashes_at_once() {
    if !ready(&["sha256sum"]) {
        return;
    }
    let folder = directory();
    let program = folder.path().join("program");
    std::fs::copy("/bin/sleep", &program).expect("there is a program");
    let service = Service::configured("hash_executables = true");
    let recorder = Recorder::start_through(&service, &["--hash", "-v"]);
    let mut hashes = Hashes::of(&recorder);
    let running = Running::start(Command::new(&program).arg("1000"));
    assert_eq!(hashes.hash_of(running.pid()), truth(&program));
    recorder.signal(Signal::INT);
    let ended = recorder.wait();
    ended.assert_success();
    assert!(ended.stderr.contains("--hash has no effect through honed"), "{}", ended.stderr);

    let recorder = Recorder::start_through(&service, &[]);
    recorder.signal(Signal::INT);
    let recording = recorder.wait().recording();
    let mut events = recording.processes().filter(|event| event.pid == running.pid());
    let event = events.next().expect("it is there when the recording begins");
    assert_eq!((event.kind, event.hash), (ProcessEventKind::Started, Some(truth(&program))));
    assert!(events.next().is_none(), "one event says it all");
}
