/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Network monitor: every packet that a socket sends or receives, with the task it belongs to. Attached to the root of
 * the cgroup v2 hierarchy, so it sees all network namespaces. Always passes, never changes a packet.
 */
#pragma once

#include "common.h"
#include "socket.h"

/* IPv4 and TCP headers with all their options: a longer TCP packet carries data, whatever the headers. */
#define LONGEST_HEADERS 120

/*
 * Room is reserved by the power of two above the captured length, because a reservation must be a constant; only the
 * captured bytes are written. The last eighth of the ring is left to process and connection events, which are few and
 * without which the packets could not be understood.
 */
#define RESERVE(size)                                                                              \
	if (captured <= size) {                                                                    \
		struct {                                                                           \
			struct packet_record head;                                                 \
			__u8 data[size];                                                           \
		} *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);                      \
		if (!record) {                                                                     \
			count_lost(LOST_PACKETS);                                                  \
			return;                                                                    \
		}                                                                                  \
		__u32 length = captured - 1;                                                       \
		barrier_var(length);                                                               \
		length = (length & (size - 1)) + 1;                                                \
		record->head = *head;                                                              \
		record->head.time = now();                                                         \
		record->head.captured = bpf_skb_load_bytes(skb, 0, record->data, length) ? 0 : length; \
		bpf_ringbuf_submit(record, wake_flags(filled));                                    \
		return;                                                                            \
	}

static __always_inline void send_packet(struct __sk_buff *skb, struct packet_record *head)
{
	__u32 wanted = capture;
	__u32 captured = skb->len < wanted ? skb->len : wanted;
	if (!captured)
		return;
	__u64 filled = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	if (filled >= settings.ring_bytes - settings.ring_bytes / 8) {
		count_lost(LOST_PACKETS);
		return;
	}
	RESERVE(128)
	RESERVE(256)
	RESERVE(512)
	RESERVE(1024)
	RESERVE(2048)
	RESERVE(4096)
	RESERVE(8192)
	RESERVE(16384)
	RESERVE(32768)
	RESERVE(65536)
	RESERVE(131072)
	captured = captured < 262144 ? captured : 262144; /* what stock readers of the file accept at most */
	RESERVE(262144)
}

/* What the packet head and the choice of the owner need to know of the socket. */
struct view {
	struct bpf_sock *socket;
	__u64 cookie;
	bool stream; /* has a lock that says whether a process or the kernel's own timers and acknowledgements send */
	bool kernel; /* the kernel's own socket */
	bool locked; /* a process holds the lock */
	bool blind; /* this kernel (before 6.2) does not show whose socket it is, so `kernel` and `locked` say nothing */
};

static __always_inline bool look(struct __sk_buff *skb, struct view *view, struct packet_record *head)
{
	struct bpf_sock *socket = skb->sk;
	if (!socket)
		return false;
	socket = bpf_sk_fullsock(socket);
	if (!socket)
		return false;
	view->socket = socket;
	view->cookie = bpf_get_socket_cookie(skb);
	/* UDP, raw and ping sockets send in the caller's context; every other kind has a protocol engine behind a lock. */
	view->stream = socket->type != 2 /* SOCK_DGRAM */ && socket->type != SOCK_RAW;
	if (bpf_ksym_exists(bpf_cast_to_kern_ctx)) {
		struct sk_buff *buffer = bpf_cast_to_kern_ctx(skb);
		struct sock *sk = buffer->sk;
		if (sk) {
			view->kernel = BPF_CORE_READ_BITFIELD(sk, sk_kern_sock);
			view->locked = sk->sk_lock.owned;
		}
		if (BPF_CORE_READ_BITFIELD(buffer, ip_summed) == CHECKSUM_PARTIAL)
			head->offload |= OFFLOAD_CHECKSUM;
	} else {
		struct tcp_sock *tcp = bpf_skc_to_tcp_sock(socket);
		if (tcp) {
			struct sock *sk = (struct sock *)tcp;
			view->kernel = BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock);
			view->locked = BPF_CORE_READ(sk, sk_lock.owned);
		} else {
			view->blind = true;
		}
	}
	if (skb->gso_size)
		head->offload |= OFFLOAD_SEGMENTS;
	head->kind = RECORD_PACKET;
	head->length = skb->len;
	head->connection = view->cookie;
	return true;
}

