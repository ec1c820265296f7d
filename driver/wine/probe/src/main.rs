//! For tests only: a program under Wine that uses Hone's device as a test demands. It reads one command per line on its
//! standard input, and answers each with one line. A test is a Linux program; each probe is one more reader for it.
//!
//! | command | does | answers |
//! |---|---|---|
//! | `pid` | | its process id |
//! | `open` | opens `\\.\HoneOut` | a number for it |
//! | `close FILE` | | |
//! | `read FILE BYTES` | one read | the bytes |
//! | `control FILE CODE INPUT OUTPUT` | one control request; OUTPUT: bytes of room | the output |
//! | `event` | creates an event that resets itself | its handle |
//! | `connections` | opens a TCP and a UDP socket | their ports, then the list of open connections: `PROTOCOL/ADDRESS/PORT/REMOTE` |
//! | `socket ADDRESS:PORT` | opens a UDP socket, until its end | the port |
//! | `send-conns FILE` | sends the list of open connections to the driver | how many |
//! | `install`, `uninstall` | the driver's filters | |
//! | `service` | | the state of the driver's service |
//! | `service-start`, `service-stop` | starts it; stops it, and waits | for the latter `done`, `refused` or `pending` |
//! | `programs NAME` | | process ids of the programs of this name |
//! | `signal PID EVENT` | sends a console's event to a program, by the event's number | |
//! | `version FILE` | | versions of file and product, type and subtype, of the file's version resource |
//! | `version FILE NAME` | | a text of it |
//! | `manifest FILE` | | level and number of systems, of a program's manifest |
//! | `pipe NAME`, `pipe-open NAME` | makes a named pipe; opens one that is there | a number for it |
//! | `pipe-read PIPE BYTES` | one read; waits for a writer | the bytes, none at the end |
//! | `pipe-close PIPE` | | |
//! | `wait HANDLE MILLISECONDS` | | `set` or `not` |
//!
//! Bytes are hexadecimal, `-` is none. An answer begins with `ok`, or is `error NUMBER` with Windows' own number.

#[cfg(windows)]
mod console;
#[cfg(windows)]
mod device;
#[cfg(windows)]
mod pipes;
#[cfg(windows)]
mod resources;

#[cfg(windows)]
fn main() {
    device::serve();
}

#[cfg(not(windows))]
fn main() {
    eprintln!("this is a program for Windows");
}
