/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Whether a process is the only one that can use a socket. */
#pragma once

#include "../common.h"

/*
 * How often a process has done what can give its sockets to others, each process at its id modulo the size: in the low
 * half what hands them to another process (a fork, a descriptor that is sent, its end), in the high half what hands
 * them to another program (exec). Where two processes share a place, what one does makes the other's holdings unsure
 * for a while, which is harmless.
 */
#define HANDED_ON 65536
volatile __u64 handed_on[HANDED_ON];

#define HANDED_TO_PROCESS 1ULL
#define HANDED_TO_PROGRAM (1ULL << 32)

static __always_inline volatile __u64 *handed_on_by(__u64 task)
{
	return &handed_on[task & (HANDED_ON - 1)];
}

/* Beside a count: it is no longer compared. */
#define NOT_SURE (1ULL << 63)

/* A task that holds a socket, and its count in `handed_on` when it was seen to be the only one. */
struct holder {
	__u64 task;
	__u64 handed_on;
};

static __always_inline bool is_sure(const struct holder *holder)
{
	return holder->handed_on == *handed_on_by(holder->task);
}

/* Whether the holder's process has executed another program since. */
static __always_inline bool has_executed(const struct holder *holder)
{
	return ((holder->handed_on ^ *handed_on_by(holder->task)) & ~NOT_SURE) >> 32;
}

static __always_inline struct holder sole_holder(__u64 task)
{
	struct holder holder = { .task = task, .handed_on = *handed_on_by(task) };
	return holder;
}

static __always_inline __s64 file_references(struct file *file)
{
	struct file___ref *counted = (void *)file;
	if (bpf_core_field_exists(counted->f_ref))
		return BPF_CORE_READ(counted, f_ref.refcnt.counter) + 1;
	return BPF_CORE_READ(file, f_count.counter);
}

/* The running task, in a system call on the socket, as its holder. */
static __always_inline struct holder holder_of(struct sock *sk, __u64 task)
{
	/* Before the look at the references: a fork in between makes it unsure. */
	struct holder holder = sole_holder(task);
	struct task_struct *running = running_thread();
	struct file *file = BPF_CORE_READ(sk, sk_socket, file);
	int tables = running->files ? running->files->count.counter : 0;
	int threads = running->signal->nr_threads;
	/* One for the descriptor; a process with threads takes another for the length of a call. */
	int own = tables > 1 ? 2 : 1;
	if (!file || tables > threads || file_references(file) > own)
		holder.handed_on |= NOT_SURE;
	return holder;
}
