/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets that no socket takes or sends, so that packets.bpf.h does not see them: to closed ports and ended connections,
 * what the kernel takes or sends itself, what a firewall drops on its way in, and what this host forwards. Seen where
 * the kernel lets go of them, in all network namespaces; each once.
 */
#pragma once

#include "../send.h"
#include "../state/connection.h"
#include "../state/datagrams.h"
#include "../state/last_packet.h"

/* ETH_P_IP and ETH_P_IPV6, network byte order */
#define PROTOCOL_IPV4 __builtin_bswap16(0x0800)
#define PROTOCOL_IPV6 __builtin_bswap16(0x86DD)

/* Kernels from 6.12, for these programs; elsewhere only a buffer's first part is copied. */
struct bpf_dynptr;
extern int bpf_dynptr_from_skb(struct sk_buff *, __u64 flags, struct bpf_dynptr *) __ksym __weak;

/* Where the IP header of a packet is, and how long the packet is from there. */
struct place {
	unsigned char *header;
	__u32 length;
	__u32 linear; /* of which so many bytes are in one piece */
	__u32 pulled; /* bytes that the kernel has passed already, from the IP header on; negative ones are still to come */
	__u8 protocol;
};

static __always_inline bool locate(struct sk_buff *buffer, struct place *place)
{
	if (buffer->protocol != PROTOCOL_IPV4 && buffer->protocol != PROTOCOL_IPV6)
		return false;
	unsigned char *header = buffer->head + buffer->network_header;
	place->header = header;
	place->pulled = buffer->data - header;
	place->length = buffer->len + place->pulled;
	place->linear = place->length - buffer->data_len;
	__u32 at = buffer->protocol == PROTOCOL_IPV4 ? 9 : 6;
	return !bpf_probe_read_kernel(&place->protocol, 1, header + at);
}

static __always_inline void send_head(struct packet_record *head, struct sk_buff *buffer, struct place *place,
				      __u8 method)
{
	/* What is let go of may have other things in the place of the device: where it came in does not change. */
	__u32 device = head->direction == DIRECTION_IN ? buffer->skb_iif : BPF_CORE_READ(buffer, dev, ifindex);
	if (device == LOOPBACK_INDEX)
		head->buffer = (__u64)buffer->head;
	head->kind = RECORD_PACKET;
	head->time = now();
	head->length = place->length;
	head->method = method;
}

/* Sends what is in one piece. */
static __always_inline void send_linear(struct packet_record *head, struct place *place)
{
	__u64 filled = 0;
	__u32 captured = wanted_of(place->linear, &filled);
	if (!captured || place->linear > place->length)
		return;
	RESERVE_ANY(bpf_probe_read_kernel(record->data, length, place->header))
}

/* Sends a packet; its IP header is ahead of, or at, the buffer's data. */
static __always_inline void send_whole(struct sk_buff *buffer, struct packet_record *head, struct place *place)
{
	struct bpf_dynptr whole;
	if (!settings.whole_buffers || !bpf_ksym_exists(bpf_dynptr_from_skb) ||
	    bpf_dynptr_from_skb(buffer, 0, &whole)) {
		send_linear(head, place);
		return;
	}
	__u32 ahead = -place->pulled;
	__u64 filled = 0;
	__u32 captured = wanted_of(place->length, &filled);
	if (!captured)
		return;
	RESERVE_ANY(bpf_dynptr_read(record->data, length, &whole, ahead, 0))
}

/* Whether the kernel has found the transport header and gone on from there: the packet is for this host. */
static __always_inline bool is_delivered(struct sk_buff *buffer)
{
	__u16 transport = buffer->transport_header;
	return transport != 0xFFFF && transport > buffer->network_header && buffer->data >= buffer->head + transport;
}

/* What the kernel takes itself: ICMP, IGMP, neighbour discovery. */
static __always_inline int kernel_took(struct sk_buff *buffer)
{
	struct place place;
	/* A socket's buffer was recorded when the socket took it. */
	if (buffer->sk || !is_delivered(buffer) || !locate(buffer, &place))
		return 0;
	if (place.protocol != IPPROTO_ICMP && place.protocol != IPPROTO_ICMPV6 && place.protocol != IPPROTO_IGMP)
		return 0;
	if (was_received(buffer, place.length))
		return 0;
	struct packet_record head = { .direction = DIRECTION_IN };
	send_head(&head, buffer, &place, METHOD_KERNEL);
	send_linear(&head, &place);
	return 0;
}

/*
 * A packet that was recorded on its way to, or from, a socket is dropped right after by another program on a cgroup, or
 * by the socket's own filter.
 */
