//! The scenarios: every way in which a packet can come to have an owner, or none.
//!
//! # How to add one
//!
//! 1. Write a function that takes a [`Stage`]. Put it into the file with the nearest subject. It starts actors with
//!    [`Stage::play`] at end `A` or `B` of its own network, lets them continue in the right order (`ready`, `go`), and
//!    waits until they end. No other scenario uses its addresses, so it may use any ports.
//! 2. Let the actors use `sockets`; its functions report what the actors do. Report everything else by hand:
//!    `Part::sent`, `Part::read`, and `Part::holds` for every socket, so that packets without a message have an owner.
//!    Where no process exists, report `Fact::Nobody` with the reason. Report what the kernel really does, even if
//!    recorders get it wrong today.
//! 3. Where the kernel or the machine cannot play the scenario, return [`skip`] and name what is missing.
//! 4. Add a line to [`TABLE`].
//!
//! A scenario that needs sockets from before the recording opens them in a separate function (`before`). That function
//! leaves its actors in `Stage::waiting`.

mod churn;
mod filtered;
mod handed_on;
mod icmp;
mod listeners;
mod many;
mod opening;
mod passing;
mod places;
mod reused;
mod sending;
mod shared;
mod tcp;
mod tunnels;
mod udp;
mod unowned;

use std::fmt;

use anyhow::Result;

use crate::network::Family::{self, V4, V6};
use crate::stage::Stage;

pub(crate) use places::continued;

