//! The commands.

use std::fmt::Write as _;
use std::io::{BufRead, Write, stdin, stdout};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{
    CloseHandle, GENERIC_READ, GENERIC_WRITE, GetLastError, HANDLE, INVALID_HANDLE_VALUE, WAIT_OBJECT_0,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING, ReadFile,
};
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::Win32::System::Threading::{CreateEventW, WaitForSingleObject};

/// Windows' own number of what went wrong.
struct Failed(u32);

fn failed() -> Failed {
    // SAFETY: it reads a number of this thread.
    Failed(unsafe { GetLastError() })
}

/// Carries out commands until there are no more.
pub(crate) fn serve() {
    let mut files: Vec<HANDLE> = Vec::new();
    for line in stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match carry_out(&words, &mut files) {
            Ok(answer) => format!("ok {answer}"),
            Err(Failed(number)) => format!("error {number}"),
        };
        let mut out = stdout().lock();
        if writeln!(out, "{answer}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

fn carry_out(words: &[&str], files: &mut Vec<HANDLE>) -> Result<String, Failed> {
    let number = |index: usize| words[index].parse::<usize>().expect("the test gives a number");
    match words[0] {
        "pid" => Ok(std::process::id().to_string()),
        "open" => {
            files.push(open()?);
            Ok((files.len() - 1).to_string())
        }
        "close" => {
            // SAFETY: the test closes each file once.
            unsafe { CloseHandle(files[number(1)]) };
            Ok(String::new())
        }
        "read" => read(files[number(1)], number(2)).map(|bytes| hex(&bytes)),
        "control" => {
            let code = u32::from_str_radix(words[2], 16).expect("the test gives a code");
            control(files[number(1)], code, &bytes(words[3]), number(4)).map(|bytes| hex(&bytes))
        }
        "event" => {
            // SAFETY: an event without name and attributes.
            let event = unsafe { CreateEventW(null(), 0, 0, null()) };
            if event.is_null() { Err(failed()) } else { Ok(event.addr().to_string()) }
        }
        "wait" => {
            let milliseconds = u32::try_from(number(2)).expect("the test is not that patient");
            let event = std::ptr::without_provenance_mut(number(1));
            // SAFETY: any handle may be waited for.
            let result = unsafe { WaitForSingleObject(event, milliseconds) };
            Ok(if result == WAIT_OBJECT_0 { "set" } else { "not" }.to_owned())
        }
        "install" => hone_filters::install().map(|()| String::new()).map_err(|error| Failed(error.code)),
        "uninstall" => hone_filters::uninstall().map(|()| String::new()).map_err(|error| Failed(error.code)),
        other => panic!("no command {other}"),
    }
}

fn open() -> Result<HANDLE, Failed> {
    let name: Vec<u16> = r"\\.\HoneOut".encode_utf16().chain([0]).collect();
    // SAFETY: the name ends with NUL.
    let file = unsafe {
        CreateFileW(
            name.as_ptr(),
            GENERIC_READ | GENERIC_WRITE,
            FILE_SHARE_READ | FILE_SHARE_WRITE,
            null(),
            OPEN_EXISTING,
            0,
            null_mut(),
        )
    };
    if file == INVALID_HANDLE_VALUE { Err(failed()) } else { Ok(file) }
}

fn read(file: HANDLE, length: usize) -> Result<Vec<u8>, Failed> {
    let mut buffer = vec![0; length];
    let mut filled = 0;
    let length = u32::try_from(length).expect("the test reads less");
    // SAFETY: the buffer has that length.
    let done = unsafe { ReadFile(file, buffer.as_mut_ptr(), length, &raw mut filled, null_mut()) };
    if done == 0 {
        return Err(failed());
    }
    buffer.truncate(filled as usize);
    Ok(buffer)
}

fn control(file: HANDLE, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, Failed> {
    let mut output = vec![0; room];
    let mut filled = 0;
    let lengths = (u32::try_from(input.len()), u32::try_from(room));
    let (Ok(given), Ok(room)) = lengths else { panic!("the test asks for less") };
    let (input, buffer) = (input.as_ptr().cast(), output.as_mut_ptr().cast());
    // SAFETY: both buffers have these lengths.
    let done =
        unsafe { DeviceIoControl(file, code, input, given, buffer, room, &raw mut filled, null_mut()) };
    if done == 0 {
        return Err(failed());
    }
    output.truncate(filled as usize);
    Ok(output)
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
