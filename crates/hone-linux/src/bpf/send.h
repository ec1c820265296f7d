/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Packets on their way into the ring buffer. */
#pragma once

#include "state/socket.h"

/*
 * Room is reserved by the power of two above the captured length, because a reservation must be a constant; only the
 * captured bytes are written. The last eighth of the ring is left to process and connection events, which are few and
 * without which the packets could not be understood.
 */
#define RESERVE(size, copy)                                                                        \
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
		record->head.captured = copy ? 0 : length; \
		bpf_ringbuf_submit(record, wake_flags(filled));                                    \
		return;                                                                            \
	}

#define RESERVE_ANY(copy)      \
	RESERVE(128, copy)     \
	RESERVE(256, copy)     \
	RESERVE(512, copy)     \
	RESERVE(1024, copy)    \
	RESERVE(2048, copy)    \
	RESERVE(4096, copy)    \
	RESERVE(8192, copy)    \
	RESERVE(16384, copy)   \
	RESERVE(32768, copy)   \
	RESERVE(65536, copy)   \
	RESERVE(131072, copy)  \
	captured = captured < 262144 ? captured : 262144; /* what stock readers of the file accept at most */ \
	RESERVE(262144, copy)

/* Of each network namespace's loopback device (net/core/dev.c makes sure of it). */
#define LOOPBACK_INDEX 1

/* How much of `length` bytes is wanted; 0: nothing is, or there is no room. */
static __always_inline __u32 wanted_of(__u32 length, __u64 *filled)
{
	__u32 wanted = control.capture;
	__u32 captured = length < wanted ? length : wanted;
	if (!captured)
		return 0;
	*filled = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	if (*filled >= settings.ring_bytes - settings.ring_bytes / 8) {
		count_lost(LOST_PACKETS);
		return 0;
	}
	return captured;
}

static __always_inline void send_packet(struct __sk_buff *skb, struct packet_record *head)
{
	__u64 filled = 0;
	__u32 captured = wanted_of(skb->len, &filled);
	if (!captured)
		return;
	RESERVE_ANY(bpf_skb_load_bytes(skb, 0, record->data, length))
}