/// A scenario of the bench.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) families: &'static [Family],
    /// Runs before the recorder starts.
    pub(crate) before: Option<fn(&mut Stage<'_>) -> Result<()>>,
    pub(crate) play: fn(&mut Stage<'_>) -> Result<()>,
}

const fn both(name: &'static str, about: &'static str, play: fn(&mut Stage<'_>) -> Result<()>) -> Scenario {
    Scenario { name, about, families: &[V4, V6], before: None, play }
}

const fn only(family: &'static [Family], scenario: Scenario) -> Scenario {
    Scenario { families: family, ..scenario }
}

/// Every scenario of the bench.
#[rustfmt::skip]
pub(crate) const TABLE: &[Scenario] = &[
    both("tcp", "a client and a server: exchanges, and a megabyte each way", tcp::plain),
    both("tcp-late-accept", "data that waits is the acceptor's, who is not the listener's maker", tcp::late_accept),
    both("tcp-prefork", "four workers accept from one listener", tcp::prefork),
    both("tcp-defer-accept", "four workers accept what the first data opens (TCP_DEFER_ACCEPT)", tcp::defer_accept),
    both("tcp-reuseport", "three processes listen on one port", tcp::reuseport),
    both("tcp-accept-fork", "accepted, forked, closed by the parent, used by the child", tcp::accept_fork),
    both("tcp-exec", "a connection inherited by another program", tcp::exec),
    both("tcp-backlog", "connections that nobody ever accepts", tcp::backlog),
    both("tcp-backlog-full", "more connections than a listener has room for", tcp::full_backlog),
    only(&[V4], both("tcp-two-cpus", "what opens a connection comes on two processors at once", opening::two_cpus)),
    both("tcp-exit", "a process that ends before what it wrote has left", tcp::exit),
    both("threads", "four threads of one process, TCP and UDP", tcp::threads),
    both("loopback", "client and server on one host", places::loopback),
    both("udp-connected", "connected sockets", udp::connected),
    both("udp-unconnected", "unconnected sockets", udp::unconnected),
    both("udp-multicast", "one sender, a receiver beside it, two at the other end", udp::multicast),
    both("udp-reuseport", "three processes get datagrams on one port", udp::reuseport),
    both("udp-fragments", "datagrams longer than the network's packets", udp::fragments),
    both("udp-shared-send", "two processes send on one socket, in turn and at once", shared::udp_send),
    both("udp-shared-read", "two processes read from one socket", shared::udp_read),
    both("udp-shared-unread", "two processes hold a socket, and neither reads", shared::udp_unread),
    both("tcp-shared-send", "two processes write to one connection, in turn and at once", shared::tcp_send),
    both("tcp-shared-read", "two processes read from one connection", shared::tcp_read),
    both("tcp-shared-split", "one process writes, another reads", shared::tcp_split),
    both("udp-passed", "a socket passed over a Unix socket, then closed by the passer", shared::udp_passed),
    both("tcp-passed", "a connection passed over a Unix socket, then closed by the passer", shared::tcp_passed),
    both("handed-tcp-fork", "connections handed to a child, with data before, at and after it", handed_on::tcp_fork),
    both("handed-tcp-exec", "connections handed to another program of the same process", handed_on::tcp_exec),
    both("handed-tcp-inetd", "connections handed to another program of a child", handed_on::tcp_inetd),
    both("handed-tcp-passed", "connections passed over a Unix socket, with data before, at and after it", handed_on::tcp_passed),
    both("handed-tcp-threads", "the same, by and to other threads than those that use them", handed_on::tcp_threads),
    both("handed-udp-fork", "sockets handed to a child, with data before, at and after it", handed_on::udp_fork),
    both("handed-udp-exec", "sockets handed to another program of the same process", handed_on::udp_exec),
    both("handed-udp-inetd", "sockets handed to another program of a child", handed_on::udp_inetd),
    both("handed-udp-passed", "sockets passed over a Unix socket, with data before, at and after it", handed_on::udp_passed),
    both("handed-udp-threads", "the same, by and to other threads than those that use them", handed_on::udp_threads),
    both("handed-sendmmsg", "passed with sendmmsg(2)", handed_on::messages),
    both("handed-fifth", "passed in the fifth control message", handed_on::fifth),
    both("handed-io-uring", "passed with IORING_OP_SENDMSG", handed_on::ring),
    both("handed-msg-ring", "passed with IORING_OP_MSG_RING", handed_on::ring_to_ring),
    both("handed-pidfd", "taken with pidfd_getfd(2)", handed_on::taken),
    both("tcp-fork-at-once", "a child reads at once what came before it was forked", handed_on::fork_at_once),
    both("tcp-split-packets", "two processes read parts of one packet", handed_on::split_packets),
    both("listener-daemon", "bound by a process that forks and ends", listeners::daemon),
    both("listener-late-end", "the same, and it ends a while later", listeners::late_end),
    both("listener-close", "bound by a process that forks and closes its own", listeners::close),
    both("listener-passed", "bound by a process that passes it on and closes its own", listeners::passed),
    both("listener-passed-end", "bound by a process that passes it on and ends", listeners::passed_and_ended),
    both("listener-reload", "an old server closes the listener that a new one has, too", listeners::reload),
    both("tcp-shared-end", "the other end of a shared connection says that it sends no more", listeners::shared_end),
    both("tcp-resets", "many connections that one end resets while the other closes", churn::resets),
    both("udp-many-readers", "a flood of datagrams for four processes that wait at one socket", churn::readers),
    both("filtered-sent", "what another program of the cgroup drops as it is sent", filtered::sent),
    both("filtered-received", "what another program of the cgroup drops as it is received", filtered::received),
    both("crowd-udp", "processes that each send one datagram and end", many::udp_crowd),
    both("crowd-tcp", "processes that each send one message over a connection of their own and end", many::tcp_crowd),
    both("ping-socket", "echo requests through ping sockets; the kernel answers", icmp::ping_socket),
    both("ping-raw", "echo requests through raw sockets; the kernel answers", icmp::ping_raw),
    both("raw-two", "two raw sockets get each packet", icmp::two_raw),
    both("udp-closed", "a closed UDP port, and the kernel's answer", unowned::udp_closed),
    both("tcp-closed", "a closed TCP port, and the kernel's answer", unowned::tcp_closed),
    both("tcp-stray", "a packet of no connection comes to a listener, and the kernel's answer", unowned::stray),
    both("tcp-time-wait", "a packet to a connection in TIME_WAIT", unowned::time_wait),
    both("forwarded", "a third host between the two", unowned::forwarded),
    both("firewall", "inbound packets that a firewall drops", unowned::firewall),
    both("sendfile", "a file sent with sendfile(2)", sending::sendfile),
    both("splice", "spliced from a pipe, and into one", sending::splice),
    both("zerocopy", "MSG_ZEROCOPY", sending::zerocopy),
    both("sendmmsg", "several datagrams in one call", sending::several),
    both("udp-segment", "UDP_SEGMENT: one buffer, several datagrams", sending::segments),
    both("io-uring", "accepted, written and read through io_uring", sending::ring),
    both("big-packets", "loopback packets of more than 64 KiB", sending::big_packets),
    Scenario { before: Some(places::old_before), ..both("old-sockets", "sockets opened before the recording", places::old) },
    both("new-network", "a network namespace made during the recording", places::new_network),
    both("pid-namespace", "processes in a process id namespace of their own", places::pid_namespace),
    both("cgroup", "processes in a cgroup of their own", places::cgroup),
    both("reused-pid", "a process id that is used again at once, by another program", places::reused_pid),
    both("reused-pid-at-once", "a process id that hundreds of programs have within a moment", reused::at_once),
    both("vxlan", "within a VXLAN tunnel, whose own socket is the kernel's", tunnels::vxlan),
    only(&[V4], both("ipip", "within an IP-in-IP tunnel", tunnels::ipip)),
    both("gre", "within a GRE tunnel", tunnels::gre),
    both("wireguard", "within a WireGuard tunnel", tunnels::wireguard),
    both("mptcp", "Multipath TCP", tcp::multipath),
    both("sctp", "SCTP", tunnels::sctp),
];

/// The reason why a scenario cannot play here.
#[derive(Debug)]
pub(crate) struct Skipped(String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// The error for a scenario that cannot play here.
fn skip(what: impl fmt::Display) -> anyhow::Error {
    Skipped(what.to_string()).into()
}
