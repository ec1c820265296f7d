//! The loads of `bench/cost.py` and its kin, and the limits that a recorder is held against. `bench/lab.py` compiles this with
//! rustc alone: `rustc --edition 2024 -O -o FILE bench/load.rs`.
//!
//!     load udp|tcp|many|connect SECONDS [RATE]   between two processes, on loopback; tcp with FAR="NAMESPACE ADDRESS" in
//!                                                the environment: to that address, in another network namespace
//!     load spawn|calls|reads|idle SECONDS        without traffic
//!     load copy SECONDS | load write|direct FILE BYTES
//!
//! Prints one object of JSON: `done`, how often it was done (datagrams received, bytes of TCP and of the limits, requests,
//! connections, programs, system calls); `tried`, the same at the sender; `seconds`; and `processor`, the ns on a processor of both
//! processes meanwhile (/proc/PID/schedstat; it includes what the kernel does of the network while they run, and also what
//! recorders have it do there). RATE: datagrams a second; without it, as many as it can.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DATAGRAM: usize = 64;
const CONNECTIONS: usize = 1000;
const REQUEST: usize = 64;
const ANSWER: usize = 256;
const PIECE: usize = 1 << 20;
/// fcntl.h of x86_64; of arm64 0o200000.
const O_DIRECT: i32 = if cfg!(target_arch = "aarch64") { 0o200_000 } else { 0o40_000 };

fn processor() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("it is there");
    text.split(' ').next().and_then(|field| field.parse().ok()).expect("a number comes first")
}

/// The other process: this program once more. Its first line is its port, its last one what it has counted and its time on a processor.
struct Server {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn start(kind: &str) -> Self {
        let program = std::env::current_exe().expect("it is known");
        let far = std::env::var("FAR").ok();
        let far = far.as_deref().and_then(|far| far.split_once(' '));
        let mut command = Command::new(if far.is_some() { "ip".as_ref() } else { program.as_os_str() });
        if let Some((namespace, _)) = far {
            command.args(["netns", "exec", namespace]).arg(&program);
        }
        let mut child = command.arg(format!("serve-{kind}")).stdout(Stdio::piped()).spawn().expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("it has a port");
        let host = far.map_or(Ipv4Addr::LOCALHOST, |(_, address)| address.parse().expect("an address"));
        let address = SocketAddr::new(host.into(), line.trim().parse().expect("a port"));
        Self { child, lines, address }
    }

    fn end(mut self) -> [u64; 2] {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("it has counted");
        self.child.wait().expect("it ends");
        let mut numbers = line.split_whitespace().map(|word| word.parse().expect("a number"));
        [numbers.next().expect("two of them"), numbers.next().expect("two of them")]
    }
}

/// What the server says first and last.
fn listening(port: u16) -> u64 {
    println!("{port}");
    std::io::stdout().flush().expect("somebody listens");
    processor()
}

fn counted(count: u64, before: u64) {
    println!("{count} {}", processor() - before);
}

fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port is free")
}

fn serve(kind: &str) {
    let mut count = 0;
    if kind == "udp" {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let before = listening(socket.local_addr().expect("it is bound").port());
        let mut buffer = [0; 2048];
        while socket.recv(&mut buffer).expect("it receives") == DATAGRAM {
            count += 1;
        }
        return counted(count, before);
    }
    let listener = listen();
    let before = listening(listener.local_addr().expect("it is bound").port());
    match kind {
        "tcp" => {
            let (mut stream, _) = listener.accept().expect("it connects");
            let mut buffer = vec![0; 256 << 10];
            loop {
                match stream.read(&mut buffer).expect("it reads") {
                    0 => break,
                    length => count += length as u64,
                }
            }
        }
        "many" => {
            let mut all: Vec<_> = (0..CONNECTIONS).map(|_| listener.accept().expect("it connects").0).collect();
            let mut buffer = [0; REQUEST];
            'all: loop {
                for stream in &mut all {
                    if stream.read_exact(&mut buffer).is_err() {
                        break 'all;
                    }
                    stream.write_all(&[0; ANSWER]).expect("it writes");
                    count += 1;
                }
            }
        }
        _ => loop {
            let (mut stream, _) = listener.accept().expect("it connects");
            let mut buffer = [0; REQUEST];
            if stream.read_exact(&mut buffer).is_err() {
                break;
            }
            stream.write_all(&[0; ANSWER]).expect("it writes");
            count += 1;
        },
    }
    counted(count, before);
}

struct Done {
    tried: u64,
    done: u64,
    seconds: f64,
    processor: u64,
}

/// Does something until the time is over.
fn until(seconds: f64, mut once: impl FnMut(u64)) -> (u64, f64) {
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed().as_secs_f64() < seconds {
        for _ in 0..16 {
            once(count);
            count += 1;
        }
    }
    (count, begun.elapsed().as_secs_f64())
}

fn alone(seconds: f64, once: impl FnMut(u64)) -> Done {
    let before = processor();
    let (count, took) = until(seconds, once);
    Done { tried: count, done: count, seconds: took, processor: processor() - before }
}

