/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Network monitor: every packet that a socket sends or receives, with the task it belongs to. Attached to the root of
 * the cgroup v2 hierarchy, so it sees all network namespaces. Always passes, never changes a packet.
 */
#pragma once

#include "../attribution.h"
#include "../left_out.h"
#include "../send.h"

/* Where the kernel is, for kernels before 6.2, which do not let these programs ask themselves. */
struct current_packet {
	struct sock *sk;
	struct sk_buff *buffer;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct current_packet);
} current_packets SEC(".maps");

/* Called by the kernel right before the two programs below, with the same socket and packet. */
SEC("fentry/__cgroup_bpf_run_filter_skb")
int TRACING(packet_passes, struct sock *sk, struct sk_buff *buffer)
{
	__u32 zero = 0;
	struct current_packet *current = bpf_map_lookup_elem(&current_packets, &zero);
	if (current) {
		current->sk = sk;
		current->buffer = buffer;
	}
	return 0;
}

/* The parts of a Multipath TCP connection are the kernel's sockets; the process's is the one above them. */
static __always_inline void look_above(struct view *view)
{
	struct mptcp_sock *above = bpf_skc_to_mptcp_sock(view->socket);
	if (!above)
		return;
	struct sock *sk = (struct sock *)above;
	view->above = above;
	view->sk = sk;
	view->kernel = false;
	view->cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	view->tcp = false; /* its sequence numbers are not those that processes read and write by */
}

static __always_inline struct socket_state *state_of(struct view *view, __u64 flags)
{
	if (view->above)
		return bpf_sk_storage_get(&sockets, view->above, 0, flags);
	return bpf_sk_storage_get(&sockets, view->socket, 0, flags);
}

/* What is needed to say whether the packet may leave unseen. */
static __always_inline bool find_socket(struct __sk_buff *skb, struct view *view)
{
	struct bpf_sock *socket = skb->sk;
	if (!socket)
		return false;
	socket = bpf_sk_fullsock(socket);
	view->last = last_packet();
	if (!socket || !view->last)
		return false;
	view->socket = socket;
	view->datagrams = socket->type == SOCK_DGRAM || socket->type == SOCK_RAW;
	view->tcp = socket->type == SOCK_STREAM && socket->protocol == IPPROTO_TCP;
	view->listens = view->tcp && socket->state == TCP_LISTEN;
	if (bpf_ksym_exists(bpf_cast_to_kern_ctx)) {
		struct sk_buff *buffer = bpf_cast_to_kern_ctx(skb);
		struct sock *sk = buffer->sk;
		if (sk)
			view->kernel = BPF_CORE_READ_BITFIELD(sk, sk_kern_sock);
		view->to_transport = buffer->transport_header - buffer->network_header;
		view->sk = sk;
		view->buffer = buffer;
	} else {
		__u32 zero = 0;
		struct current_packet *current = bpf_map_lookup_elem(&current_packets, &zero);
		if (!current)
			return false;
		struct sk_buff *buffer = current->buffer;
		struct sock *sk = current->sk;
		view->kernel = BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock);
		view->to_transport = BPF_CORE_READ(buffer, transport_header) - BPF_CORE_READ(buffer, network_header);
		view->sk = sk;
		view->buffer = buffer;
	}
	return true;
}

/* What is needed to attribute the packet, and to send it off. */
static __always_inline void look(struct __sk_buff *skb, struct view *view, struct packet_record *head)
{
	bool partial;
	struct sk_buff *buffer = view->buffer;
	struct sock *sk = view->sk;
	if (bpf_ksym_exists(bpf_cast_to_kern_ctx)) {
		if (sk) {
			view->locked = sk->sk_lock.owned;
			view->cookie = sk->__sk_common.skc_cookie.counter;
		}
		partial = BPF_CORE_READ_BITFIELD(buffer, ip_summed) == CHECKSUM_PARTIAL;
	} else {
		view->locked = BPF_CORE_READ(sk, sk_lock.owned);
		partial = BPF_CORE_READ_BITFIELD_PROBED(buffer, ip_summed) == CHECKSUM_PARTIAL;
	}
	/* Mostly somebody has asked for it before, which spares a call. */
	if (!view->cookie)
		view->cookie = bpf_get_socket_cookie(skb);
	if (view->kernel && view->tcp)
		look_above(view);
	if (partial)
		head->offload |= OFFLOAD_CHECKSUM;
	if (skb->gso_size)
		head->offload |= OFFLOAD_SEGMENTS;
	head->kind = RECORD_PACKET;
	head->length = skb->len;
	head->connection = view->cookie;
}

/* A handshake's packet is not sent again before (RFC 6298, section 2: a second; sockets may be given less). */
#define SENT_AGAIN_AFTER (100 * 1000 * 1000ULL)

/*
 * What comes for a connection that has not come about yet passes with the listener. If another CPU makes the connection
 * meanwhile, the kernel looks its socket up and lets the same packet pass once more; nothing else passes on this CPU
 * between. The buffer's memory may be used again for another packet.
 */
