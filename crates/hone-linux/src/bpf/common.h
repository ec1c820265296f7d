/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The ring buffer to the sensor, the counts of what it could not take, and the names of tasks. */
#pragma once

#include "kernel.h"
#include "abi.h"

/* Written by the loader before loading. */
const volatile struct {
	__u32 ring_bytes;
	__u32 trampolines; /* the programs that need them are loaded */
	__u32 writers_reported; /* a program reports who writes to a stream while its lock is held */
	__u32 whole_buffers; /* bpf_dynptr_from_skb() may be called by tracepoints' programs (6.12) */
	__u32 hidden_answers; /* programs on packets do not see a listener's answers over IPv6 (before 6.5) */
	__u32 loses_cpu; /* a task can lose its CPU within a tracing program: with trampolines, and on tracepoints from 7.0 on */
} settings = { 64 << 20, 1, 1, 1, 1, 1 };

/* Nothing reads it: the build makes Rust types of what the object's data has. */
const volatile struct {
	struct packet_record packet;
	struct socket_record socket;
	struct process_record process;
	struct packet_test packet_test;
	struct unwanted_process unwanted_process;
	enum part part;
	enum lost lost;
	enum record_kind record_kind;
	enum direction direction;
	enum method method;
	enum wait wait;
	enum settles settles;
	enum corrects corrects;
	enum owns owns;
	enum offload offload;
	enum process_flags process_flags;
	enum fact fact;
	enum selecting selecting;
	enum verdict verdict;
} shared_types = {};

/* Written by the sensor while the programs run, both at once. */
volatile struct {
	/* Bytes of a packet that are copied, 1 to 262144; 0: no packet is wanted, or not yet, and only owners are tracked. */
	__u32 capture;
	/* The number of the selection that says which packets are copied, with enum selecting (selection.h); 0: all are. */
	__u32 selecting;
} control SEC(".data") = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20); /* the loader sets it to settings.ring_bytes */
} events SEC(".maps");

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
 * A program on a tracepoint, or at the beginning of a kernel function. It keeps its CPU until it is done: while a task is off
 * its CPU in the middle of such a program, the kernel leaves the program out for all other tasks there, and what it would have
 * reported is missing. The functions are there from 6.10 and 6.14 on.
 */
extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;
extern void bpf_local_irq_save(unsigned long *) __ksym __weak;
extern void bpf_local_irq_restore(unsigned long *) __ksym __weak;

static __always_inline bool may_lose_cpu(void)
{
	return settings.loses_cpu && bpf_ksym_exists(bpf_preempt_disable) && bpf_ksym_exists(bpf_preempt_enable);
}

static __always_inline void keep_cpu(void)
{
	if (may_lose_cpu())
		bpf_preempt_disable();
}

/*
 * If the scheduler wants the CPU, bpf_preempt_enable() gives it away at once: still within the program. Not while interrupts are
 * off: then the task goes on, and leaves the CPU after the program has ended.
 */
static __always_inline void share_cpu(void)
{
	if (!may_lose_cpu())
		return;
	if (bpf_ksym_exists(bpf_local_irq_save) && bpf_ksym_exists(bpf_local_irq_restore)) {
		unsigned long interrupts;
		bpf_local_irq_save(&interrupts);
		bpf_preempt_enable();
		bpf_local_irq_restore(&interrupts);
	} else {
		bpf_preempt_enable();
	}
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

static __always_inline __u64 task_word(struct task_struct *task)
{
	return BPF_CORE_READ(task, group_leader, start_boottime) << PART_START | (__u32)BPF_CORE_READ(task, tgid);
}

extern void *bpf_rdonly_cast(const void *, __u32 type) __ksym __weak;

/*
 * The running thread. For each pointer that is read through one that the verifier trusts, it searches all types of the kernel by
 * name, several times (btf_nested_type_is_trusted); so it is told not to trust this one. From 6.2; older ones do not search.
 */
static __always_inline struct task_struct *running_thread(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	if (bpf_ksym_exists(bpf_rdonly_cast))
		task = bpf_rdonly_cast(task, bpf_core_type_id_kernel(struct task_struct));
	return task;
}

/* The process that this runs for, or 0 if that is the kernel itself (io_uring's workers are not). */
static __always_inline __u64 current_task_word(void)
{
	struct task_struct *task = running_thread();
	if (task->flags & PF_KTHREAD)
		return 0;
	return task->group_leader->start_boottime << PART_START | (__u32)task->tgid;
}

/* Whether the running process has this task's id: the cheap half of the comparison. */
static __always_inline bool has_running_id(__u64 task)
{
	return (task & ((1 << PART_START) - 1)) == bpf_get_current_pid_tgid() >> 32;
}
