/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Process monitor: fork, exec, exit, and the processes that run already. */
#pragma once

#include "../selection.h"
#include "../state/holder.h"

#define CGROUP_MAX 1024
#define CGROUP_DEPTH 64
#define PATH_MAX 4096
#define PATH_DEPTH 128
#define NAME_MAX 256 /* with its NUL */
#define CTIME_QUERIED (1u << 31) /* I_CTIME_QUERIED in include/linux/fs.h: a mark, from 6.13 on */
#define ARGUMENTS_MAX 16384 /* an iterator's buffer, 32 KiB, must hold a whole record */

struct process_buffer {
	struct process_record head;
	__u8 data[CGROUP_MAX + PATH_MAX + NAME_MAX + ARGUMENTS_MAX];
};

/* Programs that use it keep their CPU meanwhile (TRACING). The iterator may sleep, so it has a buffer of its own. */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct process_buffer);
} process_buffers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct process_buffer);
} iterator_buffer SEC(".maps");

struct path_walk {
	struct process_buffer *buffer;
	struct dentry *dentry;
	struct mount *mount;
	__u32 length;
};

/* One step from a file towards the root: its name, or from the root of a mount to the place it is mounted on. */
static long walk_up(__u32 index, void *context)
{
	struct path_walk *walk = context;
	struct dentry *dentry = walk->dentry;
	struct mount *mount = walk->mount;
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

	if (dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
		struct mount *above = BPF_CORE_READ(mount, mnt_parent);
		if (above == mount)
			return 1;
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->mount = above;
		return 0;
	}
	__u32 at = walk->length;
	if (at > CGROUP_MAX + PATH_MAX)
		return 1;
	long length = bpf_probe_read_kernel_str(&walk->buffer->data[at], NAME_MAX, BPF_CORE_READ(dentry, d_name.name));
	if (length <= 0)
		return 1;
	walk->length = at + length;
	walk->dentry = parent;
	return dentry == parent; /* a file that stands in no directory: memfd_create(2) */
}

/* The names of `file` from leaf to root, at `at` in the data; returns where they end, at most CGROUP_MAX + PATH_MAX. */
static __always_inline __u32 read_path(struct process_buffer *buffer, struct file *file, __u32 at)
{
	if (!file)
		return at;
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);
	struct path_walk walk = {
		.buffer = buffer,
		.dentry = BPF_CORE_READ(file, f_path.dentry),
		.mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt),
		.length = at,
	};
	bpf_loop(PATH_DEPTH, walk_up, &walk, 0);
	return walk.length > CGROUP_MAX + PATH_MAX ? CGROUP_MAX + PATH_MAX : walk.length;
}

/*
 * The inode in the upper layer of an inode of overlayfs; NULL: it is not there, so that nobody can write to it. It follows the
 * inode in struct ovl_inode (fs/overlayfs/ovl_entry.h, since 4.13), a type that modules have, not the kernel.
 */
static __always_inline struct inode *upper_inode(struct inode *inode)
{
	struct dentry *upper = NULL;

	bpf_probe_read_kernel(&upper, sizeof(upper), (void *)inode + bpf_core_type_size(struct inode));
	return upper ? BPF_CORE_READ(upper, d_inode) : NULL;
}

/* Which file it is, and when it was changed last. */
static __always_inline void identify_file(struct process_record *head, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	if (!inode)
		return;
	head->inode = BPF_CORE_READ(inode, i_ino);
	head->device = BPF_CORE_READ(inode, i_sb, s_dev);
	head->file_system = BPF_CORE_READ(inode, i_sb, s_magic);
	if (head->file_system == OVERLAYFS_SUPER_MAGIC) {
		/* Its own copy of the time can be an older one. */
		struct inode *upper = upper_inode(inode);
		inode = upper ?: inode;
		head->file_system = BPF_CORE_READ(inode, i_sb, s_magic);
	}
	struct inode___hidden *hidden = (void *)inode;
	struct inode___old *old = (void *)inode;
	head->size = BPF_CORE_READ(inode, i_size);
	if (bpf_core_field_exists(inode->i_ctime_sec)) {
		head->changed = BPF_CORE_READ(inode, i_ctime_sec);
		head->changed_nanos = BPF_CORE_READ(inode, i_ctime_nsec) & ~CTIME_QUERIED;
	} else if (bpf_core_field_exists(hidden->__i_ctime)) {
		head->changed = BPF_CORE_READ(hidden, __i_ctime.tv_sec);
		head->changed_nanos = BPF_CORE_READ(hidden, __i_ctime.tv_nsec);
	} else {
		head->changed = BPF_CORE_READ(old, i_ctime.tv_sec);
		head->changed_nanos = BPF_CORE_READ(old, i_ctime.tv_nsec);
	}
}

struct cgroup_walk {
	struct process_buffer *buffer;
	struct kernfs_node *node;
	__u32 length;
};

