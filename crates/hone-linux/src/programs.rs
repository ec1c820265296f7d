//! Loads and attaches the BPF programs: which of them this kernel can run, and which it has to.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hone_types::Mechanism;
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Func, Struct, Typedef};
use libbpf_rs::{Link, Object, ObjectBuilder, OpenObject, PrintLevel, ProgramMut};

use crate::error::SensorError;
use crate::exclusive;
use crate::preflight;
use crate::trace_fs::TraceFs;

/// The compiled programs, built by `build.rs`.
static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sensor.bpf.o"));

/// The mechanism with this name, of those that Linux has.
///
/// # Errors
/// There is none; the text says which there are.
pub fn mechanism(name: &str) -> Result<Mechanism, String> {
    [Mechanism::Trampolines, Mechanism::Tracepoints]
        .into_iter()
        .find(|mechanism| mechanism.words() == name)
        .ok_or_else(|| "it must be trampolines or tracepoints".to_owned())
}

/// What the running kernel has, from its BTF.
#[derive(Debug, Clone, Copy)]
struct Kernel {
    /// Tells when a send or receive returns: 6.3.
    tells_use: bool,
    /// Tells, under the lock, who writes to a TCP stream: 6.16.
    tells_writers: bool,
    /// Lets programs on packets look at the kernel's own structures: 6.2.
    shows_packets: bool,
    /// Tells for which socket a packet was dropped: 6.11.
    tells_dropping_socket: bool,
    /// Lets programs on tracepoints copy a buffer's every part: 6.12.
    copies_buffers: bool,
    /// Hides a listener's answers over IPv6 (SYN-ACK) from programs on packets: before 6.5.
    hides_answers: bool,
}

impl Kernel {
    fn look() -> Result<Self, SensorError> {
        let btf =
            Btf::from_vmlinux().map_err(|error| SensorError::refused("reading the kernel's BTF", error))?;
        let tracepoint = |name: &str| btf.type_by_name::<Typedef<'_>>(&format!("btf_trace_{name}")).is_some();
        let dropped = btf.type_by_name::<Struct<'_>>("trace_event_raw_kfree_skb");
        Ok(Self {
            tells_use: tracepoint("sock_send_length") && tracepoint("sock_recv_length"),
            tells_writers: tracepoint("tcp_sendmsg_locked"),
            shows_packets: btf.type_by_name::<Func<'_>>("bpf_cast_to_kern_ctx").is_some(),
            tells_dropping_socket: dropped.is_some_and(|event| {
                event.iter().any(|member| member.name.is_some_and(|name| name == "rx_sk"))
            }),
            copies_buffers: preflight::running_kernel().is_some_and(|version| version >= (6, 12)),
            hides_answers: preflight::running_kernel().is_some_and(|version| version < (6, 5)),
        })
    }

    /// Whether a program is needed.
    fn wants(self, section: &str, mechanism: Mechanism) -> bool {
        match section {
            "tp_btf/sock_send_length" | "tp_btf/sock_recv_length" => self.tells_use,
            "tp_btf/tcp_sendmsg_locked" => self.tells_writers,
            "fentry/tcp_sendmsg_locked" => mechanism == Mechanism::Trampolines && !self.tells_writers,
            "fentry/__cgroup_bpf_run_filter_skb" => !self.shows_packets,
            "fentry/tcp_make_synack" => mechanism == Mechanism::Trampolines && self.hides_answers,
            "fentry/tcp_timewait_state_process" => {
                mechanism == Mechanism::Trampolines && !self.tells_dropping_socket
            }
            _ => mechanism == Mechanism::Trampolines || !section.starts_with("fentry/"),
        }
    }
}