fn udp(seconds: f64, rate: Option<f64>) -> Done {
    let server = Server::start("udp");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    socket.connect(server.address).expect("it is there");
    let (before, begun) = (processor(), Instant::now());
    let (tried, took) = until(seconds, |count| {
        if let Some(rate) = rate {
            let ahead = count as f64 / rate - begun.elapsed().as_secs_f64();
            if ahead > 0.002 {
                std::thread::sleep(Duration::from_secs_f64(ahead));
            }
        }
        socket.send(&[0; DATAGRAM]).expect("it sends");
    });
    let spent = processor() - before;
    // Until one of them finds room.
    let mut server = server;
    while server.child.try_wait().expect("it is ours").is_none() {
        let _ = socket.send(&[0]);
        std::thread::sleep(Duration::from_millis(10));
    }
    let [done, other] = server.end();
    Done { tried, done, seconds: took, processor: spent + other }
}

fn tcp(seconds: f64) -> Done {
    let server = Server::start("tcp");
    let mut stream = TcpStream::connect(server.address).expect("it is there");
    let (before, buffer) = (processor(), vec![0; 128 << 10]);
    let (count, took) = until(seconds, |_| stream.write_all(&buffer).expect("it writes"));
    let spent = processor() - before;
    drop(stream);
    let [done, other] = server.end();
    Done { tried: count * buffer.len() as u64, done, seconds: took, processor: spent + other }
}

fn many(seconds: f64) -> Done {
    let server = Server::start("many");
    let mut all: Vec<_> = (0..CONNECTIONS).map(|_| TcpStream::connect(server.address).expect("it is there")).collect();
    let (before, begun) = (processor(), Instant::now());
    let (mut tried, mut buffer) = (0, [0; ANSWER]);
    while begun.elapsed().as_secs_f64() < seconds {
        for stream in &mut all {
            stream.write_all(&[0; REQUEST]).expect("it writes");
        }
        for stream in &mut all {
            stream.read_exact(&mut buffer).expect("it reads");
        }
        tried += CONNECTIONS as u64;
    }
    let (took, spent) = (begun.elapsed().as_secs_f64(), processor() - before);
    drop(all);
    let [done, other] = server.end();
    Done { tried, done, seconds: took, processor: spent + other }
}

fn connect(seconds: f64) -> Done {
    let server = Server::start("connect");
    let before = processor();
    let mut buffer = Vec::new();
    let (tried, took) = until(seconds, |count| {
        // Of one address, the ports would soon be used up.
        let to = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1 + (count % 200) as u8));
        let mut stream = TcpStream::connect(SocketAddr::new(to, server.address.port())).expect("it is there");
        stream.write_all(&[0; REQUEST]).expect("it writes");
        buffer.clear();
        stream.read_to_end(&mut buffer).expect("it reads");
    });
    let spent = processor() - before;
    drop(TcpStream::connect(server.address).expect("it is there"));
    let [done, other] = server.end();
    Done { tried, done, seconds: took, processor: spent + other }
}

fn reads(seconds: f64) -> Done {
    let mut zero = File::open("/dev/zero").expect("it is there");
    let mut byte = [0];
    alone(seconds, |_| zero.read_exact(&mut byte).expect("it reads"))
}

fn spawn(seconds: f64) -> Done {
    alone(seconds, |_| {
        let status = Command::new("/bin/true").status().expect("it starts");
        assert!(status.success());
    })
}

/// From one place of memory to another, both larger than what processors keep.
fn copy(seconds: f64) -> Done {
    let (from, mut to) = (vec![1_u8; 64 << 20], vec![0_u8; 64 << 20]);
    let before = processor();
    let (mut done, begun) = (0, Instant::now());
    while begun.elapsed().as_secs_f64() < seconds {
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&mut to);
        done += from.len() as u64;
    }
    Done { tried: done, done, seconds: begun.elapsed().as_secs_f64(), processor: processor() - before }
}

fn write(path: &str, bytes: u64, flags: i32) -> Done {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path).expect("opens");
    let memory = vec![1_u8; 2 * PIECE];
    let at = memory.as_ptr().align_offset(4096);
    let piece = &memory[at..at + PIECE];
    let (before, begun, mut done) = (processor(), Instant::now(), 0);
    while done < bytes {
        file.write_all(piece).expect("there is room");
        done += PIECE as u64;
    }
    Done { tried: done, done, seconds: begun.elapsed().as_secs_f64(), processor: processor() - before }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let word = |at: usize| arguments.get(at).map(String::as_str);
    let number = |at: usize| word(at).and_then(|word| word.parse::<f64>().ok());
    let kind = word(0).expect("a load");
    if let Some(kind) = kind.strip_prefix("serve-") {
        return serve(kind);
    }
    let seconds = number(1).unwrap_or(1.0);
    let done = match kind {
        "udp" => udp(seconds, number(2)),
        "tcp" => tcp(seconds),
        "many" => many(seconds),
        "connect" => connect(seconds),
        "spawn" => spawn(seconds),
        "calls" => alone(seconds, |_| {
            std::hint::black_box(std::os::unix::process::parent_id());
        }),
        "reads" => reads(seconds),
        "idle" => {
            std::thread::sleep(Duration::from_secs_f64(seconds));
            Done { tried: 0, done: 0, seconds, processor: 0 }
        }
        "copy" => copy(seconds),
        "write" | "direct" => {
            let flags = if kind == "direct" { O_DIRECT } else { 0 };
            write(word(1).expect("a file"), number(2).expect("bytes") as u64, flags)
        }
        _ => panic!("{kind} is no load"),
    };
    let Done { tried, done, seconds, processor } = done;
    println!("{{\"done\": {done}, \"tried\": {tried}, \"seconds\": {seconds}, \"processor\": {processor}}}");
}