static __always_inline struct kernfs_node *node_above(struct kernfs_node *node)
{
	struct kernfs_node___rcu *newer = (void *)node;

	if (bpf_core_field_exists(newer->__parent))
		return BPF_CORE_READ(newer, __parent);
	return BPF_CORE_READ(node, parent);
}

/* One step from a cgroup towards the root, which has no name. */
static long cgroup_up(__u32 index, void *context)
{
	struct cgroup_walk *walk = context;
	struct kernfs_node *node = walk->node;
	struct kernfs_node *above = node_above(node);
	__u32 at = walk->length;

	if (!above || at > CGROUP_MAX)
		return 1;
	long length = bpf_probe_read_kernel_str(&walk->buffer->data[at], NAME_MAX, BPF_CORE_READ(node, name));
	if (length <= 0)
		return 1;
	walk->length = at + length;
	walk->node = above;
	return 0;
}

/* The names of the task's cgroup (v2) from leaf to root, at the start of the data; returns their bytes, at most CGROUP_MAX. */
static __always_inline __u32 read_cgroup(struct process_buffer *buffer, struct task_struct *task)
{
	struct cgroup_walk walk = { .buffer = buffer, .node = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn) };

	bpf_loop(CGROUP_DEPTH, cgroup_up, &walk, 0);
	return walk.length > CGROUP_MAX ? CGROUP_MAX : walk.length;
}

/* The process id in the task's own namespace; 0 if that is the initial one. */
static __always_inline __u32 namespace_pid(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid *numbers = (void *)pid + bpf_core_field_offset(struct pid, numbers);

	if (!pid || !level)
		return 0;
	return BPF_CORE_READ((struct upid *)((void *)numbers + level * bpf_core_type_size(struct upid)), nr);
}

static __always_inline void fill_process(struct process_buffer *buffer, __u32 kind, struct task_struct *task)
{
	struct process_record *head = &buffer->head;
	__builtin_memset(head, 0, sizeof(*head));
	head->kind = kind;
	head->time = now();
	head->task = task_word(task);
	head->parent = BPF_CORE_READ(task, real_parent, tgid);
	head->user = BPF_CORE_READ(task, cred, euid.val);
	head->group = BPF_CORE_READ(task, cred, egid.val);
}

/* What a process that starts has besides: which program of the boot it is, its namespaces and its cgroup; returns the bytes of the latter. */
static __always_inline __u32 place_process(struct process_buffer *buffer, struct task_struct *task)
{
	struct process_record *head = &buffer->head;
	__u32 cgroup = read_cgroup(buffer, task);

	head->cgroup = cgroup;
	head->namespace_pid = namespace_pid(task);
	head->network = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	head->born = BPF_CORE_READ(task, group_leader, start_boottime);
	head->executions = BPF_CORE_READ(task, self_exec_id);
	return cgroup;
}

/* A kernel thread's name instead of a path; returns where it ends, or `at` for other processes. */
static __always_inline __u32 name_kernel_thread(struct process_buffer *buffer, struct task_struct *task, __u32 at)
{
	if (!(BPF_CORE_READ(task, flags) & PF_KTHREAD))
		return at;
	buffer->head.flags = PROCESS_KERNEL_THREAD;
	buffer->head.path = sizeof(task->comm);
	bpf_probe_read_kernel(&buffer->data[at], sizeof(task->comm), &task->comm);
	return at + sizeof(task->comm);
}

static __always_inline void send_process(struct process_buffer *buffer, __u32 data_length)
{
	if (data_length > sizeof(buffer->data))
		data_length = sizeof(buffer->data);
	__u64 filled = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	if (bpf_ringbuf_output(&events, buffer, sizeof(buffer->head) + data_length, wake_flags(filled)))
		count_lost(LOST_PROCESSES);
}

static __always_inline struct process_buffer *process_buffer(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&process_buffers, &zero);
}

/*
 * Each of the three events has two programs, of which the first that runs reports it. Where the kernel leaves one of them out
 * (TRACING in common.h), it would have to leave out the other at the same time for a process to be missing.
 */
#define REPORTED 65536
volatile __u64 reported[REPORTED]; /* the latest report of each process, at its id modulo the size */

enum process_event {
	EVENT_FORK = 1,
	EVENT_EXEC = 2,
	EVENT_EXIT = 3,
};

/* Whether this is the first of the two programs. `number` distinguishes events of one kind and process. */
static __always_inline bool is_first_report(__u64 task, enum process_event event, __u64 number)
{
	volatile __u64 *latest = &reported[task & (REPORTED - 1)];
	__u64 report = task ^ (__u64)event << 62 ^ number << 32;
	if (*latest == report)
		return false;
	*latest = report;
	return true;
}

