/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How a packet of a socket is attributed. In brief, and in the order in which it is decided:
 *
 *   the kernel's own socket                            nobody: kernel_owns
 *   it comes in: receiver_of
 *     of a connection that no process has accepted yet the listener's holder, unless somebody accepts it soon
 *     at a listener                                    the same; if several may accept it, it waits for that
 *     its socket has one sure holder (holder.h)        the holder; if he has not used it yet, it waits for its reader
 *     a datagram                                       it waits for its reader
 *     a stream                                         it waits for who takes its first byte out
 *   it goes out: packet_sent (programs/packets.bpf.h), sender_of
 *     a datagram                                       the running process
 *     of a stream of several writers                   who wrote its first byte (writers.h)
 *     else, and a process holds the socket's lock      the running process
 *     else                                             the last sender; the sure holder; who uses the socket next
 *
 * "It waits": the packet is sent to the sensor with what will show its owner (enum wait), and with what is so otherwise. The
 * programs in programs/usage.bpf.h report that.
 */
#pragma once

#include "selection.h"
#include "state/last_packet.h"
#include "state/connection.h"
#include "state/writers.h"
#include "state/datagrams.h"

/* What the packet head and the choice of the owner need to know of the socket. */
struct view {
	struct bpf_sock *socket;
	struct mptcp_sock *above; /* the connection of Multipath TCP that this socket is a part of, or NULL */
	struct sock *sk; /* the process's: `above` or `socket`; read with probes only */
	struct sk_buff *buffer; /* read with probes only */
	struct last_packet *last;
	__u64 cookie;
	__u32 to_transport; /* bytes from the IP header to the transport header */
	bool datagrams; /* UDP, raw and ping sockets send in the caller's context, and are read packet by packet */
	bool tcp;
	bool listens;
	bool kernel; /* the kernel's own socket */
	bool locked; /* a process holds the lock */
	bool unaccepted; /* a connection that no process has accepted yet, when its owner was looked for */
	bool left_out; /* no reader wants the packet */
	bool asked; /* whether its owner is wanted */
};

static __always_inline void kernel_owns(struct packet_record *head, struct view *view)
{
	head->method = METHOD_KERNEL;
	/* The sockets from which the kernel answers for everybody (resets, ICMP) are no connection of anyone. */
	if (view->datagrams)
		head->connection = 0;
}

/* Which bytes of a stream a TCP packet has. */
struct segment {
	__u32 from;
	__u32 length;
};

static __always_inline struct segment segment_of(struct __sk_buff *skb, struct view *view)
{
	struct segment segment = {};
	__u8 header[14]; /* up to the data offset (RFC 9293, section 3.1) */
	if (bpf_skb_load_bytes(skb, view->to_transport, header, sizeof(header)))
		return segment;
	segment.from = (__u32)header[4] << 24 | (__u32)header[5] << 16 | (__u32)header[6] << 8 | header[7];
	__u32 headers = view->to_transport + (header[12] >> 4) * 4;
	segment.length = skb->len > headers ? skb->len - headers : 0;
	return segment;
}

static __always_inline void holder_owns(struct packet_record *head, struct socket_state *state)
{
	__u32 flags = state->flags;
	head->task = state->holder.task;
	if (flags & SOCKET_RECEIVED)
		head->method = METHOD_LAST_RECEIVER;
	else if (flags & SOCKET_SENT && state->sender == head->task)
		head->method = METHOD_LAST_SENDER;
	else
		head->method = flags & SOCKET_ACCEPTED ? METHOD_ACCEPTED : METHOD_CREATOR;
}

static __always_inline void sender_owns(struct packet_record *head, struct socket_state *state)
{
	head->task = state->sender;
	head->method = METHOD_LAST_SENDER;
}

/*
 * Nobody reads this packet. It goes with the next use of the socket or, if there is none soon, with the last. If there
 * was none either, it goes with who made or accepted the socket, and still could use it.
 */
static __always_inline void await_use(struct packet_record *head, struct socket_state *state)
{
	head->wait = WAIT_USE;
	state->waiting = 1;
	if (state->flags & SOCKET_SENT) {
		sender_owns(head, state);
	} else if (state->flags & SOCKET_RECEIVED) {
		head->task = state->holder.task;
		head->method = METHOD_LAST_RECEIVER;
	} else {
		head->task = state->holder.task;
		head->method = state->flags & SOCKET_ACCEPTED ? METHOD_ACCEPTED : METHOD_CREATOR;
	}
}

