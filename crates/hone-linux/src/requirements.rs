//! What each BPF program needs of the kernel, and what is weaker without it: one row a program.

use std::ffi::OsStr;

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Func, Struct, Typedef};

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
    /// Lets programs on tracepoints copy every part of a buffer: 6.12.
    pub(crate) copies_buffers: bool,
    /// Hides a listener's answers over IPv6 (SYN-ACK) from programs on packets: before 6.5.
    pub(crate) hides_answers: bool,
    /// Takes a task off its CPU in the middle of a program on a tracepoint: from 7.0.
    pub(crate) preempts_tracepoints: bool,
}

impl Kernel {
    /// Looks at the running kernel.
    ///
    /// # Errors
    /// It has no BTF.
    pub(crate) fn look() -> Result<Self, SensorError> {
        let btf =
            Btf::from_vmlinux().map_err(|error| SensorError::refused("reading the kernel's BTF", error))?;
        let tracepoint = |name: &str| btf.type_by_name::<Typedef<'_>>(&format!("btf_trace_{name}")).is_some();
        let dropped = btf.type_by_name::<Struct<'_>>("trace_event_raw_kfree_skb");
        Ok(Self {
            reports_use: tracepoint("sock_send_length") && tracepoint("sock_recv_length"),
            reports_writers: tracepoint("tcp_sendmsg_locked"),
            shows_packets: btf.type_by_name::<Func<'_>>("bpf_cast_to_kern_ctx").is_some(),
            reports_dropping_socket: dropped.is_some_and(|event| {
                event.iter().any(|member| member.name.is_some_and(|name| name == "rx_sk"))
            }),
            copies_buffers: preflight::running_kernel().is_some_and(|version| version >= (6, 12)),
            hides_answers: preflight::running_kernel().is_some_and(|version| version < (6, 5)),
            preempts_tracepoints: preflight::running_kernel().is_some_and(|version| version >= (7, 0)),
        })
    }
}

/// One BPF program: when it is wanted, and what is weaker where it is wanted and cannot be had.
pub(crate) struct Program {
    /// Its name in `bpf/programs`.
    name: &'static str,
    /// To what it is attached. What begins with `fentry/` needs trampolines.
    section: &'static str,
    /// Whether this kernel needs it: where the kernel has something better, it does not.
    wanted: fn(Kernel) -> bool,
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

const ALWAYS: fn(Kernel) -> bool = |_| true;

/// Every program of the object.
#[rustfmt::skip]
const PROGRAMS: &[Program] = &[
    // Packets of sockets.
    Program { name: "packet_received", section: "cgroup_skb/ingress", wanted: ALWAYS, without: Refused },
    Program { name: "packet_sent", section: "cgroup_skb/egress", wanted: ALWAYS, without: Refused },
    Program { name: "packet_passes", section: "fentry/__cgroup_bpf_run_filter_skb", wanted: |kernel| !kernel.shows_packets, without: Refused },
    // Packets that no socket takes or sends.
    Program { name: "packet_dropped", section: "tp_btf/kfree_skb", wanted: ALWAYS, without: Refused },
    Program { name: "packet_consumed", section: "tp_btf/consume_skb", wanted: ALWAYS, without: Refused },
    Program { name: "packet_leaves", section: "tp_btf/net_dev_queue", wanted: ALWAYS, without: Refused },
    Program { name: "listener_answers", section: "fentry/tcp_make_synack", wanted: |kernel| kernel.hides_answers, without: Nothing },
    Program { name: "packet_comes_late", section: "fentry/tcp_timewait_state_process", wanted: |kernel| !kernel.reports_dropping_socket,
        without: Weaker("packets to connections that have ended are not recorded") },
    // Sockets: made, accepted, released.
    Program { name: "socket_created", section: "cgroup/sock_create", wanted: ALWAYS, without: Refused },
    Program { name: "socket_released", section: "cgroup/sock_release", wanted: ALWAYS, without: Refused },
    Program { name: "socket_state_changed", section: "tp_btf/inet_sock_set_state", wanted: ALWAYS, without: Refused },
    Program { name: "connection_changed", section: "sockops", wanted: ALWAYS,
        without: Weaker("connections that end in an interrupt may stay open") },
    Program { name: "accept_returned", section: "tp/syscalls/sys_exit_accept", wanted: ALWAYS, without: Weaker(NO_ACCEPT) },
    Program { name: "accept4_returned", section: "tp/syscalls/sys_exit_accept4", wanted: ALWAYS, without: Weaker(NO_ACCEPT) },
    Program { name: "open_sockets", section: "iter/task_file", wanted: ALWAYS, without: Refused },
    // Processes, and with them who can hold a socket.
    Program { name: "process_forked", section: "tp_btf/sched_process_fork", wanted: ALWAYS, without: Refused },
    Program { name: "process_forked_again", section: "tp_btf/sched_process_fork", wanted: |kernel| kernel.preempts_tracepoints, without: Refused },
    Program { name: "process_executed", section: "tp_btf/sched_process_exec", wanted: ALWAYS, without: Refused },
    Program { name: "process_executed_again", section: "tp_btf/sched_process_exec", wanted: |kernel| kernel.preempts_tracepoints, without: Refused },
    Program { name: "process_exited", section: "tp_btf/sched_process_exit", wanted: ALWAYS, without: Refused },
    Program { name: "process_exited_again", section: "tp_btf/sched_process_exit", wanted: |kernel| kernel.preempts_tracepoints, without: Refused },
    Program { name: "message_sent", section: "tp/syscalls/sys_enter_sendmsg", wanted: ALWAYS,
        without: Weaker("a socket that a process hands to another one is its own until the other uses it") },
    // Who uses a socket.
    Program { name: "socket_sent", section: "tp_btf/sock_send_length", wanted: |kernel| kernel.reports_use, without: Refused },
    Program { name: "socket_received", section: "tp_btf/sock_recv_length", wanted: |kernel| kernel.reports_use, without: Refused },
    Program { name: "stream_grows", section: "tp_btf/tcp_sendmsg_locked", wanted: |kernel| kernel.reports_writers, without: Refused },
    Program { name: "stream_written", section: "fentry/tcp_sendmsg_locked", wanted: |kernel| !kernel.reports_writers,
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
        (self.wanted)(kernel) && (mechanism == Mechanism::Trampolines || !self.needs_trampolines())
    }

    /// What is weaker as it is not loaded, though it is wanted.
    pub(crate) fn lacking(&self, kernel: Kernel, mechanism: Mechanism) -> Option<&'static str> {
        match self.without {
            Weaker(what) if (self.wanted)(kernel) && !self.is_loaded(kernel, mechanism) => Some(what),
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
        self.section.starts_with("fentry/")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
            hides_answers: false,
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