static __always_inline void kernel_owns(struct packet_record *head, struct view *view)
{
	head->method = METHOD_KERNEL;
	/* The sockets from which the kernel answers for everybody (resets, ICMP) are no connection of anyone. */
	if (!view->stream)
		head->connection = 0;
}

/* The owner from what the socket remembers: of sender and receiver, the one that goes with the packet's direction. */
static __always_inline void remembered_owner(struct packet_record *head, struct view *view,
					     struct socket_state *state, bool outbound)
{
	if (!state) {
		head->method = METHOD_UNKNOWN;
		return;
	}
	if (state->cookie != view->cookie)
		adopt_accepted(state, view->cookie);
	__u64 flags = state->flags;
	bool sent = flags & SOCKET_SENT, received = flags & SOCKET_RECEIVED;
	bool sender = outbound ? sent || !received : sent && !received;
	head->task = sender ? state->sender : state->receiver;
	if (state->cookie != view->cookie || (view->stream && view->socket->state == TCP_LISTEN))
		head->method = METHOD_LISTENER;
	else if (sender ? sent : received)
		head->method = sender ? METHOD_LAST_SENDER : METHOD_LAST_RECEIVER;
	else
		head->method = flags & SOCKET_ACCEPTED ? METHOD_ACCEPTED : METHOD_CREATOR;
	if (!head->task)
		head->method = METHOD_UNKNOWN;
}

SEC("cgroup_skb/ingress")
int packet_received(struct __sk_buff *skb)
{
	struct packet_record head = { .direction = DIRECTION_IN };
	struct view view = {};
	if (!look(skb, &view, &head))
		return 1;
	if (view.kernel)
		kernel_owns(&head, &view);
	else
		remembered_owner(&head, &view, bpf_sk_storage_get(&sockets, view.socket, 0, 0), false);
	send_packet(skb, &head);
	return 1;
}

SEC("cgroup_skb/egress")
int packet_sent(struct __sk_buff *skb)
{
	struct packet_record head = { .direction = DIRECTION_OUT };
	struct view view = {};
	if (!look(skb, &view, &head))
		return 1;
	/* No process was ever seen with it. */
	if (view.blind && !bpf_sk_storage_get(&sockets, view.socket, 0, 0))
		view.kernel = true;
	if (view.kernel) {
		kernel_owns(&head, &view);
		send_packet(skb, &head);
		return 1;
	}
	/*
	 * While a process holds the lock, the protocol engine's own work on this socket is put off; so what is sent now
	 * is sent by the process that runs here.
	 */
	__u64 task = 0;
	if (view.stream ? view.locked && view.socket->state != TCP_LISTEN : true)
		task = current_task_word();
	struct socket_state *state =
		bpf_sk_storage_get(&sockets, view.socket, 0, task ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (!task) {
		remembered_owner(&head, &view, state, true);
		send_packet(skb, &head);
		return 1;
	}
	head.task = task;
	head.method = METHOD_CURRENT;
	if (state) {
		if (state->cookie != view.cookie)
			adopt_accepted(state, view.cookie);
		if (state->cookie != view.cookie)
			own_socket(state, view.cookie, task, SOCKET_ACCEPTED);
		/* A reader's bare acknowledgement does not make it the sender. */
		if (!view.stream || skb->len > LONGEST_HEADERS) {
			if (state->sender != task)
				state->sender = task;
			if (!(state->flags & SOCKET_SENT))
				state->flags |= SOCKET_SENT;
		}
	}
	send_packet(skb, &head);
	return 1;
}