/* The owner is whoever takes the packet's first byte out of the socket: not known yet. */
static __always_inline void await_reader(struct __sk_buff *skb, struct view *view, struct packet_record *head,
					 struct socket_state *state)
{
	head->wait = WAIT_USE;
	if (view->tcp) {
		struct segment segment = segment_of(skb, view);
		if (segment.length) {
			__u64 waits = state->waits_from;
			head->wait = WAIT_STREAM;
			head->ticket = segment.from + 1;
			/* Forgotten before sequence numbers come round. */
			if (!waits || (__s32)(segment.from - (__u32)waits) > 1 << 30)
				state->waits_from = KNOWN | segment.from;
		}
	}
	state->waiting = 1;
}

/*
 * Of a connection that no process has accepted yet: its listener's holder's, unless somebody accepts it soon. A process
 * that may have let go of the listener is not named.
 */
static __always_inline void listener_owns(struct packet_record *head, struct socket_state *state)
{
	bool sure = is_sure(&state->holder);
	head->task = sure ? state->holder.task : 0;
	head->method = sure ? METHOD_LISTENER : METHOD_SHARED;
}

/* A packet of a handshake, at its listener: as above, but if several may accept the connection, it waits for that. */
static __always_inline void await_acceptor(struct __sk_buff *skb, struct view *view, struct packet_record *head,
					   struct socket_state *state)
{
	if (!is_sure(&state->holder))
		adopt_listener(state, view->cookie);
	listener_owns(head, state);
	if (head->task)
		return;
	bool in = head->direction == DIRECTION_IN;
	__u8 version = 0;
	__u16 ports[2];
	__u32 address;
	if (bpf_skb_load_bytes(skb, 0, &version, sizeof(version)) ||
	    bpf_skb_load_bytes(skb, view->to_transport, ports, sizeof(ports)))
		return;
	/* The last word of the other end's address (RFC 791, section 3.1; RFC 8200, section 3). */
	__u32 at = version >> 4 == 4 ? (in ? 12 : 16) : (in ? 20 : 36);
	if (bpf_skb_load_bytes(skb, at, &address, sizeof(address)))
		return;
	head->wait = WAIT_HANDSHAKE;
	head->ticket = handshake_number(address, in ? ports[0] : ports[1], in ? ports[1] : ports[0]);
	bpf_map_update_elem(&handshakes, &head->ticket, &view->cookie, BPF_ANY);
	__u8 flags = 0;
	bpf_skb_load_bytes(skb, view->to_transport + 13, &flags, sizeof(flags));
	/* A connection between the same ports as one that was accepted before. */
	if (in && flags & TCP_FLAG_SYN)
		bpf_map_delete_elem(&acceptors, &head->ticket);
}

/* Data that opens a connection, as with TCP_DEFER_ACCEPT: its reader is not known yet. */
static __always_inline void await_opening(struct __sk_buff *skb, struct view *view, struct packet_record *head,
					  struct socket_state *state)
{
	struct last_packet *last = view->last;
	if (last->asked != (__u64)view->buffer || view->above)
		return;
	struct segment segment = segment_of(skb, view);
	if (!segment.length)
		return;
	head->time = now();
	last->listener = view->cookie;
	last->ticket = head->time;
	last->end = segment.from + 1;
	head->wait = WAIT_DATAGRAM;
	head->ticket = last->ticket;
}

/* A datagram comes; `time`: that of its record, perhaps with ARRIVAL_WAITS; 0: it has none. */
static __always_inline void note_arrival(struct view *view, __u64 time)
{
	struct arrivals *came = bpf_sk_storage_get(&arrivals, view->socket, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!came)
		return;
	struct arrival *latest = arrival(came, __sync_fetch_and_add(&came->count, 1));
	latest->time = time;
	latest->buffer = (__u64)view->buffer;
}

/* The time of the packet's record, or that it is left out. */
static __always_inline __u64 time_if_wanted(struct view *view, struct packet_record *head)
{
	if (view->left_out)
		return 0;
	view->asked = true;
	view->left_out = is_left_out_with(head->task);
	if (view->left_out)
		return ARRIVAL_LEFT_OUT;
	head->time = now();
	return head->time;
}

/*
 * To be called last: a method that names a task without one is none. A holder is nobody when the kernel itself has made the
 * socket; or while another CPU, or the interrupted program, has made its state and has not filled it in yet.
 */
static __always_inline void name_somebody(struct packet_record *head)
{
	if (!head->task && head->method != METHOD_SHARED)
		head->method = head->wait ? METHOD_SHARED : METHOD_UNKNOWN;
}

