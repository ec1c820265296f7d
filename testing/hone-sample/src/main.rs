//! Traffic for a first recording, so that even a quiet machine has something to show: five processes that use TCP, UDP
//! and ICMP, over IPv4 and IPv6, on loopback addresses only. `scripts/quickstart` runs it.
//!
//! The name of a process is the name of its executable. So each part runs from a copy of this program with its own
//! name, in the folder `sample` beside it. A part first prints one line to standard output: its process id, then the
//! addresses at which it serves. Everything has a limit: sockets give up after [`PATIENCE`], and a server ends when its
//! standard input ends.

#![forbid(unsafe_code)]

mod echo;

use std::fmt::Display;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio, id};
use std::thread;
use std::time::Duration;

const USAGE: &str = "\
usage: hone-sample [COMMAND ARGUMENTS...]
Plays sample traffic on loopback addresses, and prints the name and the process id of each process that did.
COMMAND (`sudo -n`) runs the part that sends echo requests, where this user may not send them.";

/// How long a socket waits before its process gives up.
const PATIENCE: Duration = Duration::from_secs(5);
// A summary shows only the busiest processes. So each part moves some hundred kilobytes within a few milliseconds.
/// Number of bytes that `sample-download` requests.
const DOWNLOAD: usize = 3 << 20;
/// Number of questions that `sample-lookup` sends to each address.
const QUESTIONS: usize = 100;
/// Number of echo requests that `sample-ping` sends to each address.
const ECHO_REQUESTS: u16 = 50;
/// Length of the longest question and of its answer, in bytes.
const DATAGRAM: usize = 1000;

type Outcome<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        ["part", "server", addresses @ ..] => serve(addresses),
        ["part", "names", addresses @ ..] => answer(addresses),
        ["part", "download", addresses @ ..] => part(addresses, download),
        ["part", "lookup", addresses @ ..] => part(addresses, look_up),
        ["part", "ping", addresses @ ..] => part(addresses, ping),
        [option, ..] if option.starts_with('-') => Err(USAGE.to_owned()),
        with_rights => play(with_rights),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hone-sample: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Adds what failed to an error.
fn saying<E: Display>(what: impl Display) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

/// Runs all parts, one after another, and prints their process ids. Leaves out, and reports, what this machine does not
/// permit.
fn play(with_rights: &[&str]) -> Outcome {
    let mut hosts = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => hosts.push(Ipv6Addr::LOCALHOST.into()),
        Err(error) => eprintln!("hone-sample: nothing over IPv6, which this machine does not have ({error})"),
    }
    let any_port: Vec<_> = hosts.iter().map(|host| SocketAddr::new(*host, 0).to_string()).collect();
    let place = Place::new()?;

    let mut server = place.start("server", &any_port, &[])?;
    let downloads = server.addresses.clone();
    place.start("download", &downloads, &[])?.finish()?;
    server.finish()?;

    let mut names = place.start("names", &any_port, &[])?;
    let questions = names.addresses.clone();
    place.start("lookup", &questions, &[])?.finish()?;
    names.finish()?;

    let allowed = hosts.iter().try_for_each(|host| echo::Echo::new(*host).map(drop));
    let prefix = if allowed.is_ok() { &[] } else { with_rights };
    let pinged = match allowed {
        Err(error) if with_rights.is_empty() => Err(error.to_string()),
        _ => place.start("ping", &any_port, prefix).and_then(|mut ping| ping.finish()),
    };
    if let Err(error) = pinged {
        eprintln!("hone-sample: no echo requests, which this user may not send ({error})");
    }
    Ok(())
}

/// The folder with the copies of this program.
struct Place {
    program: PathBuf,
    folder: PathBuf,
}

impl Place {
    fn new() -> Outcome<Self> {
        let program = std::env::current_exe().map_err(saying("this program's own path"))?;
        let folder = program.parent().unwrap_or(Path::new("/")).join("sample");
        fs::create_dir_all(&folder).map_err(saying(folder.display()))?;
        Ok(Self { program, folder })
    }

    /// Starts a part from a copy with the part's name, and waits until the part reports that it is ready.
    fn start(&self, name: &str, arguments: &[String], prefix: &[&str]) -> Outcome<Part> {
        let name_shown = format!("sample-{name}");
        let copy = self.folder.join(&name_shown);
        // An older copy may belong to another user, or may be running: it is replaced, not overwritten.
        match fs::remove_file(&copy) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(saying(copy.display())(error));
            }
            _ => {}
        }
        fs::copy(&self.program, &copy).map_err(saying(copy.display()))?;
        let mut command = match prefix {
            [] => Command::new(&copy),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&copy);
                command
            }
        };
        command.args(["part", name]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(saying(&name_shown))?;
        let stdout = child.stdout.take().ok_or("a child without standard output")?;
        let mut part = Part { name: name_shown, child, stdout: BufReader::new(stdout), addresses: vec![] };
        part.greet()?;
        Ok(part)
    }
}