static __always_inline int shown_is_filtered(struct sk_buff *buffer)
{
	struct last_packet *last = last_packet();
	/* While nobody reads, the note may be of an earlier packet in the same memory. */
	if (!control.capture || !last || last->shown != (__u64)buffer)
		return 0;
	last->shown = 0;
	if (!last->shown_at)
		return 0;
	send_correction(last->shown_connection, 0, last->shown_direction, CORRECTS_TIME, METHOD_FILTERED, last->shown_at);
	return 0;
}

/* What is left of a socket in the state TIME_WAIT keeps the number; 0 if nobody has asked for it before. */
static __always_inline __u64 cookie_of(struct sock *ended)
{
	return BPF_CORE_READ(ended, __sk_common.skc_cookie.counter);
}

SEC("tp_btf/kfree_skb")
int TRACING(packet_dropped)
{
	struct sk_buff *buffer = (struct sk_buff *)ctx[0];
	__u32 reason = ctx[2];
	__u8 method;
	__u64 ended = 0;
	settle_datagram((__u64)buffer, 0, false);
	if (reason == bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_SOCKET_FILTER) ||
	    reason == bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_BPF_CGROUP_EGRESS))
		return shown_is_filtered(buffer);
	if (buffer->skb_iif == 0)
		return 0; /* it was not received */
	if (reason == bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_SOCKET_RCVBUFF)) {
		/* The socket is known from 6.11 on. */
		struct sock *sk = bpf_core_field_exists(struct trace_event_raw_kfree_skb, rx_sk) ? (void *)ctx[3] : NULL;
		if (sk)
			datagram_dropped(sk, (__u64)buffer);
		return 0;
	}
	if (reason == bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_NO_SOCKET) ||
	    reason == bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_IP_NOPROTO)) {
		method = METHOD_NO_SOCKET;
	} else if (reason == bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_NETFILTER_DROP)) {
		if (buffer->data != buffer->head + buffer->network_header)
			return 0;
		method = METHOD_FILTERED;
	} else if (bpf_core_field_exists(struct trace_event_raw_kfree_skb, rx_sk) && ctx[3]) {
		struct sock *sk = (struct sock *)ctx[3];
		if (BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_TIME_WAIT)
			return 0;
		method = METHOD_TIME_WAIT;
		ended = cookie_of(sk);
	} else if (reason == bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_NOT_SPECIFIED)) {
		/* Some kernels let go so of ICMPv6 that they have taken. */
		return kernel_took(buffer);
	} else {
		return 0;
	}
	struct place place;
	if (!locate(buffer, &place) || was_received(buffer, place.length))
		return 0;
	struct packet_record head = { .direction = DIRECTION_IN, .connection = ended };
	send_head(&head, buffer, &place, method);
	send_linear(&head, &place);
	return 0;
}

/*
 * What most buffers let go of are is seen in their first line of the cache, which the kernel needs, too: a socket's; or one
 * from which UDP has just read, which keeps other things in the place of the device (struct udp_dev_scratch of
 * net/ipv4/udp.c): a pointer of the kernel has its highest bit set.
 */
SEC("tp_btf/consume_skb")
int TRACING(packet_consumed, struct sk_buff *buffer)
{
	if (!control.capture || buffer->sk || (__s64)buffer->dev >= 0)
		return 0;
	return buffer->skb_iif ? kernel_took(buffer) : 0;
}

/* What a listener is answering to a new connection over IPv6. */
struct answer {
	__u64 request; /* the connection to come, for which it is sent */
	__u64 connection;
	__u64 task;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct answer);
} answers SEC(".maps");

SEC("fentry/tcp_make_synack")
int TRACING(listener_answers, struct sock *listener, void *destination, void *request)
{
	__u32 zero = 0;
	struct answer *answer = bpf_map_lookup_elem(&answers, &zero);
	if (!answer)
		return 0;
	struct socket_state *state = bpf_sk_storage_get(&sockets, listener, 0, 0);
	answer->request = (__u64)request;
	answer->connection = bpf_get_socket_cookie(listener);
	answer->task = state && is_sure(&state->holder) ? state->holder.task : 0;
	return 0;
}

static __always_inline bool is_hidden_answer(struct sk_buff *buffer, struct sock *sk)
{
	return settings.hidden_answers && sk && buffer->protocol == PROTOCOL_IPV6 &&
	       sk->__sk_common.skc_state == TCP_NEW_SYN_RECV;
}

