//! Commands of the test, one per line. Each is answered with one line, `ok ...` or `error ...`.
//!
//! | command | does |
//! |---|---|
//! | `clock TIME` | sets the clock, 100 nanoseconds since 1601 |
//! | `classify PLACE KEY=VALUE...` | calls a callout; answers the action in hexadecimal |
//! | `irql LEVEL` | sets the IRQL at which classify is called from now on, `passive` or `dispatch` (as at first) |
//! | `misuse RULE` | breaks a rule: see [`misuse`] |
//! | `storm THREADS ROUNDS KEY=VALUE...` | so many connections open, send and close at once: see [`storm`] |
//! | `stack` | the most bytes of stack that a call of the driver has used |
//! | `start PID PARENT PATH COMMANDLINE` | a process starts; texts in UTF-8 as hexadecimal, `-`: none. After them, `partial`: it is not the full path; `subsystem`: the process is not one of Win32 |
//! | `older ENDPOINT PID PLACE` | a connection that was authorised at a callout's layer before the driver was loaded. If the policy has changed since then, it is authorised again after its next packet |
//! | `end PID` | a process ends |
//! | `image PID PATH` | a process loads an image |
//! | `link NAME TARGET` | makes a symbolic link of the object manager; texts as above |
//! | `open NAME` | opens the device with this name after its own, and closes it; answers the status in hexadecimal |
//! | `pool` | the account of the driver's memory |
//! | `fail N` | of the driver's allocations, the one after N fails; `fail -`: none |
//! | `callouts` | the keys of the callouts in hexadecimal |
//! | `flags` | the callouts' flags |
//! | `busy STATUS...` | the next callouts that are unregistered answer this, in hexadecimal |
//! | `notify` | how many notify routines are registered |
//! | `security` | the security descriptor of the device in hexadecimal |

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use hone_documented::Irql;

use crate::classify::{self, Indication};
use crate::processes::Kind;
use crate::{engine, hooks, irql, links, memory, misuse, opens, processes, stack, storm};

const PORT_FILE: &str = r"C:\hone\stand-in.port";

/// Listens for the test in a separate thread.
pub(crate) fn listen() {
    std::thread::spawn(|| {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
        let port = listener.local_addr().expect("it is bound").port();
        std::fs::write(PORT_FILE, port.to_string()).expect("the test has made the folder");
        for stream in listener.incoming().flatten() {
            std::thread::spawn(|| serve(stream));
        }
    });
}

