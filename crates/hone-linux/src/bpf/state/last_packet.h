/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a CPU has recorded last, so that no packet is recorded twice on its way. */
#pragma once

#include "../common.h"

/* The first bytes of a TCP header: ports, sequence and acknowledgement numbers, flags (RFC 9293, section 3.1). */
union segment_head {
	__u16 ports[2]; /* of source and destination, network byte order */
	__u8 bytes[16];
	__u64 words[2];
};

struct last_packet {
	__u64 received; /* `head` of the buffer that a raw or ping socket took: shared by its clones, */
	__u64 beginning; /* the first bytes behind its IP header, */
	__u32 length; /* and the packet's length */
	__u64 asked; /* the buffer that a listener took for a connection to come, until the next comes, */
	union segment_head segment;
	__u64 asked_at; /* and when. If it has data that waits for its reader: */
	__u64 listener;
	__u64 ticket; /* 0: it does not */
	__u32 end; /* sequence number behind the data */
	__u64 buffer; /* the last one that left without a socket, */
	__u64 device;
	__u64 place; /* its network header and its length */
	__u64 ends; /* addresses, or a part of them */
	__u64 shown; /* the buffer that a socket has sent or is to receive, */
	__u64 shown_at; /* the time of its record, 0: it was left out, */
	__u64 shown_connection;
	__u32 shown_direction;
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

/* The first bytes of a packet behind its IP header: of ICMP, what distinguishes echo requests. */
static __always_inline __u64 beginning_of(struct sk_buff *buffer)
{
	__u64 beginning = 0;
	unsigned char *head = BPF_CORE_READ(buffer, head);
	bpf_probe_read_kernel(&beginning, sizeof(beginning), head + BPF_CORE_READ(buffer, transport_header));
	return beginning;
}

/*
 * A raw socket takes a clone of a packet, and so do ping sockets before 6.2 or so; the kernel goes on with the packet
 * itself. Its memory may be used again for another packet of the same length.
 */
static __always_inline void note_received(struct sk_buff *buffer, __u32 length)
{
	struct last_packet *last = last_packet();
	if (last) {
		last->received = (__u64)BPF_CORE_READ(buffer, head);
		last->beginning = beginning_of(buffer);
		last->length = length;
	}
}

static __always_inline bool was_received(struct sk_buff *buffer, __u32 length)
{
	struct last_packet *last = last_packet();
	return last && last->received == (__u64)buffer->head && last->length == length &&
	       last->beginning == beginning_of(buffer);
}

/* If another program drops it, it will be right now, on this CPU. */
static __always_inline void note_shown(struct last_packet *last, struct sk_buff *buffer, struct packet_record *head)
{
	last->shown = (__u64)buffer;
	last->shown_at = head->time;
	last->shown_connection = head->connection;
	last->shown_direction = head->direction;
}

/* There is no record that could be wrong. */
static __always_inline void note_left_out(struct last_packet *last, struct sk_buff *buffer)
{
	last->shown = (__u64)buffer;
	last->shown_at = 0;
}
