//! Runs a target on its known inputs and on a fixed number of mutations of its seeds: part of `cargo test`, the same on
//! each run. It uses nothing of this crate, so the driver's workspace can include this file.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

const LONGEST: usize = 4096;

/// Xorshift random numbers (Marsaglia 2003), the same on every run.
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

/// Runs a target on its seeds, on every file below `directory` that belongs to it (`corpus/NAME`, `regressions/NAME`),
/// and on `mutations` mutations of its seeds. An input that fails is written to a file.
///
/// # Panics
/// The target fails, or there is no file for it.
pub fn run(name: &str, target: fn(&[u8]), seeds: &[Vec<u8>], mutations: u32, directory: &Path) {
    let attempt = |input: &[u8], what: &str| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
            let path = std::env::temp_dir().join(format!("{name}-failed"));
            let kept = std::fs::write(&path, input);
            eprintln!("{name} fails on {what}: {} ({kept:?})", path.display());
            resume_unwind(panic);
        }
    };
    attempt(&[], "nothing");
    for seed in seeds {
        attempt(seed, "a seed");
    }
    let mut files = 0;
    for kind in ["corpus", "regressions"] {
        // Only targets that have failed before have regressions.
        let Ok(entries) = std::fs::read_dir(directory.join(kind).join(name)) else { continue };
        for entry in entries {
            let path = entry.expect("the directory can be read").path();
            attempt(&std::fs::read(&path).expect("the file can be read"), &path.display().to_string());
            files += 1;
        }
    }
    assert!(files > 0, "nothing is kept for {name} in {}", directory.display());
    let mut inputs = seeds.to_vec();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for _ in 0..mutations {
        let mut input = inputs[random.below(inputs.len())].clone();
        let other = &inputs[random.below(inputs.len())];
        mutate(&mut input, other, &mut random);
        attempt(&input, "a mutation of a seed");
        // Some mutations are mutated further.
        if random.below(16) == 0 && inputs.len() < 1000 {
            inputs.push(input);
        }
    }
}