fn serve(stream: TcpStream) {
    let Ok(mut answers) = stream.try_clone() else { return };
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let answer = match carry_out(&line) {
            Ok(answer) => format!("ok {answer}\n"),
            Err(error) => format!("error {error}\n"),
        };
        if answers.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn carry_out(line: &str) -> Result<String, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (&command, arguments) = words.split_first().ok_or("no command")?;
    let argument =
        |index: usize| arguments.get(index).copied().ok_or(format!("{command}: too few arguments"));
    let number = |index: usize| argument(index)?.parse::<usize>().map_err(|error| error.to_string());
    match command {
        "clock" => hooks::set_clock(argument(0)?.parse().map_err(|_| "no time")?),
        "classify" => {
            let indication = indication(number(0)?, &arguments[1..])?;
            let action = classify::indicate(&mut indication.clone())?;
            authorize_again(&indication);
            return Ok(format!("{action:x}"));
        }
        "irql" => irql::set_classify(match argument(0)? {
            "passive" => Irql::Passive,
            "dispatch" => Irql::Dispatch,
            level => return Err(format!("no level {level}")),
        }),
        "misuse" => misuse::misuse(argument(0)?)?,
        "storm" => {
            let packet = indication(storm::OUTBOUND, arguments.get(2..).unwrap_or_default())?;
            storm::storm(number(0)?, number(1)?, &packet)?;
        }
        "stack" => return Ok(stack::most().map(|bytes| bytes.to_string()).join(" ")),
        "start" => {
            let kind = match arguments.get(4) {
                None => Kind::Full,
                Some(&"partial") => Kind::Partial,
                Some(&"subsystem") => Kind::Subsystem,
                Some(kind) => return Err(format!("no kind {kind}")),
            };
            processes::start(kind, number(0)?, number(1)?, &text(argument(2)?)?, &text(argument(3)?)?);
        }
        "older" => {
            let id = |index: usize| argument(index)?.parse::<u64>().map_err(|error| error.to_string());
            engine::add_older(id(0)?, id(1)?, number(2)?);
        }
        "end" => processes::end(number(0)?),
        "image" => processes::load_image(number(0)?, &text(argument(1)?)?),
        "link" => links::set(&text(argument(0)?)?, text(argument(1)?)?),
        "open" => return Ok(format!("{:x}", opens::open(&text(argument(0)?)?))),
        "pool" => return Ok(memory::report()),
        "fail" => memory::fail_after(argument(0)?.parse().ok()),
        "callouts" => {
            return Ok(classify::keys().iter().map(|key| hex(key)).collect::<Vec<_>>().join(" "));
        }
        "flags" => {
            return Ok(classify::flags().iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
        }
        "busy" => {
            let status = |text: &&str| u32::from_str_radix(text, 16).map(u32::cast_signed);
            let statuses = arguments.iter().rev().map(status).collect::<Result<_, _>>();
            classify::refuse_to_unregister(statuses.map_err(|error| error.to_string())?);
        }
        "notify" => return Ok(processes::registered().to_string()),
        "security" => return Ok(hex(&hooks::security())),
        _ => return Err(format!("no command {command}")),
    }
    Ok(String::new())
}

/// "TCP Packet Flows": a packet passes the transport layer before its connection is authorised again.
fn authorize_again(packet: &Indication) {
    const TRANSPORT: std::ops::RangeInclusive<usize> = 10..=13;
    const REAUTHORIZE: u32 = 4;
    let Some(endpoint) = packet.endpoint.filter(|_| TRANSPORT.contains(&packet.place)) else { return };
    let Some((place, process)) = engine::authorize_again(endpoint) else { return };
    let mut indication = Indication {
        place,
        endpoint: Some(endpoint),
        process: Some(process),
        local: packet.local.clone(),
        remote: packet.remote.clone(),
        protocol: packet.protocol,
        ports: packet.ports,
        flags: REAUTHORIZE,
        ..Indication::default()
    };
    let action = classify::indicate(&mut indication);
    assert!(action.is_ok(), "the driver has the callout");
}

/// `endpoint`, `process`, `ip`, `transport`, `protocol`, `flags`, `ipsec`, `headroom`, `unmappable`: numbers; `ports`:
/// local and remote port with a comma between; `included`, `local`, `remote`: bytes;
/// `packet`: bytes of the pieces, with commas between; more than once for more packets.
fn indication(place: usize, arguments: &[&str]) -> Result<Indication, String> {
    let mut indication = Indication { place, ..Indication::default() };
    for argument in arguments {
        let (key, value) = argument.split_once('=').ok_or("no value")?;
        let number = || value.parse::<u64>().map_err(|error| format!("{key}: {error}"));
        let small = || number()?.try_into().map_err(|_| format!("{key} is too large"));
        match key {
            "endpoint" => indication.endpoint = Some(number()?),
            "process" => indication.process = Some(number()?),
            "ip" => indication.ip_header = Some(number()?),
            "transport" => indication.transport_header = Some(number()?),
            "protocol" => indication.protocol = value.parse().map_err(|_| "no protocol")?,
            "flags" => indication.flags = small()?,
            "ipsec" => indication.ipsec = small()?,
            "unmappable" => indication.unmappable = Some(value.parse().map_err(|_| "no piece")?),
            "ports" => {
                let (local, remote) = value.split_once(',').ok_or("two ports")?;
                let port = |text: &str| text.parse().map_err(|_| format!("no port: {text}"));
                indication.ports = [port(local)?, port(remote)?];
            }
            "headroom" => indication.headroom = small()?,
            "included" => indication.included_header = Some(bytes(value)?),
            "local" => indication.local = bytes(value)?,
            "remote" => indication.remote = bytes(value)?,
            "packet" => {
                let pieces = value.split(',').map(bytes).collect::<Result<_, _>>()?;
                indication.packets.push(pieces);
            }
            _ => return Err(format!("no value {key}")),
        }
    }
    Ok(indication)
}

fn bytes(hex: &str) -> Result<Vec<u8>, String> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or("-"));
    digits.map(|pair| u8::from_str_radix(pair, 16).map_err(|error| format!("{pair}: {error}"))).collect()
}

fn text(hex: &str) -> Result<Vec<u16>, String> {
    if hex == "-" {
        return Ok(Vec::new());
    }
    let text = String::from_utf8(bytes(hex)?).map_err(|error| error.to_string())?;
    Ok(text.encode_utf16().collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}
