//! What each BPF program needs of the kernel, and what is weaker without it: one row a program.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Enum, Func, Struct, Typedef};

use crate::error::SensorError;
use crate::preflight;
use hone_types::Mechanism;

/// What the running kernel has, from its BTF.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel {
    /// Reports when a send or receive returns: 6.3.
    pub(crate) reports_use: bool,
    /// Reports, under the socket's lock, who writes to a TCP stream: 6.16.
    pub(crate) reports_writers: bool,
    /// Lets programs on packets look at the kernel's own structures: 6.2.
    shows_packets: bool,
    /// Reports for which socket a packet was dropped: 6.11.
    reports_dropping_socket: bool,
    /// Lets programs on tracepoints copy every part of a buffer: 6.12. Its BTF does not say so: a guess.
    pub(crate) copies_buffers: bool,
    /// Has the function for it, so that the guess can be wrong.
    has_buffer_function: bool,
    /// Hides a listener's answers over IPv6 (SYN-ACK) from programs on packets: before 6.5.
    pub(crate) hides_answers: bool,
    /// Has the functions that accept a connection and look at descriptors that are sent, so that trampolines see both.
    pub(crate) shows_functions: bool,
    /// Takes a task off its CPU in the middle of a program on a tracepoint: from 7.0.
    pub(crate) preempts_tracepoints: bool,
}

impl Kernel {
    /// Looks at the running kernel.
    ///
    /// # Errors
    /// It has no BTF, or lacks what is needed with every mechanism.
    pub(crate) fn look() -> Result<Self, SensorError> {
        let btf =
            Btf::from_vmlinux().map_err(|error| SensorError::refused("reading the kernel's BTF", error))?;
        let missing = missing(&btf);
        if !missing.is_empty() {
            return Err(SensorError::Lacks { found: preflight::release(), missing });
        }
        let tracepoint = |name: &str| btf.type_by_name::<Typedef<'_>>(&format!("btf_trace_{name}")).is_some();
        let function = |name: &str| btf.type_by_name::<Func<'_>>(name).is_some();
        let dropped = btf.type_by_name::<Struct<'_>>("trace_event_raw_kfree_skb");
        Ok(Self {
            reports_use: tracepoint("sock_send_length") && tracepoint("sock_recv_length"),
            reports_writers: tracepoint("tcp_sendmsg_locked"),
            shows_packets: function("bpf_cast_to_kern_ctx"),
            reports_dropping_socket: dropped.is_some_and(|event| {
                event.iter().any(|member| member.name.is_some_and(|name| name == "rx_sk"))
            }),
            has_buffer_function: function("bpf_dynptr_from_skb"),
            copies_buffers: preflight::running_kernel().is_some_and(|version| version >= (6, 12)),
            hides_answers: preflight::running_kernel().is_some_and(|version| version < (6, 5)),
            shows_functions: function("do_accept") && function("__scm_send"),
            preempts_tracepoints: preflight::running_kernel().is_some_and(|version| version >= (7, 0)),
        })
    }
}

impl Kernel {
    /// The other guess, for kernels that have more, or less, than others of their version.
    pub(crate) fn guessed_again(self) -> Option<Self> {
        self.has_buffer_function.then_some(Self { copies_buffers: !self.copies_buffers, ..self })
    }
}

/// What the programs call of the kernel that not every kernel with BPF and BTF has, with the first version of Linux that has it.
const HELPERS: &[(&str, &str)] = &[
    ("ringbuf_reserve", "5.8"),
    ("ktime_get_boot_ns", "5.8"),
    ("sock_from_file", "5.11"),
    ("get_current_task_btf", "5.11"),
    ("task_pt_regs", "5.15"),
    ("loop", "5.17"),
    ("get_func_ret", "5.17"),
    ("skc_to_mptcp_sock", "5.19"),
];

/// What the sensor cannot do without and the kernel's BTF does not have: helpers (`enum bpf_func_id`), and tracepoints.
fn missing(btf: &Btf<'_>) -> Vec<String> {
    let mut names = BTreeSet::new();
    if let Some(helpers) = btf.type_by_name::<Enum<'_>>("bpf_func_id") {
        let known = helpers.iter().filter_map(|helper| helper.name?.to_str());
        names.extend(known.filter_map(|name| name.strip_prefix("BPF_FUNC_")).map(str::to_owned));
    }
    let helpers = HELPERS.iter().filter(|(name, _)| !names.contains(*name));
    let tracepoints = PROGRAMS
        .iter()
        .filter(|program| std::ptr::fn_addr_eq(program.wanted, ALWAYS))
        .filter_map(|program| program.section.strip_prefix("tp_btf/"))
        .filter(|name| btf.type_by_name::<Typedef<'_>>(&format!("btf_trace_{name}")).is_none());
    let helpers = helpers.map(|(name, since)| format!("the BPF helper bpf_{name} (Linux {since})"));
    helpers.chain(tracepoints.map(|name| format!("the tracepoint {name}"))).collect()
}