static __always_inline bool passes_again(struct __sk_buff *skb, struct view *view)
{
	if (view->socket->type != SOCK_STREAM)
		return false;
	struct last_packet *last = view->last;
	if (!view->listens && !last->asked)
		return false;
	union segment_head segment = {};
	bpf_skb_load_bytes(skb, view->to_transport, segment.bytes, sizeof(segment));
	__u64 time = now();
	if (last->asked == (__u64)view->buffer && last->segment.words[0] == segment.words[0] &&
	    last->segment.words[1] == segment.words[1] && time - last->asked_at < SENT_AGAIN_AFTER)
		return true;
	bool asks = view->listens && !(segment.bytes[13] & TCP_FLAG_SYN);
	last->asked = asks ? (__u64)view->buffer : 0;
	last->segment = segment;
	last->asked_at = time;
	last->ticket = 0;
	return false;
}

static __always_inline __u64 bytes_of(struct sk_buff *buffer)
{
	return (__u64)BPF_CORE_READ(buffer, head);
}

/* Sends the packet off, if it is not left out. */
static __always_inline void finish(struct __sk_buff *skb, struct packet_record *head, struct view *view,
				   struct socket_state *state)
{
	/* An owner who may still change is not asked. */
	if (view->left_out || (!view->asked && is_left_out_with(head->wait ? 0 : head->task))) {
		note_left_out(view->last, view->buffer);
		return;
	}
	/* Reading the clock is dear, and only now it is known to be needed. */
	if (!head->time)
		head->time = now();
	if (skb->ifindex == LOOPBACK_INDEX)
		head->buffer = bytes_of(view->buffer);
	send_packet(skb, head);
	note_shown(view->last, view->buffer, head);
	wait_on(head, view, state);
}

SEC("cgroup_skb/ingress")
int packet_received(struct __sk_buff *skb)
{
	struct packet_record head = { .direction = DIRECTION_IN };
	struct view view = {};
	if (!find_socket(skb, &view))
		return 1;
	if (passes_again(skb, &view)) {
		look(skb, &view, &head);
		struct socket_state *child = state_of(&view, 0);
		if (view.last->ticket && child && !view.listens)
			note_opening(view.last, child, view.cookie);
		return 1;
	}
	view.left_out = is_left_out(skb, DIRECTION_IN);
	if (view.left_out && comes_unseen(&view))
		return 1;
	look(skb, &view, &head);
	if (view.datagrams && !is_udp(view.socket->type, view.socket->protocol))
		note_received(view.buffer, skb->len);
	struct socket_state *state = NULL;
	if (view.kernel) {
		kernel_owns(&head, &view);
	} else {
		state = state_of(&view, 0);
		receiver_of(skb, &view, &head, state);
	}
	finish(skb, &head, &view, state);
	return 1;
}

/* Whether nobody reads, and the packet changes nothing for later ones, as in leaves_unseen: most of what an idle honed sees. */
static __always_inline bool leaves_unread(struct __sk_buff *skb)
{
	struct bpf_sock *socket = skb->sk;
	if (control.capture || !socket)
		return false;
	socket = bpf_sk_fullsock(socket);
	if (!socket)
		return false;
	if (socket->type == SOCK_STREAM && socket->protocol == IPPROTO_TCP)
		return socket->state != TCP_LISTEN && socket->state != TCP_SYN_SENT;
	return socket->type == SOCK_DGRAM || socket->type == SOCK_RAW;
}

SEC("cgroup_skb/egress")
int packet_sent(struct __sk_buff *skb)
{
	struct packet_record head = { .direction = DIRECTION_OUT };
	struct view view = {};
	if (leaves_unread(skb) || !find_socket(skb, &view))
		return 1;
	view.left_out = is_left_out(skb, DIRECTION_OUT);
	if (view.left_out && leaves_unseen(&view))
		return 1;
	__u64 running = 0;
	if (view.datagrams && !view.kernel) {
		running = current_task_word();
		view.asked = true;
		if (is_left_out_with(running)) {
			note_left_out(view.last, view.buffer);
			return 1;
		}
	}
	look(skb, &view, &head);
	if (view.kernel) {
		kernel_owns(&head, &view);
		finish(skb, &head, &view, NULL);
		return 1;
	}
	if (!view.datagrams && view.locked && !view.listens)
		running = current_task_word();
	struct socket_state *state = NULL;
	if (!view.datagrams)
		state = state_of(&view, running ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (!state) {
		head.task = running;
		head.method = running ? METHOD_CURRENT : METHOD_UNKNOWN;
	} else {
		view.unaccepted = !is_owned(state, view.cookie);
		if (view.unaccepted && running) {
			if (state->cookie && view.tcp)
				settle_handshake(view.sk, running);
			own_socket(state, view.cookie, holder_of(view.sk, running), SOCKET_ACCEPTED);
			view.unaccepted = false;
		}
		if (view.listens) {
			await_acceptor(skb, &view, &head, state);
		} else if (view.unaccepted) {
			listener_owns(&head, state);
			head.wait = WAIT_USE;
			state->waiting = 1;
		} else {
			/* connect() is a use that no other program sees. */
			if (running && view.tcp && view.socket->state == TCP_SYN_SENT)
				take_over(state, view.sk, running, true);
			sender_of(skb, &view, &head, state, running);
		}
	}
	name_somebody(&head);
	finish(skb, &head, &view, state);
	return 1;
}
