/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is kept in a socket, and dies with it. A listener's child inherits a copy (BPF_F_CLONE); as the copy holds the
 * listener's cookie, a cookie that is not the socket's own marks a connection that no process has accepted yet.
 */
#pragma once

#include "../common.h"
#include "holder.h"

enum socket_flags {
	SOCKET_SENT = 1, /* `sender` was seen to send, not only to hold */
	SOCKET_RECEIVED = 2, /* `holder` was seen to receive */
	SOCKET_ACCEPTED = 4,
	SOCKET_WRITERS = 16, /* several processes have written to the stream: see writers.h */
	SOCKET_UNUSED = 32, /* accepted, but not used yet: its holder may be about to hand it on */
	SOCKET_OPENED_BY_DATA = 64, /* a packet with data brought it about, which nobody has read yet: see openings */
};

/* How a TCP connection ends: the last process lets go, and TCP is done. Either can come first, on two processors at once. */
enum socket_end {
	END_RELEASED = 1, /* no process holds it; TCP may still be busy with it */
	END_CLOSED = 2, /* TCP is done with it; a process may still hold it */
};

struct socket_state {
	__u64 cookie;
	struct holder holder;
	__u64 sender; /* task */
	__u32 flags;
	/*
	 * Not 0: packets were sent that wait for what the next user does. Whoever sends one writes it before a last look at the
	 * rest; whoever changes the rest reads it afterwards. So one of two CPUs sees what the other has done.
	 */
	__u32 waiting;
	__u64 former; /* KNOWN | sequence number or count behind what was attributed to a former holder; 0: see former.h */
	/* From here on in another line of the cache, which the processor that receives does not read. */
	__u64 read; /* KNOWN | sequence number of the byte to be read next; of datagrams, number of the first of `former` */
	__u64 waits_from; /* KNOWN | sequence number from which on packets wait for their reader; 0: none does */
	__u64 taken_over; /* when `former` was set */
	__u32 ended; /* enum socket_end; changed atomically */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct socket_state);
} sockets SEC(".maps");

/* What is written before is seen by other CPUs before what is read after is read: an exchange orders both (LKMM). */
static __always_inline void memory_barrier(void)
{
	__u64 here = 0;
	__sync_lock_test_and_set(&here, 1);
}

/* A socket's number, as bpf_get_socket_cookie() says it; mostly without the cost of a call. For trusted pointers. */
static __always_inline __u64 socket_cookie(struct sock *sk)
{
	__u64 cookie = sk->__sk_common.skc_cookie.counter;
	return cookie ? cookie : bpf_get_socket_cookie(sk);
}

static __always_inline bool is_released(const struct socket_state *state)
{
	return state->ended & END_RELEASED;
}

static __always_inline bool is_internet(__u16 family)
{
	return family == AF_INET || family == AF_INET6;
}

static __always_inline bool is_udp(__u16 type, __u16 protocol)
{
	return type == SOCK_DGRAM && protocol != IPPROTO_ICMP && protocol != IPPROTO_ICMPV6;
}

static __always_inline bool is_tcp(struct sock *sk)
{
	return sk->sk_type == SOCK_STREAM && sk->sk_protocol == IPPROTO_TCP;
}

static __always_inline void send_socket(__u32 kind, __u64 connection, __u64 task, __u32 flags, __u64 ticket)
{
	struct socket_record *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	if (!record) {
		count_lost(LOST_CONNECTIONS);
		return;
	}
	record->kind = kind;
	record->flags = flags;
	record->time = now();
	record->connection = connection;
	record->task = task;
	record->ticket = ticket;
	bpf_ringbuf_submit(record, wake_flags(bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA)));
}