/// A running part.
struct Part {
    name: String,
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// The addresses at which it serves.
    addresses: Vec<String>,
}

impl Part {
    /// Reads the part's first line and prints the process.
    fn greet(&mut self) -> Outcome {
        let mut line = String::new();
        self.stdout.read_line(&mut line).map_err(saying(&self.name))?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let Some(pid) = words.next() else {
            return self.finish().and(Err(format!("{} said nothing", self.name)));
        };
        self.addresses = words.collect();
        println!("{} {pid}", self.name);
        Ok(())
    }

    /// Closes the part's input, which ends a server, and waits until the part ends.
    fn finish(&mut self) -> Outcome {
        drop(self.child.stdin.take());
        let status = self.child.wait().map_err(saying(&self.name))?;
        if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", self.name)) }
    }
}

/// Prints the first line of a part.
fn say(addresses: &[SocketAddr]) -> Outcome {
    let addresses: String = addresses.iter().map(|address| format!(" {address}")).collect();
    let mut out = io::stdout().lock();
    writeln!(out, "{}{addresses}", id()).and_then(|()| out.flush()).map_err(saying("standard output"))
}

/// Waits for the end of standard input. Threads that serve end with the process.
fn until_told() -> Outcome {
    io::copy(&mut io::stdin().lock(), &mut io::sink()).map(drop).map_err(saying("standard input"))
}

/// A part that runs `at` for each address.
fn part(addresses: &[&str], at: fn(SocketAddr) -> io::Result<()>) -> Outcome {
    say(&[])?;
    addresses
        .iter()
        .try_for_each(|address| at(address.parse().map_err(saying(address))?).map_err(saying(address)))
}

/// `sample-server`. A connection begins with the number of requested bytes: eight bytes, big-endian.
fn serve(addresses: &[&str]) -> Outcome {
    let mut local = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address).map_err(saying(address))?;
        local.push(listener.local_addr().map_err(saying(address))?);
        thread::spawn(move || {
            // A client that disconnects ends its connection, not the server.
            listener.incoming().for_each(|stream| drop(stream.and_then(serve_one)));
        });
    }
    say(&local)?;
    until_told()
}

fn serve_one(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut wanted = [0; 8];
    stream.read_exact(&mut wanted)?;
    io::copy(&mut io::repeat(b'.').take(u64::from_be_bytes(wanted)), &mut stream)?;
    Ok(())
}

/// `sample-download`: requests [`DOWNLOAD`] bytes from a server.
fn download(server: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&(DOWNLOAD as u64).to_be_bytes())?;
    let got = io::copy(&mut stream, &mut io::sink())?;
    if got == DOWNLOAD as u64 { Ok(()) } else { Err(io::Error::other(format!("{got} bytes came"))) }
}

/// `sample-names`: answers each datagram with one of [`DATAGRAM`] bytes.
fn answer(addresses: &[&str]) -> Outcome {
    let mut local = Vec::new();
    for address in addresses {
        let socket = UdpSocket::bind(address).map_err(saying(address))?;
        local.push(socket.local_addr().map_err(saying(address))?);
        thread::spawn(move || {
            let mut question = [0; DATAGRAM];
            while let Ok((_, peer)) = socket.recv_from(&mut question) {
                // A client that no longer exists gets no answer.
                let _ = socket.send_to(&[b'.'; DATAGRAM], peer);
            }
        });
    }
    say(&local)?;
    until_told()
}

/// `sample-lookup`: sends [`QUESTIONS`] questions to a server and reads the answers.
fn look_up(server: SocketAddr) -> io::Result<()> {
    let local: IpAddr =
        if server.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let socket = UdpSocket::bind((local, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    for _ in 0..QUESTIONS {
        socket.send(b"what is the address of sample.example?")?;
        socket.recv(&mut [0; DATAGRAM])?;
    }
    Ok(())
}

/// `sample-ping`: sends [`ECHO_REQUESTS`] echo requests to a host.
fn ping(host: SocketAddr) -> io::Result<()> {
    let echo = echo::Echo::new(host.ip())?;
    (1..=ECHO_REQUESTS).try_for_each(|sequence| echo.ask(sequence))
}