/* As await_acceptor in attribution.h. */
static __always_inline void await_acceptor_of_answer(struct packet_record *head, struct sk_buff *buffer)
{
	unsigned char *network = buffer->head + buffer->network_header, *tcp = buffer->head + buffer->transport_header;
	__u32 address;
	__u16 ports[2];
	if (bpf_probe_read_kernel(&address, sizeof(address), network + 36) ||
	    bpf_probe_read_kernel(ports, sizeof(ports), tcp))
		return;
	head->wait = WAIT_HANDSHAKE;
	head->ticket = handshake_number(address, ports[1], ports[0]);
	bpf_map_update_elem(&handshakes, &head->ticket, &head->connection, BPF_ANY);
}

static __always_inline void describe_answer(struct packet_record *head, struct sk_buff *buffer, struct sock *request)
{
	__u32 zero = 0;
	struct answer *answer = bpf_map_lookup_elem(&answers, &zero);
	head->method = METHOD_UNKNOWN;
	if (answer && answer->request == (__u64)request) {
		head->connection = answer->connection;
		head->task = answer->task;
		head->method = answer->task ? METHOD_LISTENER : METHOD_SHARED;
		if (!answer->task)
			await_acceptor_of_answer(head, buffer);
	}
	if (BPF_CORE_READ_BITFIELD(buffer, ip_summed) == CHECKSUM_PARTIAL)
		head->offload = OFFLOAD_CHECKSUM;
}

/*
 * From 6.13 on, IPv6's resets carry the socket that they answer for, also a listener's, which has not sent them: the
 * kernel has, so that packets.bpf.h does not see them. What it sees, it sees right before, on this CPU.
 */
static __always_inline bool is_hidden_reset(struct sk_buff *buffer, struct sock *sk, struct last_packet *last)
{
	if (buffer->protocol != PROTOCOL_IPV6 || last->shown == (__u64)buffer)
		return false;
	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP || BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
		return false;
	unsigned char *network = buffer->head + buffer->network_header, *tcp = buffer->head + buffer->transport_header;
	__u8 next = 0, flags = 0;
	bpf_probe_read_kernel(&next, sizeof(next), network + 6);
	bpf_probe_read_kernel(&flags, sizeof(flags), tcp + 13);
	return next == IPPROTO_TCP && (flags & TCP_FLAG_RST || sk->__sk_common.skc_state == TCP_LISTEN);
}

/* A packet is on its way to a network device. What a socket has sent, packets.bpf.h has seen. */
SEC("tp_btf/net_dev_queue")
int TRACING(packet_leaves, struct sk_buff *buffer)
{
	if (!control.capture)
		return 0;
	struct sock *sk = buffer->sk;
	bool answer = is_hidden_answer(buffer, sk);
	/* From 6.13 on, what the kernel sends for a connection that has ended carries what is left of its socket. */
	bool late = sk && sk->__sk_common.skc_state == TCP_TIME_WAIT;
	struct last_packet *last = last_packet();
	if (!last)
		return 0;
	if (sk && !answer && !late && !is_hidden_reset(buffer, sk, last))
		return 0;
	struct place place;
	if (!locate(buffer, &place) || (__s32)place.pulled > 0)
		return 0;
	if (answer && place.protocol != IPPROTO_TCP)
		return 0; /* a tunnel's packet around it */
	/* What is routed was sent to this host's own link address; what is bridged was not. */
	bool received = buffer->skb_iif != 0;
	if (received && BPF_CORE_READ_BITFIELD(buffer, pkt_type) != PACKET_HOST)
		return 0;
	/* A device on top of another queues the same packet again. */
	__u64 where = (__u64)buffer->network_header << 32 | place.length, device = (__u64)buffer->dev, ends = 0;
	bpf_probe_read_kernel(&ends, sizeof(ends), place.header + 12);
	if (last->buffer == (__u64)buffer && last->device != device && last->place == where && last->ends == ends)
		return 0;
	last->buffer = (__u64)buffer;
	last->device = device;
	last->place = where;
	last->ends = ends;
	struct packet_record head = { .direction = DIRECTION_OUT };
	send_head(&head, buffer, &place, received ? METHOD_FORWARDED : late ? METHOD_TIME_WAIT : METHOD_KERNEL);
	if (late)
		head.connection = cookie_of(sk);
	if (answer)
		describe_answer(&head, buffer, sk);
	send_whole(buffer, &head, &place);
	return 0;
}

/* Packets to connections that have ended, on kernels before 6.11, where trampolines are permitted. */
SEC("fentry/tcp_timewait_state_process")
int TRACING(packet_comes_late, struct sock *timewait, struct sk_buff *buffer)
{
	struct place place;
	if (!locate(buffer, &place))
		return 0;
	struct packet_record head = { .direction = DIRECTION_IN, .connection = cookie_of(timewait) };
	send_head(&head, buffer, &place, METHOD_TIME_WAIT);
	send_linear(&head, &place);
	return 0;
}
