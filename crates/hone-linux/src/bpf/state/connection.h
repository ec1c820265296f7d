/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Sockets: who holds, and who last used, each (socket.h), and when they open and close.
 *
 * The owner of an incoming packet depends on who can read it. A socket's holder is known for sure while nothing has
 * happened by which another process could have got hold of the socket: a fork, sending a descriptor away, its end
 * (`handed_on` in holder.h counts them, for each process). After that, it is sure again once a process is seen to use
 * the socket while nobody else has its file. In between, incoming packets are sent with what their owner depends
 * on (enum wait), and the programs in programs/usage.bpf.h report that.
 */
#pragma once

#include "former.h"
#include "last_packet.h"
#include "socket.h"

/* Cookie of an accepted connection -> who has it, until a program that may write socket storage meets the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct holder);
} accepted SEC(".maps");

/* Handshakes that wait to be accepted from a listener that several may hold: number -> the listener's cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} handshakes SEC(".maps");

/*
 * Of the latest of them that were accepted: number -> the process that did. For what is on its way into the ring buffer
 * at that time, on another CPU.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} acceptors SEC(".maps");

/* Cookie of a listener that was unsure -> the process that accepted from it when nobody else had it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct holder);
} listeners SEC(".maps");

/* A number for each connection to one listener; times, which number other things, never have bit 63. Ports in network byte order. */
static __always_inline __u64 handshake_number(__u32 address, __u16 remote, __u16 local)
{
	return 1ULL << 63 | (__u64)(local & 0x7FFF) << 48 | (__u64)remote << 32 | address;
}

/* A connection was accepted: the packets of its handshake that wait for that are the acceptor's. Returns the listener. */
static __always_inline __u64 settle_handshake(struct sock *sk, __u64 task)
{
	bool v6 = BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6;
	__u32 address = v6 ? BPF_CORE_READ(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[3]) :
			     BPF_CORE_READ(sk, __sk_common.skc_daddr);
	__u64 number = handshake_number(address, BPF_CORE_READ(sk, __sk_common.skc_dport),
					__builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_num)));
	__u64 *waiting = bpf_map_lookup_elem(&handshakes, &number);
	if (!waiting)
		return 0;
	__u64 listener = *waiting;
	/* Before the report: who sends a packet of the handshake meanwhile looks here afterwards. */
	bpf_map_update_elem(&acceptors, &number, &task, BPF_ANY);
	bpf_map_delete_elem(&handshakes, &number);
	send_socket(RECORD_SOCKET_USED, listener, task, SETTLES_HANDSHAKE, number);
	return listener;
}

/* If one process has accepted from this listener while nobody else had it, it is its holder. */
static __always_inline void adopt_listener(struct socket_state *state, __u64 cookie)
{
	struct holder *holder = bpf_map_lookup_elem(&listeners, &cookie);
	if (!holder)
		return;
	state->holder = *holder;
	bpf_map_delete_elem(&listeners, &cookie);
}

/* The packet that brought a connection about, and came to its listener, if it has data. */
struct opening {
	__u64 listener;
	__u64 ticket; /* under which it waits there */
	__u64 end; /* sequence number behind its data */
};

/* By the connection's cookie. Of those that nobody reads, the latest. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct opening);
} openings SEC(".maps");

static __always_inline void own_socket(struct socket_state *state, __u64 cookie, struct holder holder, __u32 flags)
{
	state->holder = holder;
	state->sender = holder.task;
	/* What has come, and that its process has let go of it, can be known before its acceptance is noted here. */
	state->flags = flags | (state->flags & SOCKET_OPENED_BY_DATA);
	/* The last, and in order: the rest is only looked at when this is the socket's own. */
	__sync_lock_test_and_set(&state->cookie, cookie);
}

/* If a process has accepted this listener's child meanwhile, it owns it now. */
static __always_inline bool adopt_accepted(struct socket_state *state, __u64 cookie)
{
	struct holder *holder = bpf_map_lookup_elem(&accepted, &cookie);
	if (!holder)
		return false;
	own_socket(state, cookie, *holder, SOCKET_ACCEPTED | SOCKET_UNUSED);
	bpf_map_delete_elem(&accepted, &cookie);
	return true;
}

/* Whether the state is this socket's own, so that it says who holds it. Another CPU may be the one to adopt it. */
static __always_inline bool is_owned(struct socket_state *state, __u64 cookie)
{
	return state->cookie == cookie || adopt_accepted(state, cookie) || state->cookie == cookie;
}

/*
 * The running process uses a socket of its own. `connects`: nothing has come yet that a former holder could have had.
 * Returns whether it has taken the socket over from another process, or another program.
 */
static __always_inline bool take_over(struct socket_state *state, struct sock *sk, __u64 task, bool connects)
{
	bool taken = false, changed = false, other = false;
	if (state->holder.task != task || !is_sure(&state->holder)) {
		struct holder holder = holder_of(sk, task);
		changed = true;
		other = state->holder.task != task;
		if (other)
			state->flags &= ~SOCKET_RECEIVED;
		taken = !connects && (other || has_executed(&state->holder));
		if (taken)
			note_former(state, sk);
		state->holder = holder;
	}
	if (state->flags & SOCKET_UNUSED) {
		state->flags &= ~SOCKET_UNUSED;
		changed = true;
	}
	if (changed)
		memory_barrier();
	/* A new holder is reported even if nothing waits: of packets that are left out, nothing does. */
	if ((state->waiting || other) && is_sure(&state->holder)) {
		if (state->waiting && !connects)
			attribute_arrivals(sk);
		state->waiting = 0;
		state->waits_from = 0;
		send_socket(RECORD_SOCKET_OPENED, state->cookie, task, OWNS_ALONE, 0);
	}
	return taken;
}

/* The packet that this CPU has shown to a listener last has brought about this connection. */
static __always_inline void note_opening(struct last_packet *last, struct socket_state *state, __u64 cookie)
{
	struct opening opening = { .listener = last->listener, .ticket = last->ticket, .end = last->end };
	bpf_map_update_elem(&openings, &cookie, &opening, BPF_ANY);
	state->flags |= SOCKET_OPENED_BY_DATA;
	last->ticket = 0;
}

/* Whether the data that this CPU has shown to a listener last goes to this connection. */
static __always_inline bool is_opened_by(struct sock *sk, struct last_packet *last)
{
	__u16 *ports = last->segment.ports;
	return last->ticket && ports[0] == sk->__sk_common.skc_dport &&
	       __builtin_bswap16(ports[1]) == sk->__sk_common.skc_num;
}

/* Bytes were taken out of a connection, up to here, that a packet with data brought about. */
static __always_inline void settle_opening(struct socket_state *state, __u64 cookie, __u64 task, __u32 read)
{
	struct opening *opening = bpf_map_lookup_elem(&openings, &cookie);
	if (opening && (__s32)(read - (__u32)opening->end) < 0)
		return;
	if (opening) {
		send_socket(RECORD_SOCKET_USED, opening->listener, task, SETTLES_DATAGRAM, opening->ticket);
		bpf_map_delete_elem(&openings, &cookie);
	}
	state->flags &= ~SOCKET_OPENED_BY_DATA;
}

/* TCP is done with a connection. The first that sees it reports it. */
static __always_inline void connection_done(struct socket_state *state, __u64 cookie)
{
	bool owned = is_owned(state, cookie);
	__u32 before = __sync_fetch_and_or(&state->ended, END_CLOSED);
	if (before & END_CLOSED)
		return;
	if (before & END_RELEASED || !owned)
		send_socket(RECORD_SOCKET_CLOSED, cookie, state->holder.task, 0, 0);
}
