/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The ring buffer to the sensor, the counts of what it could not take, and the names of tasks. */
#pragma once

#include "kernel.h"
#include "record.h"

/* Written by the loader before loading; the object's only read-only data, so it stands at offset 0 there. */
const volatile struct {
	__u32 ring_bytes;
	__u32 trampolines; /* the programs that need them are loaded */
	__u32 writers_told; /* a program tells who writes to a stream while its lock is held */
	__u32 whole_buffers; /* bpf_dynptr_from_skb() may be called by tracepoints' programs (6.12) */
	__u32 hidden_answers; /* programs on packets do not see a listener's answers over IPv6 (before 6.5) */
} settings = { 64 << 20, 1, 1, 1, 1 };

/*
 * Bytes of a packet that are copied, 1 to 262144; 0: no packet is wanted, or not yet, and only owners are tracked. Written
 * by the sensor while the programs run; the object's only writable data, so it stands at offset 0 there.
 */
volatile __u32 capture SEC(".data") = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20); /* the loader sets it to settings.ring_bytes */
} events SEC(".maps");

enum lost {
	LOST_PACKETS = 0,
	LOST_PROCESSES = 1,
	LOST_CONNECTIONS = 2,
	LOST_KINDS = 3,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOST_KINDS);
	__type(key, __u32);
	__type(value, __u64);
} losses SEC(".maps");

static __always_inline void count_lost(__u32 kind)
{
	__u64 *count = bpf_map_lookup_elem(&losses, &kind);
	if (count)
		(*count)++;
}

/*
 * A program on a tracepoint, or at the beginning of a kernel function. It keeps its CPU until it is done. While a task is off
 * its CPU in the middle of such a program, the kernel leaves the program out for all other tasks there, and what it would have
 * reported is missing. Kernels before 7.0 see to that on tracepoints by themselves; the functions are there from 6.10 on.
 */
extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

static __always_inline void keep_cpu(void)
{
	if (bpf_ksym_exists(bpf_preempt_disable) && bpf_ksym_exists(bpf_preempt_enable))
		bpf_preempt_disable();
}

static __always_inline void share_cpu(void)
{
	if (bpf_ksym_exists(bpf_preempt_disable) && bpf_ksym_exists(bpf_preempt_enable))
		bpf_preempt_enable();
}

#define TRACING(name, args...)                                                \
	name(unsigned long long *ctx);                                        \
	static __always_inline int kept_##name(unsigned long long *ctx, ##args); \
	int name(unsigned long long *ctx)                                     \
	{                                                                     \
		keep_cpu();                                                   \
		_Pragma("GCC diagnostic push")                                \
		_Pragma("GCC diagnostic ignored \"-Wint-conversion\"")        \
		kept_##name(___bpf_ctx_cast(args));                           \
		_Pragma("GCC diagnostic pop")                                 \
		share_cpu();                                                  \
		return 0;                                                     \
	}                                                                     \
	static __always_inline int kept_##name(unsigned long long *ctx, ##args)

static __always_inline __u64 now(void)
{
	return bpf_ktime_get_boot_ns();
}

/*
 * The sensor looks every few ms by itself; waking it for each record costs a quarter of the throughput. It is woken
 * early only when a quarter of the ring is filled.
 */
static __always_inline __u64 wake_flags(__u64 filled)
{
	return filled >= settings.ring_bytes / 4 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

#define PID_BITS 22

static __always_inline __u64 task_word(struct task_struct *task)
{
	return BPF_CORE_READ(task, group_leader, start_boottime) << PID_BITS | (__u32)BPF_CORE_READ(task, tgid);
}

/* The process on whose behalf this runs, or 0 if that is the kernel itself (io_uring's workers are not). */
static __always_inline __u64 current_task_word(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	if (task->flags & PF_KTHREAD)
		return 0;
	return task->group_leader->start_boottime << PID_BITS | (__u32)task->tgid;
}

/* Whether the running process has this task's id: the cheap half of the comparison. */
static __always_inline bool has_running_id(__u64 task)
{
	return (task & ((1 << PID_BITS) - 1)) == bpf_get_current_pid_tgid() >> 32;
}
