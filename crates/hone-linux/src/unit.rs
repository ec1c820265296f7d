//! Which systemd unit a process is in, from the names of its cgroups.
//!
//! systemd gives each unit that has processes a cgroup of the unit's name (systemd.unit(5), "Control Groups vs. the Host").
//! Slices only group units, so they are not meant. Where one unit is in another, the inner one counts: that of the user's
//! own systemd, or of the systemd in a container.

/// What a unit that has processes can end with. Mounts, swaps and sockets have them while systemd runs their commands.
const SUFFIXES: [&[u8]; 5] = [b".service", b".scope", b".socket", b".mount", b".swap"];

/// The unit of a process in the cgroup with these names, from the innermost to the root, each followed by NUL.
pub(crate) fn of(cgroup: &[u8]) -> Option<&[u8]> {
    // systemd puts `_` in front of a name that the kernel uses for a file of its own, such as `cpu.scope`.
    let names = cgroup.split(|&byte| byte == 0).map(|name| name.strip_prefix(b"_").unwrap_or(name));
    names.into_iter().find(|name| is_unit(name))
}

/// The unit of a process that runs; `None` if it is in none, or has ended.
#[must_use]
pub fn unit_of(pid: u32) -> Option<String> {
    // A line for each hierarchy; that of cgroup v2 has the number 0 (cgroups(7), "/proc files").
    let lines = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = lines.lines().find_map(|line| line.strip_prefix("0::"))?;
    let names: String = path.split('/').rev().map(|name| format!("{name}\0")).collect();
    Some(String::from_utf8_lossy(of(names.as_bytes())?).into_owned())
}

/// Whether this is the name of a unit (systemd.unit(5)): one of the suffixes, and before it ASCII letters, digits and
/// `:-_.\@`.
fn is_unit(name: &[u8]) -> bool {
    let Some(prefix) = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(*suffix)) else { return false };
    !prefix.is_empty() && prefix.iter().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The unit of a process whose cgroup is this path.
    fn unit(path: &str) -> Option<String> {
        let names: String = path.split('/').rev().map(|name| format!("{name}\0")).collect();
        of(names.as_bytes()).map(|unit| String::from_utf8_lossy(unit).into_owned())
    }

    #[test]
    fn the_innermost_unit_counts() {
        for (path, expected) in [
            ("/init.scope", "init.scope"),
            ("/system.slice/ssh.service", "ssh.service"),
            ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
            (r"/system.slice/run-u12\x2da.service", r"run-u12\x2da.service"),
            ("/system.slice/_cpu.service", "cpu.service"),
            ("/system.slice/home.mount", "home.mount"),
            ("/system.slice/docker-3f4a.scope", "docker-3f4a.scope"),
            ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-7.scope",
                "app-firefox-7.scope",
            ),
            ("/system.slice/mariadb.service/worker", "mariadb.service"),
            ("/machine.slice/machine-debian.scope/payload/system.slice/cron.service", "cron.service"),
            ("/machine.slice/machine-debian.scope/payload", "machine-debian.scope"),
        ] {
            assert_eq!(unit(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn what_is_no_unit() {
        for path in
            ["", "/", "/system.slice", "/docker/3f4a", "/.service", "/a b.service", "/é.scope", "/a.timer"]
        {
            assert_eq!(unit(path), None, "{path}");
        }
        assert_eq!(of(b"\0\0\0"), None);
        // Cut off in the middle of a name.
        assert_eq!(of(b"ssh.serv"), None);
    }
}
