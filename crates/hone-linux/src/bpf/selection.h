/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which packets no reader wants: a row of tests with jumps forward only, made of all readers' selections (packet_tests.rs
 * of hone-select; abi.h). What the tests do not know (extension headers, fragments, options that were cut
 * off) is copied: then the selection decides behind the ring buffer. So never less is copied than what is wanted.
 */
#pragma once

#include <bpf/bpf_endian.h>
#include "state/socket.h"

struct packet_tests {
	struct packet_test tests[TESTS_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet_tests);
} selection SEC(".maps");

/*
 * Processes of which no reader wants a packet, by task. Written by the sensor, which learns later of what a process does: so the
 * entry of a process that has executed another program since does not count, nor one for another `selecting`.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct unwanted_process);
} unwanted_processes SEC(".maps");

#define EXECUTED 65536
volatile __u64 executed[EXECUTED]; /* when a process last executed a program, at its id modulo the size */

/* Packets that were left out. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} left_out SEC(".maps");

struct facts {
	__u32 words[FACTS];
	__u32 next;
};

static __always_inline void make_one(struct facts *facts, struct packet_test *test)
{
	bool holds = (facts->words[test->fact & (FACTS - 1)] & test->mask) - test->low <= test->span;
	facts->next = holds ? test->yes : test->no;
}

static long make_test(__u32 index, void *context)
{
	struct facts *facts = context;
	__u32 zero = 0, at = facts->next;
	struct packet_tests *all = bpf_map_lookup_elem(&selection, &zero);

	if (!all || at >= TESTS_MAX)
		return 1;
	make_one(facts, &all->tests[at]);
	return 0;
}

/* What the tests say. Most are few: these are made without the cost of a loop's calls. */
static __always_inline __u32 make_tests(struct facts *facts)
{
	__u32 zero = 0;
	struct packet_tests *all = bpf_map_lookup_elem(&selection, &zero);

	if (!all)
		return VERDICT_ACCEPTED;
#pragma unroll
	for (int made = 0; made < 8; made++) {
		__u32 at = facts->next;
		if (at >= TESTS_MAX)
			return at;
		make_one(facts, &all->tests[at]);
	}
	if (facts->next < TESTS_MAX)
		bpf_loop(TESTS_MAX, make_test, facts, 0);
	return facts->next;
}

/* The facts of a packet with plain headers of which the sensor gets the same bytes; false: of another one. */
static __always_inline bool look_at_headers(struct __sk_buff *skb, __u8 direction, struct facts *facts)
{
	union {
		__u8 bytes[44];
		__u16 halves[22];
		__u32 words[11];
	} ip = {};
	__u32 at, stated, ports, length = skb->len;
	__u8 protocol, flags = 0;

	/* With the first word behind it: in TCP, UDP and SCTP, the ports. */
	if (bpf_skb_load_bytes(skb, 0, ip.bytes, 24))
		return false;
	__u8 version = ip.bytes[0] >> 4;
	if (version == 4) { /* RFC 791, section 3.1 */
		at = (ip.bytes[0] & 15) * 4;
		stated = bpf_ntohs(ip.halves[1]);
		if (at < 20 || ip.halves[3] & bpf_htons(0x3FFF)) /* a fragment */
			return false;
		ports = ip.words[5];
		protocol = ip.bytes[9];
		facts->words[FACT_SOURCE] = bpf_ntohl(ip.words[3]);
		facts->words[FACT_DESTINATION] = bpf_ntohl(ip.words[4]);
	} else if (version == 6) { /* RFC 8200, section 3 */
		if (bpf_skb_load_bytes(skb, 0, ip.bytes, 44))
			return false;
		at = 40;
		ports = ip.words[10];
		stated = bpf_ntohs(ip.halves[2]);
		if (stated)
			stated += 40;
		protocol = ip.bytes[6];
		for (int word = 0; word < 8; word++)
			facts->words[FACT_SOURCE + word] = bpf_ntohl(ip.words[2 + word]);
	} else {
		return false;
	}
	/* Up to the flags (RFC 9293, section 3.1). */
	__u32 needed = at + (protocol == IPPROTO_TCP ? 14 : 4);
	if (needed > length || needed > control.capture || (stated && needed > stated))
		return false;
	if (protocol == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(skb, at + 13, &flags, sizeof(flags)))
			return false;
		facts->words[FACT_TCP_FLAGS] = flags;
	} else if (protocol != IPPROTO_UDP && protocol != IPPROTO_SCTP && protocol != IPPROTO_ICMP &&
		   protocol != IPPROTO_ICMPV6) {
		return false;
	}
	if (protocol != IPPROTO_ICMP && protocol != IPPROTO_ICMPV6) {
		/* Behind options. */
		if (version == 4 && at != 20 && bpf_skb_load_bytes(skb, at, &ports, sizeof(ports)))
			return false;
		ports = bpf_ntohl(ports);
		facts->words[FACT_SOURCE_PORT] = ports >> 16;
		facts->words[FACT_DESTINATION_PORT] = ports & 0xFFFF;
		facts->words[FACT_HAS_PORTS] = 1;
	}
	facts->words[FACT_VERSION] = version;
	facts->words[FACT_PROTOCOL] = protocol;
	facts->words[FACT_DIRECTION] = direction;
	facts->words[FACT_LENGTH] = length;
	return true;
}

/* A packet that comes may interrupt one that is sent, on the same CPU: then neither may be lost. */
static __always_inline void count_left_out(void)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&left_out, &zero);
	if (count)
		__sync_fetch_and_add(count, 1);
}

/* Whether no reader wants the packets of this process, so that this one is left out; not for 0. */
static __always_inline bool is_left_out_with(__u64 task)
{
	__u32 number = control.selecting;

	if (!task || !number || !control.capture)
		return false;
	struct unwanted_process *unwanted = bpf_map_lookup_elem(&unwanted_processes, &task);
	if (!unwanted || unwanted->selecting != number || unwanted->time < executed[task & (EXECUTED - 1)])
		return false;
	count_left_out();
	return true;
}

static __noinline bool is_rejected(struct __sk_buff *skb, __u8 direction, __u32 number)
{
	struct facts facts = {};

	if (!look_at_headers(skb, direction, &facts))
		return false;
	if (make_tests(&facts) != VERDICT_REJECTED)
		return false;
	memory_barrier();
	return control.selecting == number;
}

/*
 * Whether no reader wants the packet, whoever owns it. The sensor writes other tests only while `selecting` is 0, and then sets
 * a number that it has not used before: so a packet during whose tests that happens is copied.
 */
static __always_inline bool is_left_out(struct __sk_buff *skb, __u8 direction)
{
	__u32 number = control.selecting;

	if (!control.capture)
		return true; /* nobody reads, so it is not counted */
	if (!(number & SELECTING_TESTS) || !is_rejected(skb, direction, number))
		return false;
	count_left_out();
	return true;
}
