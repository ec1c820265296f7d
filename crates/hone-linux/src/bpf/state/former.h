/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Data that lay in a socket when another process, or another program, took the socket over. It was attributed to the
 * former holder when it came; its reader is who takes its first byte out. So a take-over notes up to where the data is
 * the former holder's (`former`), and each read of it is reported as a correction.
 */
#pragma once

#include "socket.h"

/* Beside a sequence number or a count: there is one. */
#define KNOWN (1ULL << 32)

/*
 * A packet that was attributed just before the take-over may reach the socket just after it: it is on its way through
 * the kernel, or waits until a process lets go of the socket's lock. That lasts microseconds.
 */
#define ON_ITS_WAY (20 * 1000 * 1000ULL)

/* The latest datagrams that came for a socket, so that one which is read can be named by the time it came with. */
#define ARRIVALS 64

struct arrival {
	__u64 buffer; /* 0: it was dropped, or its reader is known */
	__u64 time; /* it came with; 0: it was left out, whoever reads it */
};

/* Instead of a time: it was left out, as its process is not wanted. If another one reads it, that is reported. */
#define ARRIVAL_LEFT_OUT 1

/* Beside a time: it waits for its reader anyway, and was attributed to nobody. */
#define ARRIVAL_WAITS (1ULL << 63)

struct arrivals {
	__u32 count; /* of all that ever came */
	struct arrival latest[ARRIVALS]; /* each at its number modulo ARRIVALS */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct arrivals);
} arrivals SEC(".maps");

static __always_inline struct arrival *arrival(struct arrivals *arrivals, __u32 number)
{
	return &arrivals->latest[number & (ARRIVALS - 1)];
}

static __always_inline void send_correction(__u64 connection, __u64 task, __u32 direction, __u32 corrects,
					    __u32 method, __u64 which)
{
	send_socket(RECORD_CORRECTED, connection, task, corrects | direction << PART_DIRECTION | method << PART_METHOD, which);
}

static __always_inline __u64 first_in(struct sk_buff_head *queue)
{
	struct sk_buff *first = BPF_CORE_READ(queue, next);
	return first == (struct sk_buff *)queue ? 0 : (__u64)first;
}

/* The buffer that is read next; 0: there is none. UDP reads from a queue of its own, which it refills from the socket's. */
static __always_inline __u64 oldest_unread(struct sock *sk, bool udp)
{
	struct sk_buff_head *came = &sk->sk_receive_queue, *moved = &((struct udp_sock *)sk)->reader_queue;
	__u64 first = udp ? first_in(moved) : 0;
	if (!first)
		first = first_in(came);
	/* All was moved between the two looks. */
	return first || !udp ? first : first_in(moved);
}

/* The number of the datagram behind those that have been read; `count` if all have, 0 if that is not known. */
static __always_inline __u32 first_unread(struct arrivals *arrivals, struct sock *sk, bool udp)
{
	__u32 count = arrivals->count;
	__u64 oldest = oldest_unread(sk, udp);
	if (!oldest)
		return count;
	for (__u32 back = 1; back <= ARRIVALS; back++) {
		if (arrival(arrivals, count - back)->buffer == oldest)
			return count - back;
	}
	return 0;
}

/* The datagrams that waited are attributed to the only process that has the socket; they may not have been read yet. */
static __always_inline void attribute_arrivals(struct sock *sk)
{
	if (sk->sk_type != SOCK_DGRAM && sk->sk_type != SOCK_RAW)
		return;
	struct arrivals *came = bpf_sk_storage_get(&arrivals, sk, 0, 0);
	for (__u32 index = 0; came && index < ARRIVALS; index++)
		came->latest[index].time &= ~ARRIVAL_WAITS;
}

