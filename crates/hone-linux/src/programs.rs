//! Loads and attaches the BPF programs: which of them this kernel can run, and which it has to.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hone_types::Mechanism;
use libbpf_rs::skel::{OpenSkel as _, Skel as _, SkelBuilder as _};
use libbpf_rs::{Link, PrintLevel, ProgramMut};

use crate::abi::{HoneSkel, HoneSkelBuilder};
use crate::error::SensorError;
use crate::exclusive;
use crate::preflight;
use crate::requirements::{Kernel, Program};
use crate::trace_fs::TraceFs;

/// The compiled programs, built by `build.rs`.
#[cfg(test)]
pub(crate) static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hone.bpf.o"));

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

/// The programs, loaded and attached.
pub(crate) struct Programs {
    pub(crate) mechanism: Mechanism,
    pub(crate) skeleton: HoneSkel<'static>,
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
    let try_with = |mechanism| {
        attempt(kernel, mechanism, &cgroup, ring_bytes).or_else(|error| match kernel.guessed_again() {
            Some(kernel) if error.is_verdict() => {
                attempt(kernel, mechanism, &cgroup, ring_bytes).map_err(|_| error)
            }
            _ => Err(error),
        })
    };
    match mechanism {
        Some(Mechanism::Tracepoints) if !kernel.reports_use => Err(SensorError::TooFewTracepoints),
        Some(Mechanism::Callouts) => Err(SensorError::Callouts),
        Some(mechanism) => try_with(mechanism),
        None if !kernel.reports_use => try_with(Mechanism::Trampolines),
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
    let mut notes = Vec::new();
    let skeleton = load(kernel, mechanism, ring_bytes, &mut notes)?;
    let (links, iterators) = attach(&skeleton, cgroup, &mut notes)?;
    Ok(Programs { mechanism, skeleton, links, iterators, notes })
}

pub(crate) fn load(
    kernel: Kernel,
    mechanism: Mechanism,
    ring_bytes: u32,
    notes: &mut Vec<String>,
) -> Result<HoneSkel<'static>, SensorError> {
    let refused = |error| SensorError::refused(format!("loading (with {})", mechanism.words()), error);
    // The skeleton borrows what it is opened into. It is opened once for each sensor, and this is the size of a pointer.
    let place = Box::leak(Box::new(MaybeUninit::uninit()));
    let mut open = HoneSkelBuilder::default().open(place).map_err(refused)?;
    open.maps.events.set_max_entries(ring_bytes).map_err(refused)?;
    let constants = open.maps.rodata_data.as_deref_mut().expect("the object is built with its settings");
    let trampolines = mechanism == Mechanism::Trampolines;
    constants.settings.ring_bytes = ring_bytes;
    constants.settings.trampolines = trampolines.into();
    constants.settings.writers_reported = (kernel.reports_writers || trampolines).into();
    constants.settings.whole_buffers = kernel.copies_buffers.into();
    constants.settings.hidden_answers = kernel.hides_answers.into();
    constants.settings.loses_cpu = (kernel.preempts_tracepoints || trampolines).into();
    for mut program in open.open_object_mut().progs_mut() {
        let row = Program::of(program.name());
        program.set_autoload(row.is_loaded(kernel, mechanism));
        notes.extend(row.lacking(kernel, mechanism).map(str::to_owned));
    }
    open.load().map_err(refused)
}

/// Attaches every loaded program; the iterators are returned apart, in the order: processes, sockets.
fn attach(
    skeleton: &HoneSkel<'static>,
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
    for program in skeleton.object().progs_mut() {
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
    } else if let Some(weaker) = Program::of(program.name()).if_not_attached() {
        let event = section.strip_prefix("tp/");
        let link = match (event, tracefs) {
            (None, _) => program.attach_cgroup(directory.as_raw_fd()).map_err(|error| error.to_string()),
            (Some(event), Ok(tracefs)) => tracefs.attach(program, event).map_err(|error| error.to_string()),
            (Some(_), Err(error)) => Err(error.to_string()),
        };
        match link {
            Ok(link) => links.push(link),
            Err(error) => {
                notes.push(format!("{} is not watched ({error}): {weaker}", event.unwrap_or(&section)))
            }
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
        let skeleton = load(kernel, Mechanism::Tracepoints, 1 << 20, &mut Vec::new());
        let skeleton = skeleton.expect("the programs are loaded");
        let error = attach(&skeleton, &cgroup.0, &mut Vec::new()).map(drop).expect_err("it permits no other");
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
        let skeleton = load(kernel, Mechanism::Tracepoints, 1 << 20, &mut Vec::new());
        let skeleton = skeleton.expect("the programs are loaded");
        let attached = attach(&skeleton, &cgroup.0, &mut Vec::new()).expect("nobody is in the way");
        assert!(!attach_exclusively(&cgroup.0, &passes), "beside Hone's");
        assert!(attach_exclusively(&below.0, &passes), "below Hone's");
        drop(attached);
        assert!(attach_exclusively(&cgroup.0, &passes), "Hone has gone");
        drop(below);
    }
}