/// The programs, loaded and attached.
pub(crate) struct Programs {
    pub(crate) mechanism: Mechanism,
    pub(crate) object: Object,
    /// What holds the programs in place.
    pub(crate) links: Vec<Link>,
    /// What lists processes and sockets.
    pub(crate) iterators: [Link; 2],
    /// What is weaker here than on the best of machines, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// Loads and attaches. Without a `mechanism`, trampolines where they are permitted, else tracepoints.
pub(crate) fn start(mechanism: Option<Mechanism>, ring_bytes: u32) -> Result<Programs, SensorError> {
    let cgroup = preflight::check()?;
    libbpf_rs::set_print(Some((PrintLevel::Warn, |_, text| tracing::debug!("libbpf: {}", text.trim_end()))));
    let kernel = Kernel::look()?;
    let try_with = |mechanism| attempt(kernel, mechanism, &cgroup, ring_bytes);
    match mechanism {
        Some(Mechanism::Tracepoints) if !kernel.tells_use => Err(SensorError::TooFewTracepoints),
        Some(Mechanism::Callouts) => Err(SensorError::Callouts),
        Some(mechanism) => try_with(mechanism),
        None if !kernel.tells_use => try_with(Mechanism::Trampolines),
        None => try_with(Mechanism::Trampolines).or_else(|refused| {
            tracing::debug!("trampolines: {refused}");
            try_with(Mechanism::Tracepoints)
        }),
    }
}

fn attempt(
    kernel: Kernel,
    mechanism: Mechanism,
    cgroup: &Path,
    ring_bytes: u32,
) -> Result<Programs, SensorError> {
    let object = load(kernel, mechanism, ring_bytes)?;
    let mut notes = Vec::new();
    let (links, iterators) = attach(&object, cgroup, &mut notes)?;
    if mechanism == Mechanism::Tracepoints && !kernel.tells_writers {
        notes.push(
            "of a TCP stream that several processes write to, what is sent late may be the wrong one's"
                .into(),
        );
    }
    if mechanism == Mechanism::Tracepoints && !kernel.tells_dropping_socket {
        notes.push("packets to connections that have ended are not recorded".into());
    }
    Ok(Programs { mechanism, object, links, iterators, notes })
}

fn load(kernel: Kernel, mechanism: Mechanism, ring_bytes: u32) -> Result<Object, SensorError> {
    let refused = |error| SensorError::refused(format!("loading (with {})", mechanism.words()), error);
    let mut object: OpenObject = ObjectBuilder::default()
        .name("hone")
        .and_then(|builder| builder.open_memory(OBJECT))
        .map_err(refused)?;
    // `settings` in bpf/common.h: the object's only data of its kind.
    let trampolines = mechanism == Mechanism::Trampolines;
    let writers_told = kernel.tells_writers || trampolines;
    let known = [trampolines, writers_told, kernel.copies_buffers, kernel.hides_answers].map(u32::from);
    let [trampolines, writers_told, whole_buffers, hidden_answers] = known;
    let settings =
        [ring_bytes, trampolines, writers_told, whole_buffers, hidden_answers].map(u32::to_ne_bytes);
    for mut map in object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if name == "events" {
            map.set_max_entries(ring_bytes).map_err(refused)?;
        } else if name.ends_with(".rodata") {
            let value = map.initial_value_mut().and_then(|value| value.first_chunk_mut::<20>());
            value.expect("the object is built with its settings").copy_from_slice(settings.as_flattened());
        }
    }
    for mut program in object.progs_mut() {
        let wanted = kernel.wants(&program.section().to_string_lossy(), mechanism);
        program.set_autoload(wanted);
    }
    object.load().map_err(refused)
}

/// Attaches every loaded program; the iterators are returned apart, in the order: processes, sockets.
fn attach(
    object: &Object,
    cgroup: &Path,
    notes: &mut Vec<String>,
) -> Result<(Vec<Link>, [Link; 2]), SensorError> {
    let in_cgroup = |what: &str, error| SensorError::io(format!("cannot {what} {}", cgroup.display()), error);
    let directory = File::open(cgroup).map_err(|error| in_cgroup("open the cgroup hierarchy", error))?;
    let metadata = directory.metadata().map_err(|error| in_cgroup("look at", error))?;
    // The root cgroup's directory has inode 1; a container sees its own cgroup as "/".
    if metadata.ino() != 1 {
        notes.push(format!(
            "{} is not the root of the cgroup hierarchy (a container?): only sockets of the cgroups below it are seen",
            cgroup.display()
        ));
    }
    let tracefs = TraceFs::open();
    let mut links = Vec::new();
    let (mut processes, mut sockets) = (None, None);
    for program in object.progs_mut() {
        if program.autoload() {
            attach_one(
                &program,
                (cgroup, &directory),
                &tracefs,
                notes,
                &mut links,
                (&mut processes, &mut sockets),
            )?;
        }
    }
    let missing = "the object is built with both iterators";
    Ok((links, [processes.expect(missing), sockets.expect(missing)]))
}

/// What bpftool calls the programs of a section on a cgroup.
fn kind(section: &str) -> &'static str {
    match section {
        "cgroup_skb/ingress" => "ingress",
        "cgroup_skb/egress" => "egress",
        "cgroup/sock_create" => "sock_create",
        _ => "sock_release",
    }
}

/// What is not known where a system call cannot be watched.
fn without(call: &str) -> &'static str {
    if call.contains("accept") {
        "a connection is its listener's owner's until it is first used"
    } else {
        "a socket that a process hands to another one is its own until the other uses it"
    }
}