/* Another process, or another program of the same process, takes a socket over. */
static __always_inline void note_former(struct socket_state *state, struct sock *sk)
{
	__u64 time = now();
	if (is_tcp(sk)) {
		/* Whatever came since it was accepted waits for its first user. */
		if (state->flags & SOCKET_UNUSED)
			return;
		struct tcp_sock *tcp = (struct tcp_sock *)sk;
		__u32 read = BPF_CORE_READ(tcp, copied_seq), end = BPF_CORE_READ(tcp, rcv_nxt);
		/* What came out of order lies further on, within the window. */
		if (BPF_CORE_READ(tcp, out_of_order_queue.rb_node))
			end = BPF_CORE_READ(tcp, rcv_wup) + BPF_CORE_READ(tcp, rcv_wnd);
		__u64 waits = state->waits_from;
		/* What waits for its reader is attributed when it is read. */
		if (waits && (__s32)((__u32)waits - (__u32)state->read) <= 0 && state->read)
			return;
		if (waits && (__s32)((__u32)waits - end) < 0)
			end = waits;
		if (!state->read)
			state->read = KNOWN | read;
		state->taken_over = time;
		state->former = KNOWN | end;
	} else if (sk->sk_type == SOCK_DGRAM || sk->sk_type == SOCK_RAW) {
		/* Made even if nothing has come yet: a datagram may have been attributed on another CPU, and be noted there right now. */
		struct arrivals *came = bpf_sk_storage_get(&arrivals, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!came)
			return;
		state->read = KNOWN | first_unread(came, sk, is_udp(sk->sk_type, sk->sk_protocol));
		state->taken_over = time;
		state->former = KNOWN | came->count;
	}
}

/* The former holder's data has been read up to here. */
static __always_inline void end_former(struct socket_state *state, __u32 here)
{
	__u64 former = state->former;
	if ((__s32)(here - (__u32)former) >= 0 && now() - state->taken_over > ON_ITS_WAY)
		__sync_val_compare_and_swap(&state->former, former, 0);
}

/* The running process has taken a stream's bytes [from, to) out. */
static __always_inline void former_bytes_read(struct socket_state *state, __u64 task, __u64 before, __u32 to)
{
	/* Nothing was seen to be read before: then all of it. */
	__u32 from = before ? before : to - (1U << 30);
	if (from != to)
		send_correction(state->cookie, task, DIRECTION_IN, CORRECTS_BYTES, METHOD_READER,
				(__u64)from << PART_FROM | to);
	end_former(state, to);
}

static __always_inline void correct_arrival(struct socket_state *state, __u64 task, struct arrival *arrival)
{
	__u64 time = arrival->time;
	/* Of a time at which no packet came. */
	if (time == ARRIVAL_LEFT_OUT)
		time = now();
	if (time && !(time & ARRIVAL_WAITS))
		send_correction(state->cookie, task, DIRECTION_IN, CORRECTS_TIME, METHOD_READER, time);
	arrival->buffer = 0;
}

/* The running process has read this datagram. */
static __always_inline void former_datagram_read(struct socket_state *state, struct sock *sk, __u64 task, __u64 buffer)
{
	struct arrivals *came = bpf_sk_storage_get(&arrivals, sk, 0, 0);
	if (!came)
		return;
	__u32 count = came->count;
	for (__u32 back = 1; back <= ARRIVALS; back++) {
		struct arrival *read = arrival(came, count - back);
		if (read->buffer != buffer)
			continue;
		correct_arrival(state, task, read);
		end_former(state, count - back + 1);
		return;
	}
}

/* There was no room for a datagram that has come: nobody will read it. */
static __always_inline void datagram_dropped(struct sock *sk, __u64 buffer)
{
	struct arrivals *came = bpf_sk_storage_get(&arrivals, sk, 0, 0);
	for (__u32 back = 1; came && back <= 8; back++) {
		struct arrival *dropped = arrival(came, came->count - back);
		if (dropped->buffer == buffer)
			dropped->buffer = 0;
	}
}

/*
 * The running process has read a datagram, and the kernel does not report which: the latest before those that are still
 * there. `took_over`: with this very call, so that the datagram is no longer there that was to be read first.
 */
static __always_inline void former_datagram_gone(struct socket_state *state, struct sock *sk, __u64 task, bool udp,
						 bool took_over)
{
	struct arrivals *came = bpf_sk_storage_get(&arrivals, sk, 0, 0);
	if (!came)
		return;
	if (took_over && (__u32)state->read)
		state->read--;
	__u32 end = first_unread(came, sk, udp), first = state->read;
	for (__u32 back = 1; back <= ARRIVALS; back++) {
		if ((__s32)(end - back - first) < 0)
			break;
		struct arrival *read = arrival(came, end - back);
		if (!read->buffer)
			continue;
		correct_arrival(state, task, read);
		break;
	}
	end_former(state, end);
}
