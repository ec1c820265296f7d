//! Samples the resources of a process from `/proc`: memory, descriptors, threads, BPF objects. Only BPF objects of its
//! own descriptors count, so objects of other programs do not matter.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use libbpf_rs::query::{LinkInfoIter, MapInfoIter, ProgInfoIter};
use libbpf_rs::{MapCore as _, MapHandle, MapType};

/// A BPF object of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Map(u32),
    Program(u32),
    Link(u32),
}

/// The resources of a process at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// Resident anonymous memory, in bytes.
    pub(super) memory: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
    pub(super) objects: BTreeSet<Object>,
    /// How often its BPF programs did not run, because they were already running on the same processor. The kernel
    /// counts this; the events of such runs are lost.
    pub(super) missed: u64,
}

impl Sample {
    /// Takes a sample of a process.
    ///
    /// # Errors
    /// There is no such process.
    pub(super) fn of(process: u32) -> Result<Self> {
        let place = format!("/proc/{process}");
        let status = std::fs::read_to_string(format!("{place}/status")).context("a process has ended")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
        };
        let mut sample =
            Self { memory: field("RssAnon:") << 10, threads: field("Threads:"), ..Self::default() };
        for entry in std::fs::read_dir(format!("{place}/fdinfo"))? {
            sample.descriptors += 1;
            // A descriptor that was closed meanwhile, or that is not a BPF object, has no number.
            let Ok(text) = std::fs::read_to_string(entry?.path()) else { continue };
            let number = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|line| line.trim().parse::<u32>().ok())
            };
            sample.missed += number("recursion_misses:").map_or(0, u64::from);
            let object = number("link_id:").map(Object::Link).or_else(|| number("map_id:").map(Object::Map));
            sample.objects.extend(object.or_else(|| number("prog_id:").map(Object::Program)));
        }
        Ok(sample)
    }

    pub(super) fn maps(&self) -> u64 {
        self.count(|object| matches!(object, Object::Map(_)))
    }

    pub(super) fn programs(&self) -> u64 {
        self.count(|object| !matches!(object, Object::Map(_)))
    }

    fn count(&self, which: fn(&Object) -> bool) -> u64 {
        self.objects.iter().filter(|object| which(object)).count() as u64
    }

    /// The hash tables among its maps: name, number of entries, largest number of entries.
    pub(super) fn tables(&self) -> Vec<(String, u64, u64)> {
        let maps = self.objects.iter().filter_map(|object| match object {
            Object::Map(number) => MapHandle::from_map_id(*number).ok(),
            _ => None,
        });
        let hashes = maps.filter(|map| matches!(map.map_type(), MapType::Hash | MapType::LruHash));
        hashes
            .map(|map| {
                let most = u64::from(map.max_entries());
                // If entries change while they are listed, the listing can start again from the beginning; so it is
                // bounded.
                let entries = map.keys().take(map.max_entries() as usize).count() as u64;
                (map.name().to_string_lossy().into_owned(), entries, most)
            })
            .collect()
    }
}

/// Those of these objects that the kernel still has.
pub(super) fn left(objects: &BTreeSet<Object>) -> Vec<Object> {
    let maps = MapInfoIter::default().map(|info| Object::Map(info.id));
    let programs = ProgInfoIter::default().map(|info| Object::Program(info.id));
    let links = LinkInfoIter::default().map(|info| Object::Link(info.id));
    maps.chain(programs).chain(links).filter(|object| objects.contains(object)).collect()
}

/// Number of files in a directory.
pub(super) fn files(directory: &Path) -> u64 {
    std::fs::read_dir(directory).map_or(0, |entries| entries.count() as u64)
}

/// Total size of the files in a directory, in bytes.
pub(super) fn bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
}
