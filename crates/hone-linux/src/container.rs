//! Which container a process is in, from the names of its cgroups: each runtime has its own way of naming them.
//!
//! | runtime | cgroup | id |
//! |---|---|---|
//! | Docker, containerd, CRI-O, Podman, Kubernetes | `ID`, or what ends in `-ID`, `:ID` or one of them with `.scope` | `ID`: 64 hexadecimal digits |
//! | LXC, LXD, Incus, Proxmox | `lxc.payload.NAME`, or `NAME` in `lxc` or `lxc.payload` | `NAME` |
//! | systemd-nspawn | `machine-NAME.scope` in `machine.slice`, or `payload` in `systemd-nspawn@NAME.service` | `NAME` |
//!
//! Such as `/system.slice/docker-ID.scope`, `/docker/ID`, `/kubepods/burstable/podUID/ID`,
//! `/kubepods.slice/kubepods-podUID.slice/cri-containerd-ID.scope`, `/machine.slice/libpod-ID.scope/container`. What watches
//! over a container from outside (`libpod-conmon-ID.scope`, `lxc.monitor.NAME`, `supervisor`) is not in it, nor is a virtual
//! machine a container. Where one is in another, the inner one counts.

use std::borrow::Cow;

/// Digits of an id.
const ID_DIGITS: usize = 64;

/// The container of a process in the cgroup with these names, from the innermost to the root, each followed by NUL.
pub(crate) fn of(cgroup: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut below: &[u8] = b"";
    let mut names = cgroup.split(|&byte| byte == 0).filter(|name| !name.is_empty()).peekable();
    while let Some(name) = names.next() {
        let above = names.peek().copied().unwrap_or_default();
        if let Some(found) = by_id(name).or_else(|| lxc(name, above)) {
            return Some(Cow::Borrowed(found));
        }
        if let Some(machine) = nspawn(name, above, below) {
            return Some(unescaped(machine));
        }
        below = name;
    }
    None
}

fn by_id(name: &[u8]) -> Option<&[u8]> {
    let name = name.strip_suffix(b".scope").unwrap_or(name);
    let (before, id) = name.split_at_checked(name.len().checked_sub(ID_DIGITS)?)?;
    let is_id = id.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_named = before.is_empty()
        || (before.ends_with(b"-") && !before.ends_with(b"conmon-"))
        || before.ends_with(b":");
    (is_id && is_named).then_some(id)
}

fn lxc<'a>(name: &'a [u8], above: &[u8]) -> Option<&'a [u8]> {
    if let Some(name) = name.strip_prefix(b"lxc.payload.") {
        return Some(name).filter(|name| !name.is_empty());
    }
    matches!(above, b"lxc" | b"lxc.payload").then_some(name)
}

fn nspawn<'a>(name: &'a [u8], above: &[u8], below: &[u8]) -> Option<&'a [u8]> {
    if let Some(service) = name.strip_prefix(b"systemd-nspawn@") {
        return service.strip_suffix(b".service").filter(|_| below == b"payload");
    }
    let machine = name.strip_prefix(b"machine-")?.strip_suffix(b".scope")?;
    // libvirt's and systemd's virtual machines: qemu-NUMBER-NAME, escaped.
    let is_container =
        above == b"machine.slice" && below != b"supervisor" && !machine.starts_with(br"qemu\x2d");
    is_container.then_some(machine)
}

