/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a CPU has recorded last, so that no packet is recorded twice on its way. */
#pragma once

#include "common.h"

struct last_packet {
	__u64 received; /* `head` of the buffer that a raw socket took: shared by its clones, */
	__u64 at; /* when, */
	__u32 length; /* and the packet's length */
	__u64 buffer; /* the last one that left without a socket, */
	__u64 device;
	__u64 place; /* its network header and its length */
	__u64 ends; /* addresses, or a part of them */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct last_packet);
} last_packets SEC(".maps");

static __always_inline struct last_packet *last_packet(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&last_packets, &zero);
}

/* A raw socket takes a clone of a packet; the kernel goes on with the packet itself. */
static __always_inline void note_received(__u64 head, __u32 length)
{
	struct last_packet *last = last_packet();
	if (last) {
		last->received = head;
		last->length = length;
		last->at = now();
	}
}

/* A buffer's memory is used again soon, but hardly for a packet of the same length before this time, in ns. */
#define GOES_ON_WITHIN 100000

static __always_inline bool was_received(__u64 head, __u32 length)
{
	struct last_packet *last = last_packet();
	return last && last->received == head && last->length == length && now() - last->at < GOES_ON_WITHIN;
}