static __always_inline int process_forks(struct task_struct *parent, struct task_struct *child)
{
	if (child->pid != child->tgid || !is_first_report(task_word(child), EVENT_FORK, 0))
		return 0; /* a thread, or reported */
	/* The child has copies of the parent's descriptors. */
	__sync_fetch_and_add(handed_on_by(parent->tgid), HANDED_TO_PROCESS);
	struct process_buffer *buffer = process_buffer();
	if (!buffer)
		return 0;
	fill_process(buffer, RECORD_PROCESS_FORKED, child);
	send_process(buffer, name_kernel_thread(buffer, child, place_process(buffer, child)));
	return 0;
}

SEC("tp_btf/sched_process_fork")
int TRACING(process_forked, struct task_struct *parent, struct task_struct *child)
{
	return process_forks(parent, child);
}

SEC("tp_btf/sched_process_fork")
int TRACING(process_forked_again, struct task_struct *parent, struct task_struct *child)
{
	return process_forks(parent, child);
}

static __always_inline int process_executes(struct task_struct *task, struct linux_binprm *binprm)
{
	if (!is_first_report(task_word(task), EVENT_EXEC, task->self_exec_id))
		return 0;
	/* Its packets are wanted until the sensor says otherwise of the new program. */
	executed[task->tgid & (EXECUTED - 1)] = now();
	/* The new program has the old one's descriptors. */
	__sync_fetch_and_add(handed_on_by(task->tgid), HANDED_TO_PROGRAM);
	struct process_buffer *buffer = process_buffer();
	if (!buffer)
		return 0;
	fill_process(buffer, RECORD_PROCESS_STARTED, task);
	__u32 cgroup = place_process(buffer, task);
	__u32 end = read_path(buffer, binprm->file, cgroup);
	identify_file(&buffer->head, binprm->file);
	__u64 start = BPF_CORE_READ(task, mm, arg_start);
	__u64 length = BPF_CORE_READ(task, mm, arg_end) - start;
	__u32 arguments = length > ARGUMENTS_MAX ? ARGUMENTS_MAX : length;
	/* The kernel has just written these pages, so they are resident. */
	if (bpf_probe_read_user(&buffer->data[end], arguments, (void *)start))
		arguments = 0;
	buffer->head.path = end - cgroup;
	buffer->head.arguments = arguments;
	send_process(buffer, end + arguments);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int TRACING(process_executed, struct task_struct *task, int old_pid, struct linux_binprm *binprm)
{
	return process_executes(task, binprm);
}

SEC("tp_btf/sched_process_exec")
int TRACING(process_executed_again, struct task_struct *task, int old_pid, struct linux_binprm *binprm)
{
	return process_executes(task, binprm);
}

static __always_inline int process_exits(struct task_struct *task)
{
	if (task->signal->live.counter != 0 || !is_first_report(task_word(task), EVENT_EXIT, 0))
		return 0; /* other threads go on, or reported */
	/* What a process leaves behind, those have to whom it gave copies. */
	__sync_fetch_and_add(handed_on_by(task->tgid), HANDED_TO_PROCESS);
	struct process_buffer *buffer = process_buffer();
	if (!buffer)
		return 0;
	fill_process(buffer, RECORD_PROCESS_ENDED, task);
	send_process(buffer, 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int TRACING(process_exited, struct task_struct *task)
{
	return process_exits(task);
}

SEC("tp_btf/sched_process_exit")
int TRACING(process_exited_again, struct task_struct *task)
{
	return process_exits(task);
}

/* The processes that run when the sensor starts; the tracepoints are attached before it is read. */
SEC("iter.s/task")
int running_processes(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task;
	__u32 zero = 0;
	struct process_buffer *buffer = bpf_map_lookup_elem(&iterator_buffer, &zero);

	if (!task || !buffer || task->pid != task->tgid || task->signal->live.counter == 0)
		return 0;
	fill_process(buffer, RECORD_PROCESS_STARTED, task);
	buffer->head.time = task->start_boottime;
	__u32 cgroup = place_process(buffer, task), arguments = 0;
	__u32 end = name_kernel_thread(buffer, task, cgroup);
	struct mm_struct *mm = task->mm;
	if (end == cgroup && mm) {
		struct file *file = BPF_CORE_READ(mm, exe_file);
		end = read_path(buffer, file, cgroup);
		identify_file(&buffer->head, file);
		__u64 start = BPF_CORE_READ(mm, arg_start);
		__u64 length = BPF_CORE_READ(mm, arg_end) - start;
		arguments = length > ARGUMENTS_MAX ? ARGUMENTS_MAX : length;
		if (bpf_copy_from_user_task(&buffer->data[end], arguments, (void *)start, task, 0))
			arguments = 0;
	}
	if (end > CGROUP_MAX + PATH_MAX)
		end = CGROUP_MAX + PATH_MAX;
	buffer->head.path = end - cgroup;
	buffer->head.arguments = arguments;
	bpf_seq_write(context->meta->seq, buffer, sizeof(buffer->head) + end + arguments);
	return 0;
}
