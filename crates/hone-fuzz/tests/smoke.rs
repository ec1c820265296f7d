//! Every fuzz target over its seeds and a bounded number of mutations of them. The same on each run.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use hone_fuzz::{TARGETS, Target};

/// Mutations of each target's seeds.
const MUTATIONS: u32 = if cfg!(miri) { 20 } else { 20_000 };
const LONGEST: usize = 4096;

/// Xorshift (Marsaglia 2003), so that every run is the same.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).expect("64-bit tests") % end.max(1)
    }

    fn byte(&mut self) -> u8 {
        match self.below(4) {
            0 => [0, 1, 0x7F, 0x80, 0xFF, 4, 8, 0x40][self.below(8)],
            _ => self.below(256).try_into().expect("below 256"),
        }
    }
}

fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(7) {
            0 | 1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = random.byte();
                }
            }
            2 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            3 => input.truncate(at),
            4 => {
                let bytes: Vec<_> = (0..random.below(9)).map(|_| random.byte()).collect();
                input.splice(at..at, bytes);
            }
            5 => {
                let end = at + random.below(input.len() - at + 1);
                let part = input[at..end].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, part);
            }
            _ => {
                let from = random.below(other.len() + 1);
                input.splice(at..at, other[from..].iter().copied());
            }
        }
        input.truncate(LONGEST);
    }
}

fn run((name, run, seeds): Target) {
    let seeds = seeds();
    let mut inputs = seeds.clone();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let attempt = |input: &[u8]| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(input))) {
            let path = std::env::temp_dir().join(format!("{name}-failed"));
            let kept = std::fs::write(&path, input);
            eprintln!(
                "{name} fails on {} ({kept:?}); see `cargo run -p hone-fuzz --example replay`",
                path.display()
            );
            resume_unwind(panic);
        }
    };
    attempt(&[]);
    seeds.iter().for_each(|seed| attempt(seed));
    for _ in 0..MUTATIONS {
        let mut input = inputs[random.below(inputs.len())].clone();
        let other = &inputs[random.below(inputs.len())];
        mutate(&mut input, other, &mut random);
        attempt(&input);
        // Some mutations are mutated further.
        if random.below(16) == 0 && inputs.len() < 1000 {
            inputs.push(input);
        }
    }
}

#[test]
fn pcapng_reader() {
    run(TARGETS[0]);
}

#[test]
fn api_request() {
    run(TARGETS[1]);
}

#[test]
fn engine_events() {
    run(TARGETS[2]);
}

#[test]
fn packet_checksums() {
    run(TARGETS[3]);
}
