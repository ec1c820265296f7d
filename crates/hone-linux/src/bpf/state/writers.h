/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who wrote which part of a TCP stream to which several processes have written. */
#pragma once

#include "socket.h"

#define WRITER_MARKS_LOG 10
#define WRITER_MARKS (1 << WRITER_MARKS_LOG)
#define WRITERS 16

/*
 * A ring of the latest changes of the writer; what was written before them is nobody's any more, as is what writers
 * beyond the table write. 5 KiB for a stream: it counts as the socket's option memory, of which sockets have 20 KiB
 * before Linux 6.7, and what processes ask of their sockets needs it, too. Kernels from 7.0 give no more than 8 KiB.
 */
struct writers {
	__u32 count; /* changes ever noted */
	/* Kept only where writing is reported after the call. */
	__u32 end; /* sequence number behind what was there at the last report */
	__s32 unreported; /* bytes before `end` of calls that have not reported yet */
	__u32 late; /* bytes reported while another processor was at it */
	__u32 busy; /* a processor is at it */
	__u64 tasks[WRITERS]; /* the first is nobody */
	__u32 from[WRITER_MARKS]; /* sequence number of the first byte written by */
	__u8 by[WRITER_MARKS]; /* this one of `tasks` */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct writers);
} stream_writers SEC(".maps");

static __always_inline __u64 marked(struct writers *writers, __u32 change)
{
	return writers->tasks[writers->by[change & (WRITER_MARKS - 1)] & (WRITERS - 1)];
}

static __always_inline void mark_writer(struct writers *writers, __u64 task, __u32 from)
{
	__u8 by = 0;
	for (int index = 1; index < WRITERS && task && !by; index++) {
		if (!writers->tasks[index])
			writers->tasks[index] = task;
		if (writers->tasks[index] == task)
			by = index;
	}
	__u32 change = writers->count & (WRITER_MARKS - 1);
	writers->from[change] = from;
	writers->by[change] = by;
	writers->count++;
}

/* What several processes have written; also without memory, for then nobody knows who has written what. */
static __always_inline struct writers *writers_of(struct sock *sk, struct socket_state *state)
{
	__u64 flags = state->flags & SOCKET_WRITERS ? 0 : BPF_SK_STORAGE_GET_F_CREATE;
	state->flags |= SOCKET_WRITERS;
	return bpf_sk_storage_get(&stream_writers, sk, 0, flags);
}

/* Reported under the socket's lock: another process than the last sender writes from here on. */
static __always_inline void note_writer(struct sock *sk, struct socket_state *state, __u64 task)
{
	struct writers *writers = writers_of(sk, state);
	if (!writers)
		return;
	__u32 from = BPF_CORE_READ((struct tcp_sock *)sk, write_seq);
	/* Whatever may still be in flight before is the last sender's. */
	if (!writers->count)
		mark_writer(writers, state->sender, from - (1U << 30));
	mark_writer(writers, task, from);
}

/* Who wrote the byte with this sequence number; 0: nobody knows any more. The marks are in the order of the stream. */
static __always_inline __u64 writer_of(struct writers *writers, __u32 sequence)
{
	__u32 end = writers->count, length = end < WRITER_MARKS ? end : WRITER_MARKS, first = end - length;
	__u64 task = 0;
	for (int step = 0; step <= WRITER_MARKS_LOG && length; step++) {
		__u32 half = length / 2;
		if ((__s32)(sequence - writers->from[(first + half) & (WRITER_MARKS - 1)]) >= 0) {
			task = marked(writers, first + half);
			first += half + 1;
			length -= half + 1;
		} else {
			length = half;
		}
	}
	return task;
}

/*
 * Reported after the call: the running process has written so many bytes, up to here. They are its own for sure if nothing
 * else was written since the last time, and nothing before is unreported: a call that reports late, as others have written
 * since, could else take as many bytes of another's for its own.
 */
static __always_inline void note_written(struct sock *sk, struct socket_state *state, __u64 task, int written)
{
	struct writers *writers = writers_of(sk, state);
	if (!writers)
		return;
	if (__sync_lock_test_and_set(&writers->busy, 1)) {
		__sync_fetch_and_add(&writers->late, written);
		return;
	}
	__u32 end = BPF_CORE_READ((struct tcp_sock *)sk, write_seq);
	if (!writers->count) {
		mark_writer(writers, state->sender, end - written - (1U << 30));
		writers->end = end - written;
	}
	__u32 late = __sync_lock_test_and_set(&writers->late, 0);
	__s32 before = writers->unreported;
	__s32 unreported = before + (__s32)(end - writers->end - written - late);
	__u64 writer = before || late || unreported ? 0 : task;
	if (marked(writers, writers->count - 1) != writer)
		mark_writer(writers, writer, writers->end);
	writers->end = end;
	/* Less than nothing: of a call before the first that was noted. */
	writers->unreported = unreported > 0 ? unreported : 0;
	__sync_lock_test_and_set(&writers->busy, 0);
}