/// One BPF program: when it is wanted, and what is weaker where it is wanted and cannot be had.
pub(crate) struct Program {
    /// Its name in `bpf/programs`.
    name: &'static str,
    /// To what it is attached. What begins with `fentry/` or `fexit/` needs trampolines.
    section: &'static str,
    /// Whether this kernel needs it: where there is something better, it does not.
    wanted: fn(Kernel, Mechanism) -> bool,
    /// What happens without it.
    without: Without,
}

/// What happens where a program is wanted and cannot be attached, or, of one that needs trampolines, they are refused.
#[derive(Clone, Copy)]
pub(crate) enum Without {
    /// The sensor does not start.
    Refused,
    /// Other programs of the table report the same.
    Nothing,
    /// The sensor runs, and says this.
    Weaker(&'static str),
}

use Without::{Nothing, Refused, Weaker};

const ALWAYS: fn(Kernel, Mechanism) -> bool = |_, _| true;
/// What shows more than system calls do, and makes only those calls slower that it is about.
const BY_FUNCTIONS: fn(Kernel, Mechanism) -> bool =
    |kernel, mechanism| kernel.shows_functions && mechanism == Mechanism::Trampolines;
const BY_SYSTEM_CALLS: fn(Kernel, Mechanism) -> bool = |kernel, mechanism| !BY_FUNCTIONS(kernel, mechanism);

/// Every program of the object.
#[rustfmt::skip]
const PROGRAMS: &[Program] = &[
    // Packets of sockets.
    Program { name: "packet_received", section: "cgroup_skb/ingress", wanted: ALWAYS, without: Refused },
    Program { name: "packet_sent", section: "cgroup_skb/egress", wanted: ALWAYS, without: Refused },
    Program { name: "packet_passes", section: "fentry/__cgroup_bpf_run_filter_skb", wanted: |kernel, _| !kernel.shows_packets, without: Refused },
    // Packets that no socket takes or sends.
    Program { name: "packet_dropped", section: "tp_btf/kfree_skb", wanted: ALWAYS, without: Refused },
    Program { name: "packet_consumed", section: "tp_btf/consume_skb", wanted: ALWAYS, without: Refused },
    Program { name: "packet_leaves", section: "tp_btf/net_dev_queue", wanted: ALWAYS, without: Refused },
    Program { name: "listener_answers", section: "fentry/tcp_make_synack", wanted: |kernel, _| kernel.hides_answers, without: Nothing },
    Program { name: "packet_comes_late", section: "fentry/tcp_timewait_state_process", wanted: |kernel, _| !kernel.reports_dropping_socket,
        without: Weaker("packets to connections that have ended are not recorded") },
    // Sockets: made, accepted, released.
    Program { name: "socket_created", section: "cgroup/sock_create", wanted: ALWAYS, without: Refused },
    Program { name: "socket_released", section: "cgroup/sock_release", wanted: ALWAYS, without: Refused },
    Program { name: "socket_state_changed", section: "tp_btf/inet_sock_set_state", wanted: ALWAYS, without: Refused },
    Program { name: "connection_changed", section: "sockops", wanted: ALWAYS,
        without: Weaker("connections that end in an interrupt may stay open") },
    Program { name: "connection_accepted", section: "fexit/do_accept", wanted: BY_FUNCTIONS, without: Nothing },
    Program { name: "accept_returned", section: "tp/syscalls/sys_exit_accept", wanted: BY_SYSTEM_CALLS, without: Weaker(NO_ACCEPT) },
    Program { name: "accept4_returned", section: "tp/syscalls/sys_exit_accept4", wanted: BY_SYSTEM_CALLS, without: Weaker(NO_ACCEPT) },
    Program { name: "open_sockets", section: "iter/task_file", wanted: ALWAYS, without: Refused },
    // Processes, and with them who can hold a socket.
    Program { name: "process_forked", section: "tp_btf/sched_process_fork", wanted: ALWAYS, without: Refused },
    Program { name: "process_forked_again", section: "tp_btf/sched_process_fork", wanted: |kernel, _| kernel.preempts_tracepoints, without: Refused },
    Program { name: "process_executed", section: "tp_btf/sched_process_exec", wanted: ALWAYS, without: Refused },
    Program { name: "process_executed_again", section: "tp_btf/sched_process_exec", wanted: |kernel, _| kernel.preempts_tracepoints, without: Refused },
    Program { name: "process_exited", section: "tp_btf/sched_process_exit", wanted: ALWAYS, without: Refused },
    Program { name: "process_exited_again", section: "tp_btf/sched_process_exit", wanted: |kernel, _| kernel.preempts_tracepoints, without: Refused },
    Program { name: "descriptors_sent", section: "fentry/__scm_send", wanted: BY_FUNCTIONS, without: Nothing },
    Program { name: "descriptors_sent_again", section: "fexit/__scm_send", wanted: BY_FUNCTIONS, without: Nothing },
    Program { name: "message_sent", section: "tp/syscalls/sys_enter_sendmsg", wanted: BY_SYSTEM_CALLS,
        without: Weaker("a socket that a process hands to another one is its own until the other uses it") },
    // Who uses a socket.
    Program { name: "socket_sent", section: "tp_btf/sock_send_length", wanted: |kernel, _| kernel.reports_use, without: Refused },
    Program { name: "socket_received", section: "tp_btf/sock_recv_length", wanted: |kernel, _| kernel.reports_use, without: Refused },
    Program { name: "stream_grows", section: "tp_btf/tcp_sendmsg_locked", wanted: |kernel, _| kernel.reports_writers, without: Refused },
    Program { name: "stream_written", section: "fentry/tcp_sendmsg_locked", wanted: |kernel, _| !kernel.reports_writers,
        without: Weaker("of a TCP stream that several processes write to, what is sent late may be the wrong one's") },
    Program { name: "socket_sends4", section: "fentry/inet_sendmsg", wanted: ALWAYS, without: Nothing },
    Program { name: "socket_sends6", section: "fentry/inet6_sendmsg", wanted: ALWAYS, without: Nothing },
    Program { name: "socket_receives4", section: "fentry/inet_recvmsg", wanted: ALWAYS, without: Nothing },
    Program { name: "socket_receives6", section: "fentry/inet6_recvmsg", wanted: ALWAYS, without: Nothing },
    Program { name: "udp_read", section: "fentry/skb_consume_udp", wanted: ALWAYS, without: Nothing },
    Program { name: "stream_read", section: "tp_btf/tcp_rcv_space_adjust", wanted: ALWAYS, without: Refused },
    Program { name: "datagram_read", section: "tp_btf/skb_copy_datagram_iovec", wanted: ALWAYS, without: Refused },
    Program { name: "running_processes", section: "iter.s/task", wanted: ALWAYS, without: Refused },
];

const NO_ACCEPT: &str = "a connection is its listener's owner's until it is first used";

impl Program {
    /// The row of the object's program with this name.
    pub(crate) fn of(name: &OsStr) -> &'static Self {
        PROGRAMS.iter().find(|program| program.name == name).expect("each program has its row")
    }

