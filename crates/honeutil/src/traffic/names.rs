//! How programs are named where there may be several of one file name: by as much of the end of the path as tells them apart.

use std::collections::{HashMap, HashSet};

use crate::text::base_name;

/// Most parts of a path that are compared. Programs that differ only before these are named by their whole paths.
const MAX_PARTS: usize = 16;

/// The programs of which others have the same file name.
#[derive(Debug, Default)]
pub struct Names(HashMap<Vec<u8>, usize>);

impl Names {
    /// Those among the programs of these paths.
    #[must_use]
    pub fn of<'a>(paths: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut left: HashSet<&[u8]> = paths.filter(|path| !path.is_empty()).collect();
        let mut names = HashMap::new();
        for parts in 1..=MAX_PARTS + 1 {
            let end = |path: &'a [u8]| if parts > MAX_PARTS { path } else { end_of(path, parts) };
            let mut counts: HashMap<&[u8], u32> = HashMap::new();
            left.iter().for_each(|path| *counts.entry(end(path)).or_default() += 1);
            left.retain(|path| {
                let is_alone = counts[end(path)] == 1;
                if is_alone && parts > 1 {
                    names.insert(path.to_vec(), end(path).len());
                }
                !is_alone
            });
        }
        Self(names)
    }

    /// What the program of this path is called: its file name, or more of its path.
    #[must_use]
    pub fn name<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        match self.0.get(path) {
            Some(length) => &path[path.len() - length..],
            None => base_name(path),
        }
    }
}

/// The last parts of a path, so many; all of it if it has no more.
fn end_of(path: &[u8], parts: usize) -> &[u8] {
    let separator = if path.contains(&b'/') { b'/' } else { b'\\' };
    let mut separators = (0..path.len()).rev().filter(|at| path[*at] == separator);
    match separators.nth(parts - 1) {
        Some(at) if !path.starts_with(b"[") => &path[at + 1..],
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(paths: &[&'a str]) -> Vec<&'a str> {
        let names = Names::of(paths.iter().map(|path| path.as_bytes()));
        paths.iter().map(|path| str::from_utf8(names.name(path.as_bytes())).unwrap()).collect()
    }

    #[test]
    fn programs_of_one_file_name_are_told_apart_by_the_end_of_their_paths() {
        assert_eq!(
            names(&["/opt/one/bin/server", "/opt/two/bin/server", "/usr/bin/curl", "/usr/bin/curl", ""]),
            ["one/bin/server", "two/bin/server", "curl", "curl", ""]
        );
        assert_eq!(names(&["/bin/sh", "/usr/bin/sh", "/x/sh"]), ["/bin/sh", "usr/bin/sh", "x/sh"]);
        assert_eq!(names(&["[kworker/0:1]", "/a/0:1]"]), ["[kworker/0:1]", "0:1]"]);
        let windows = ["\\Device\\HarddiskVolume2\\one\\x.exe", "\\Device\\HarddiskVolume2\\two\\x.exe"];
        assert_eq!(names(&windows), ["one\\x.exe", "two\\x.exe"]);
    }

    #[test]
    fn paths_that_differ_only_far_from_their_ends_are_shown_whole() {
        let deep = "/d".repeat(MAX_PARTS);
        let paths = ["/a", "/b"].map(|first| format!("{first}{deep}"));
        assert_eq!(names(&[&paths[0], &paths[1]]), [&*paths[0], &*paths[1]]);
    }
}
