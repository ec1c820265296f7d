/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Datagrams that wait in a socket that several may read, until it shows who reads each. */
#pragma once

#include "former.h"

struct waiting_datagram {
	__u64 connection;
	__u64 ticket;
	__u64 udp;
};

/* Datagrams that wait in a socket until it shows who reads them, by the buffer's address. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct waiting_datagram);
} waiting_datagrams SEC(".maps");

static __always_inline bool is_datagram(struct sock *sk)
{
	return sk->sk_type == SOCK_DGRAM || sk->sk_type == SOCK_RAW;
}

/*
 * The oldest datagram that waits for its reader and is still there: its number; 0: there is one that does not wait. As the
 * socket has noted it: a number in `waiting_datagrams` may be of a datagram that was read, and its memory used again for this one.
 */
static __always_inline __u64 oldest_waiting(struct sock *sk, __u64 cookie, bool udp)
{
	__u64 oldest = oldest_unread(sk, udp);
	if (!oldest)
		return ~0ULL;
	struct arrivals *came = bpf_sk_storage_get(&arrivals, sk, 0, 0);
	__u32 count = came ? came->count : 0;
	__u64 number = ~0ULL;
	for (__u32 back = 1; came && back <= ARRIVALS; back++) {
		struct arrival *latest = arrival(came, count - back);
		/* One that was left out has no number: that of the next counts, before which all have been read, too. */
		if (latest->time)
			number = latest->time & ARRIVAL_WAITS ? latest->time & ~ARRIVAL_WAITS : 0;
		if (latest->buffer == oldest)
			return number;
	}
	/* More have come since than are noted there. */
	struct waiting_datagram *datagram = bpf_map_lookup_elem(&waiting_datagrams, &oldest);
	return datagram && datagram->connection == cookie ? datagram->ticket : 0;
}

/* Whether there ever was one, so that nothing is looked up where no socket is shared. */
volatile __u32 any_datagram_waits = 0;

/* A datagram that waits is read by a task, or dropped (0). */
static __always_inline void settle_datagram(__u64 buffer, __u64 task, bool udp)
{
	if (!any_datagram_waits)
		return;
	struct waiting_datagram *datagram = bpf_map_lookup_elem(&waiting_datagrams, &buffer);
	if (!datagram || (task && udp != datagram->udp))
		return;
	send_socket(RECORD_SOCKET_USED, datagram->connection, task, task ? SETTLES_DATAGRAM : SETTLES_DROPPED,
		    datagram->ticket);
	bpf_map_delete_elem(&waiting_datagrams, &buffer);
}