    /// Whether it is to be loaded.
    pub(crate) fn is_loaded(&self, kernel: Kernel, mechanism: Mechanism) -> bool {
        (self.wanted)(kernel, mechanism) && (mechanism == Mechanism::Trampolines || !self.needs_trampolines())
    }

    /// What is weaker as it is not loaded, though it is wanted.
    pub(crate) fn lacking(&self, kernel: Kernel, mechanism: Mechanism) -> Option<&'static str> {
        match self.without {
            Weaker(what) if (self.wanted)(kernel, mechanism) && !self.is_loaded(kernel, mechanism) => {
                Some(what)
            }
            _ => None,
        }
    }

    /// What is weaker if it is loaded and cannot be attached; `None`: the sensor does not start.
    pub(crate) fn if_not_attached(&self) -> Option<&'static str> {
        match self.without {
            Weaker(what) if !self.needs_trampolines() => Some(what),
            _ => None,
        }
    }

    fn needs_trampolines(&self) -> bool {
        self.section.starts_with("fentry/") || self.section.starts_with("fexit/")
    }
}

#[cfg(test)]
mod tests {
    use libbpf_rs::ObjectBuilder;

    use super::*;
    use crate::programs::OBJECT;

    #[test]
    fn each_program_of_the_object_has_one_row_and_each_row_a_program() {
        let object = ObjectBuilder::default().open_memory(OBJECT).expect("it is an object");
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        let programs: BTreeSet<_> =
            object.progs().map(|program| (text(program.name()), text(program.section()))).collect();
        let rows: BTreeSet<_> =
            PROGRAMS.iter().map(|program| (program.name.to_owned(), program.section.to_owned())).collect();
        assert_eq!(programs, rows);
        assert_eq!(rows.len(), PROGRAMS.len(), "a row is there twice");
    }

    #[test]
    fn what_tracepoints_cannot_do_is_said_and_only_where_it_is_so() {
        let old = Kernel {
            reports_use: true,
            reports_writers: false,
            shows_packets: true,
            reports_dropping_socket: false,
            copies_buffers: false,
            has_buffer_function: true,
            hides_answers: false,
            shows_functions: true,
            preempts_tracepoints: false,
        };
        let new =
            Kernel { reports_writers: true, reports_dropping_socket: true, copies_buffers: true, ..old };
        let lacking = |kernel, mechanism| {
            PROGRAMS.iter().filter_map(|program| program.lacking(kernel, mechanism)).collect::<Vec<_>>()
        };
        assert_eq!(lacking(old, Mechanism::Tracepoints).len(), 2);
        assert!(lacking(old, Mechanism::Trampolines).is_empty());
        assert!(lacking(new, Mechanism::Tracepoints).is_empty());
    }
}