/// Undoes what systemd does to a name in the name of a unit, see systemd.unit(5): `-` for `/`, `\xHH` for other bytes. A
/// machine's name has no `/`, so what looks like one is left.
fn unescaped(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'\\') {
        return Cow::Borrowed(name);
    }
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let digits = after.strip_prefix(b"x").and_then(<[u8]>::first_chunk::<2>).filter(|_| byte == b'\\');
        match digits.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()) {
            Some(escaped) => {
                out.push(escaped);
                rest = &after[3..];
            }
            None => out.push(byte),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f4a0c1de2b59687a3f4a0c1de2b59687a3f4a0c1de2b59687a3f4a0c1de2b5a";

    /// The container of a process whose cgroup is this path.
    fn container(path: &str) -> Option<String> {
        let names: String = path.split('/').rev().map(|name| format!("{name}\0")).collect();
        of(names.as_bytes()).map(|id| String::from_utf8_lossy(&id).into_owned())
    }

    #[test]
    fn by_the_id_that_the_runtime_puts_into_the_name() {
        for path in [
            "/docker/ID",
            "/docker/ID/init.scope",
            "/system.slice/docker-ID.scope",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
            "/system.slice/nerdctl-ID.scope",
            "/default/ID",
            "/kubepods/burstable/pod6c2f/ID",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod6c2f.slice/cri-containerd-ID.scope",
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod6c2f.slice/crio-ID.scope",
            "/kubepods.slice/kubepods-pod6c2f.slice/docker-ID.scope",
            "/system.slice/containerd.service/kubepods-besteffort-pod6c2f.slice:cri-containerd:ID",
            "/machine.slice/libpod-ID.scope/container",
            "/libpod_parent/libpod-ID",
            "/ecs/0d1f/ID",
        ] {
            assert_eq!(container(&path.replace("ID", ID)).as_deref(), Some(ID), "{path}");
        }
    }

    #[test]
    fn by_the_name_that_a_person_gave() {
        for (path, name) in [
            ("/lxc.payload.web", "web"),
            ("/lxc.payload.default_web-1/system.slice/ssh.service", "default_web-1"),
            ("/lxc/101/ns/init.scope", "101"),
            ("/lxc.payload/web", "web"),
            ("/machine.slice/machine-debian.scope/payload/init.scope", "debian"),
            (r"/machine.slice/machine-my\x2dtree.scope/payload", "my-tree"),
            (r"/machine.slice/machine-a\x2db\x2.scope", r"a-b\x2"),
            (r"/machine.slice/machine-lxc\x2d12\x2dweb.scope", "lxc-12-web"),
            ("/machine.slice/systemd-nspawn@web.service/payload/system.slice/cron.service", "web"),
        ] {
            assert_eq!(container(path).as_deref(), Some(name), "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_one() {
        for path in [
            "",
            "/",
            "/init.scope",
            "/user.slice/user-1000.slice/session-3.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-1234.scope",
            "/system.slice/docker.service",
            "/system.slice/containerd.service",
            "/system.slice/ID.service",
            "/system.slice/ID-4d5e.service",
            "/system.slice/fooID.scope",
            "/kubepods.slice/kubepods-burstable.slice",
            "/machine.slice/libpod-conmon-ID.scope",
            "/kubepods.slice/kubepods-pod6c2f.slice/crio-conmon-ID.scope",
            "/docker/3f4a",
            "/lxc.monitor.web",
            "/lxc.monitor/web",
            "/lxc.payload.",
            "/lxc",
            "/machine.slice/machine-debian.scope/supervisor",
            "/machine.slice/systemd-nspawn@web.service/supervisor",
            "/machine.slice/systemd-nspawn@web.service",
            r"/machine.slice/machine-qemu\x2d1\x2dvm.scope/libvirt/emulator",
            "/user.slice/machine-debian.scope",
        ] {
            assert_eq!(container(&path.replace("ID", ID)), None, "{path}");
        }
        assert_eq!(container(&format!("/docker/{}", ID.to_uppercase())), None);
    }

    #[test]
    fn the_inner_one_counts() {
        let other = ID.replace('3', "0");
        let path = format!("/docker/{other}/kubelet/kubepods/burstable/pod6c2f/{ID}");
        assert_eq!(container(&path).as_deref(), Some(ID));
        assert_eq!(
            container(&format!("/lxc.payload.web/system.slice/docker-{ID}.scope")).as_deref(),
            Some(ID)
        );
        assert_eq!(
            container(&format!("/lxc.payload.web/system.slice/libpod-conmon-{ID}.scope")).as_deref(),
            Some("web")
        );
    }

    #[test]
    fn no_bytes_are_a_reason_to_panic() {
        for path in ["\\", "\\x", "\\x2", "\\x2d", "\\xzz", "\\é1"] {
            let _ = container(&format!("/machine.slice/machine-{path}.scope"));
        }
        assert_eq!(of(b"\0\0\0"), None);
        assert_eq!(of(b"lxc.payload.\xff\0").as_deref(), Some(&b"\xff"[..]));
        // Cut off in the middle of a name.
        assert_eq!(of(b"init.scope\0docker-3f").as_deref(), None);
    }
}