static __always_inline void receiver_of(struct __sk_buff *skb, struct view *view, struct packet_record *head,
					struct socket_state *state)
{
	if (!state) {
		head->method = METHOD_UNKNOWN;
		return;
	}
	view->unaccepted = !is_owned(state, view->cookie);
	if (view->unaccepted) {
		listener_owns(head, state);
		await_reader(skb, view, head, state);
	} else if (view->listens) {
		await_acceptor(skb, view, head, state);
		await_opening(skb, view, head, state);
	} else if (is_sure(&state->holder) || is_released(state)) {
		holder_owns(head, state);
		if (state->flags & SOCKET_UNUSED && !is_released(state))
			await_reader(skb, view, head, state);
		else if (view->datagrams)
			note_arrival(view, time_if_wanted(view, head));
	} else if (view->datagrams) {
		head->time = now();
		note_arrival(view, head->time | ARRIVAL_WAITS);
		struct waiting_datagram datagram = {
			.connection = view->cookie,
			.ticket = head->time,
			.udp = is_udp(view->socket->type, view->socket->protocol),
		};
		__u64 address = (__u64)view->buffer;
		bpf_map_update_elem(&waiting_datagrams, &address, &datagram, BPF_ANY);
		any_datagram_waits = 1;
		head->method = METHOD_SHARED;
		head->wait = WAIT_DATAGRAM;
		head->ticket = datagram.ticket;
		state->waiting = 1;
	} else {
		await_use(head, state);
		await_reader(skb, view, head, state);
		if (head->wait == WAIT_STREAM) {
			head->task = 0;
			head->method = METHOD_SHARED;
		}
	}
	name_somebody(head);
}

/*
 * The owner of a packet that TCP (or another protocol with an engine of its own) sends. While a process holds the lock,
 * the engine's own work on this socket is put off, so it is the running process that makes it send; but not
 * necessarily what that process has written.
 */
static __always_inline void sender_of(struct __sk_buff *skb, struct view *view, struct packet_record *head,
				      struct socket_state *state, __u64 running)
{
	bool written = state->flags & SOCKET_SENT;
	if (running && (state->sender == running || !written) && !(state->flags & SOCKET_WRITERS)) {
		head->task = running;
		head->method = METHOD_CURRENT;
		return;
	}
	if (view->tcp && written && (running || state->flags & SOCKET_WRITERS)) {
		struct segment segment = segment_of(skb, view);
		if (segment.length && state->flags & SOCKET_WRITERS) {
			struct writers *writers = bpf_sk_storage_get(&stream_writers, view->socket, 0, 0);
			head->task = writers ? writer_of(writers, segment.from) : 0;
			/* Not reported yet: the running process is writing it, unless another one may write too. */
			if (!settings.writers_reported && writers && (__s32)(segment.from - writers->end) >= 0)
				head->task = is_sure(&state->holder) ? running : 0;
			head->method = head->task ? METHOD_WRITER : METHOD_SHARED;
			return;
		}
		if (segment.length) {
			/* Some kernels report only after the call who writes: so it may be the first writing of this process. */
			head->task = settings.writers_reported ? state->sender : is_sure(&state->holder) ? running : 0;
			head->method = settings.writers_reported ? METHOD_LAST_SENDER : head->task ? METHOD_CURRENT : METHOD_SHARED;
			return;
		}
	}
	if (running) {
		head->task = running;
		head->method = METHOD_CURRENT;
	} else if (written) {
		sender_owns(head, state);
	} else if (is_sure(&state->holder) || is_released(state)) {
		holder_owns(head, state);
	} else {
		await_use(head, state);
	}
}

/* As wait_on, for a packet of a handshake. */
static __always_inline void wait_on_acceptor(struct packet_record *head, struct view *view)
{
	__u64 *acceptor = bpf_map_lookup_elem(&acceptors, &head->ticket);
	if (!acceptor)
		return;
	send_socket(RECORD_SOCKET_USED, view->cookie, *acceptor, SETTLES_HANDSHAKE, head->ticket);
	bpf_map_delete_elem(&handshakes, &head->ticket);
}

/*
 * To be called after the packet is sent off. What it waits for may have happened on another CPU after its head was made, and
 * was reported before the packet was in the ring buffer: then it is reported again. What happens later is reported later.
 */
static __always_inline void wait_on(struct packet_record *head, struct view *view, struct socket_state *state)
{
	if (head->wait == WAIT_HANDSHAKE)
		wait_on_acceptor(head, view);
	if (!head->wait || !state || view->listens)
		return;
	state->waiting = 1;
	memory_barrier();
	if (!is_owned(state, view->cookie))
		return;
	/* As nothing waits on a socket whose only holder uses it, it has become one since. */
	if (is_sure(&state->holder) && !(state->flags & SOCKET_UNUSED))
		send_socket(RECORD_SOCKET_OPENED, view->cookie, state->holder.task, OWNS_ALONE, 0);
	else if (view->unaccepted)
		send_socket(RECORD_SOCKET_OPENED, view->cookie, state->holder.task, OWNS_ACCEPTED, 0);
}
