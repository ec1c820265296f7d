//! Carries out the commands.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write, stdin, stdout};
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use hone_api::{ConnectionRecord, Family, List, OpenConnection, OpenConnections, Request};
use hone_windows::connections::{Open, connections};
use hone_windows::device::{Device, Event};
use hone_windows::service::{self, State, Stop};
use hone_windows::{filters, process};

use crate::console;
use crate::pipes::Pipe;
use crate::resources::{Version, manifest};

/// What the test has opened, by number.
#[derive(Default)]
struct Opened {
    files: Vec<Option<Device>>,
    events: Vec<Event>,
    sockets: Vec<UdpSocket>,
    pipes: Vec<Option<Pipe>>,
}

/// Carries out commands until the input ends.
pub(crate) fn serve() {
    let mut opened = Opened::default();
    for line in stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match carry_out(&words, &mut opened) {
            Ok(answer) => format!("ok {answer}"),
            Err(error) => format!("error {}", error.raw_os_error().unwrap_or(0)),
        };
        let mut out = stdout().lock();
        if writeln!(out, "{answer}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

fn carry_out(words: &[&str], opened: &mut Opened) -> io::Result<String> {
    let number = |index: usize| words[index].parse::<usize>().expect("the test gives a number");
    match words[0] {
        "pid" => Ok(std::process::id().to_string()),
        "open" => {
            opened.files.push(Some(Device::open()?));
            Ok((opened.files.len() - 1).to_string())
        }
        "close" => {
            opened.files[number(1)] = None;
            Ok(String::new())
        }
        "read" => {
            let mut buffer = vec![0; number(2)];
            let filled = opened.file(number(1)).read(&mut buffer)?;
            Ok(hex(&buffer[..filled]))
        }
        "control" => {
            let code = u32::from_str_radix(words[2], 16).expect("the test gives a code");
            let mut output = vec![0; number(4)];
            let filled = opened.file(number(1)).control(code, &bytes(words[3]), &mut output)?;
            Ok(hex(&output[..filled]))
        }
        "event" => {
            opened.events.push(Event::new()?);
            Ok(opened.events[opened.events.len() - 1].handle().to_string())
        }
        "wait" => {
            let event = opened.events.iter().find(|event| event.handle() == number(1) as u64);
            let milliseconds = Duration::from_millis(number(2) as u64);
            let is_set = event.expect("the test has made it").wait(milliseconds)?;
            Ok(if is_set { "set" } else { "not" }.to_owned())
        }
        "socket" => {
            let socket = UdpSocket::bind(words[1])?;
            let address = socket.local_addr()?;
            // Wine knows the owner of a socket only after the socket was used.
            socket.send_to(b"x", address)?;
            opened.sockets.push(socket);
            Ok(address.port().to_string())
        }
        "connections" => list(),
        "send-conns" => send(opened.file(number(1))),
        "install" => filters::install().map(|()| String::new()).map_err(refused),
        "uninstall" => filters::uninstall().map(|()| String::new()).map_err(refused),
        "service" => Ok(match service::status("hone")?.map(|status| status.state) {
            None => "none".to_owned(),
            Some(State::Running) => "running".to_owned(),
            Some(State::Stopped) => "stopped".to_owned(),
            Some(State::Other(number)) => number.to_string(),
        }),
        "service-start" => service::start("hone").map(|()| String::new()),
        "service-stop" => Ok(match service::stop("hone", Duration::from_secs(2))? {
            Stop::Done => "done",
            Stop::Refused => "refused",
            Stop::Pending => "pending",
        }
        .to_owned()),
        "programs" => {
            let mut ids = process::names()?;
            ids.retain(|_, name| name == words[1]);
            Ok(ids.keys().map(u32::to_string).collect::<Vec<_>>().join(" "))
        }
        "signal" => {
            let pid = u32::try_from(number(1)).expect("the test gives a process id");
            console::signal(pid, number(2)).map(|()| String::new())
        }
        "version" => {
            let version = Version::of(words[1])?;
            words.get(2).map_or_else(|| version.numbers(), |name| version.text(name))
        }
        "manifest" => manifest(words[1]),
        "pipe" | "pipe-open" => {
            let pipe = if words[0] == "pipe" { Pipe::new(words[1]) } else { Pipe::open(words[1]) };
            opened.pipes.push(Some(pipe?));
            Ok((opened.pipes.len() - 1).to_string())
        }
        "pipe-read" => {
            let mut buffer = vec![0; number(2)];
            let pipe = opened.pipes[number(1)].as_mut().expect("the test has not closed it");
            let filled = pipe.read(&mut buffer)?;
            Ok(if filled == 0 { "-".to_owned() } else { hex(&buffer[..filled]) })
        }
        "pipe-close" => {
            opened.pipes[number(1)] = None;
            Ok(String::new())
        }
        other => panic!("no command {other}"),
    }
}

impl Opened {
    fn file(&self, number: usize) -> &Device {
        self.files[number].as_ref().expect("the test has not closed it")
    }
}

fn refused(error: filters::Error) -> io::Error {
    io::Error::from_raw_os_error(error.code.cast_signed())
}

fn list() -> io::Result<String> {
    let (listener, socket) = (TcpListener::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    let mut answer = format!("{} {}", listener.local_addr()?.port(), socket.local_addr()?.port());
    for open in connections()? {
        let remote = open.remote.map(|remote| remote.to_string()).unwrap_or_default();
        write!(answer, " {}/{}/{}/{remote}", open.protocol, open.local.ip(), open.local.port())
            .expect("a string takes everything");
    }
    Ok(answer)
}

fn send(device: &Device) -> io::Result<String> {
    let open = connections()?;
    let mut buffer = vec![0; open.len() * size_of::<ConnectionRecord>()];
    let records = List::write(open.iter().map(|open| known(open).record()), &mut buffer);
    let records = records.map_err(io::Error::other)?;
    device.request(&Request::SetOpenConnections(OpenConnections::Full(records)))?;
    Ok(open.len().to_string())
}

/// An open connection in the form in which it is reported to the driver.
fn known(open: &Open) -> OpenConnection {
    let local = open.local.ip();
    OpenConnection {
        family: Family::of(local),
        protocol: open.protocol,
        local_port: open.local.port(),
        local: Some(local).filter(|local| !local.is_unspecified()),
        remote: open.remote,
        connection: None,
        process: open.pid,
        process_start: None,
        opened: 0,
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).filter(|pair| pair.len() == 2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("the test gives digits");
            u8::from_str_radix(pair, 16).expect("the test gives digits")
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}