fn attach_one(
    program: &ProgramMut<'_>,
    (cgroup, directory): (&Path, &File),
    tracefs: &Result<TraceFs, SensorError>,
    notes: &mut Vec<String>,
    links: &mut Vec<Link>,
    (processes, sockets): (&mut Option<Link>, &mut Option<Link>),
) -> Result<(), SensorError> {
    let section = program.section().to_string_lossy();
    let refused = |error| SensorError::refused(format!("attaching {section}"), error);
    if section.starts_with("cgroup") {
        links.push(program.attach_cgroup(directory.as_raw_fd()).map_err(|error| {
            match exclusive::on(directory, program.attach_type() as u32) {
                Some(programs) => {
                    SensorError::Exclusive { cgroup: cgroup.to_owned(), kind: kind(&section), programs }
                }
                None => refused(error),
            }
        })?);
    } else if section == "sockops" {
        // The tracepoint tells nearly all that it tells.
        match program.attach_cgroup(directory.as_raw_fd()) {
            Ok(link) => links.push(link),
            Err(error) => notes.push(format!(
                "{section} is not watched ({error}): connections that end in an interrupt may stay open"
            )),
        }
    } else if let Some(event) = section.strip_prefix("tp/") {
        let link = match tracefs {
            Ok(tracefs) => tracefs.attach(program, event).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match link {
            Ok(link) => links.push(link),
            Err(error) => notes.push(format!("{event} is not watched ({error}): {}", without(event))),
        }
    } else {
        let link = program.attach().map_err(refused)?;
        match &*section {
            "iter.s/task" => *processes = Some(link),
            "iter/task_file" => *sockets = Some(link),
            _ => links.push(link),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use libbpf_rs::libbpf_sys;

    use super::*;
    use crate::assembler;

    /// A cgroup of the test's own below the root; removed when dropped.
    struct Cgroup(PathBuf);

    impl Cgroup {
        fn new(name: &str) -> Self {
            let root = preflight::check().expect("the sensor can run here");
            let cgroup = root.join(format!("hone-test-{name}-{}", std::process::id()));
            std::fs::create_dir(&cgroup).expect("root may make a cgroup");
            Self(cgroup)
        }
    }

    impl Drop for Cgroup {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir(&self.0);
        }
    }

    /// Attaches a program that lets everything pass, so that no other may be there; whether the kernel permits it.
    fn attach_exclusively(cgroup: &Path, program: &impl AsRawFd) -> bool {
        let cgroup = File::open(cgroup).expect("it is there");
        let kind = libbpf_sys::BPF_CGROUP_INET_EGRESS;
        // SAFETY: a call with numbers alone.
        let result = unsafe { libbpf_sys::bpf_prog_attach(program.as_raw_fd(), cgroup.as_raw_fd(), kind, 0) };
        result == 0
    }

    #[test]
    fn a_program_that_permits_no_other_is_named_and_not_taken_for_a_policy() {
        if !hone_testing::ready(&[]) {
            return;
        }
        let cgroup = Cgroup::new("exclusive");
        let passes = assembler::load(
            libbpf_sys::BPF_PROG_TYPE_CGROUP_SKB,
            c"firewall_7",
            &[
                assembler::code(0xB7, 0, 0, 1), // r0 = 1
                assembler::code(0x95, 0, 0, 0), // return
            ],
        );
        assert!(attach_exclusively(&cgroup.0, &passes), "it is the first");
        let kernel = Kernel::look().expect("the kernel has BTF");
        let object = load(kernel, Mechanism::Tracepoints, 1 << 20).expect("the programs are loaded");
        let error = attach(&object, &cgroup.0, &mut Vec::new()).map(drop).expect_err("it permits no other");
        let text = error.to_string();
        let detach = format!("bpftool cgroup detach {} egress id", cgroup.0.display());
        for part in ["another BPF program", "\"firewall_7\" (id ", "BPF_F_ALLOW_MULTI", &detach] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("lockdown"), "{text}");
    }

    /// What docs/limits.md says of others' programs.
    #[test]
    fn others_may_attach_exclusively_below_hone_and_not_beside_it() {
        if !hone_testing::ready(&[]) {
            return;
        }
        let cgroup = Cgroup::new("beside");
        let below = Cgroup(cgroup.0.join("below"));
        std::fs::create_dir(&below.0).expect("root may make a cgroup");
        let passes = assembler::load(
            libbpf_sys::BPF_PROG_TYPE_CGROUP_SKB,
            c"firewall_8",
            &[assembler::code(0xB7, 0, 0, 1), assembler::code(0x95, 0, 0, 0)],
        );
        let kernel = Kernel::look().expect("the kernel has BTF");
        let object = load(kernel, Mechanism::Tracepoints, 1 << 20).expect("the programs are loaded");
        let attached = attach(&object, &cgroup.0, &mut Vec::new()).expect("nobody is in the way");
        assert!(!attach_exclusively(&cgroup.0, &passes), "beside Hone's");
        assert!(attach_exclusively(&below.0, &passes), "below Hone's");
        drop(attached);
        assert!(attach_exclusively(&cgroup.0, &passes), "Hone has gone");
        drop(below);
    }
}
