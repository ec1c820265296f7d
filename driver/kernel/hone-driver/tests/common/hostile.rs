//! What the fuzz target for the driver's requests does with its input. The bounded test in this directory and
//! `testing/fuzz/` both run it.

use hone_api::Operation;
use hone_driver::{Control, Driver};

use super::{Fake, Passive, driver, open};

thread_local! {
    /// One driver for all inputs, because making a driver reserves the memory of its tables.
    static DRIVER: Driver<Fake> = driver();
}

/// Reads small decisions from the input's bytes. Returns zeros when there are no bytes left.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

/// A reader attaches, sends requests, reads and detaches, while processes start and end. Each answer must fit into the
/// buffer of its request.
pub(crate) fn driver_requests(input: &[u8]) {
    DRIVER.with(|driver| {
        let reader = open(driver);
        let mut input = Input(input);
        for _ in 0..64 {
            if input.0.is_empty() {
                break;
            }
            match input.u8() % 5 {
                0..=2 => {
                    let which = usize::from(input.u8());
                    let code = match Operation::ALL.get(which % (Operation::ALL.len() + 1)) {
                        Some(operation) => operation.control_code().0,
                        None => u32::from_le_bytes(std::array::from_fn(|_| input.u8())),
                    };
                    let (length, output) = (usize::from(input.u8()) * 2, usize::from(input.u8()) * 8);
                    // The I/O manager's buffer has room for input and output. The length that the program states may be
                    // wrong.
                    let short = usize::from(input.u8() & 3 == 3);
                    let mut buffer = vec![0; length.max(output).saturating_sub(short)];
                    let given = input.bytes(length.min(buffer.len()));
                    buffer[..given.len()].copy_from_slice(given);
                    let room = output.min(buffer.len());
                    let control = Control { code, buffer: &mut buffer, input: length, output };
                    if let Ok(bytes) = driver.control(Passive, reader, control) {
                        assert!(bytes <= room, "{bytes} bytes of output, room for {room}");
                    }
                }
                3 => {
                    let mut buffer = vec![0; usize::from(input.u8()) * 16];
                    let read = driver.read(reader, &mut buffer);
                    assert!(read.is_ok_and(|bytes| bytes <= buffer.len()) || buffer.is_empty());
                }
                _ => {
                    let pid = u32::from(input.u8() & 7) + 100;
                    if input.u8() & 1 == 0 {
                        super::start(driver, pid);
                    } else {
                        driver.process_ended(pid);
                    }
                }
            }
        }
        assert!(driver.close(Passive, reader), "it was attached");
    });
}

/// Selections that are sound, of an even length, as a request has it here.
const SELECTIONS: [&[u8]; 3] = [
    b"--name\0x\0--children\0",
    b"--pid\x00101\0--user\0S-1-5-18\0--not-path\0C:/xy/\0",
    b"--filter\0tcp port 443 or not ip[2:2] * 2 > 7\0--port\x007\0",
];

/// The inputs that fuzzing starts from: each operation with inputs of several lengths, after some events and before a
/// read; and selections, of which one follows another.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for operation in 0..=Operation::ALL.len() {
        for (length, first) in [(0, 0), (2, 96), (4, 1), (38, 1)] {
            let mut seed = vec![4, 1, 0, 0, operation.try_into().expect("there are few")];
            if operation == Operation::ALL.len() {
                seed.extend([0xFF, 0, 0x22, 0]);
            }
            seed.extend([length, 255, 0, first]);
            seed.resize(seed.len() + usize::from(length) * 2, 0);
            seed.extend([3, 255, 4, 1, 1, 3, 255]);
            seeds.push(seed);
        }
    }
    let select = Operation::ALL.iter().position(|operation| *operation == Operation::SetSelection);
    let select = select.and_then(|place| u8::try_from(place).ok()).expect("there are few");
    for text in SELECTIONS {
        let mut seed = vec![4, 1, 0, 4, 2, 0];
        for text in [text, SELECTIONS[0]] {
            assert_eq!(text.len() % 2, 0, "{}", text.escape_ascii());
            seed.extend([0, select, u8::try_from(text.len() / 2).expect("it is short"), 0, 0]);
            seed.extend(text);
            seed.extend([4, 3, 0, 4, 1, 1]);
        }
        seeds.push(seed);
    }
    seeds
}
