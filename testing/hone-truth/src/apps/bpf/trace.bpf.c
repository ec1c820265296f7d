// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The independent truth of programs that were not written for the bench: what each process of some network namespaces
 * asked the kernel to do with sockets, and what the kernel answered, at the entry and the exit of system calls and of
 * io_uring's requests. It looks at descriptors, arguments and results only; it follows no packet and no socket's use
 * inside the kernel, and shares no code with Hone's sensor.
 */
#include "kernel.h"

#define AF_INET 2
#define AF_INET6 10
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define MSG_PEEK 2
#define MSG_ERRQUEUE 0x2000
/* Messages of one recvmmsg or sendmmsg that are looked at. */
#define MESSAGES 128
#define PREFIX 48

/* What programs hand to system calls: include/linux/socket.h, as 64-bit programs lay it out. */
struct message {
	__u64 name;
	__u32 name_length;
	__u32 pad;
	__u64 parts;
	__u64 part_count;
	__u64 control;
	__u64 control_length;
	__u32 flags;
	__u32 pad2;
};
struct part {
	__u64 base;
	__u64 length;
};
struct messages {
	struct message message;
	__u32 length;
	__u32 pad;
};

enum kind {
	READ = 1,
	WRITE,
	/* The process had the socket: any other call. */
	HELD,
	/* With 1 as the result if the process has no other descriptor of it. */
	CLOSED,
	FORKED,
	ENDED,
	/* Descriptors may have come with a message over a Unix socket. */
	PASSED,
};

/* Read by trace.rs, in this order. Addresses and ports in network byte order. */
struct event {
	__u64 enter;
	__u64 exit;
	__s64 result;
	__u64 inode;
	__u32 kind;
	__u32 process;
	__u32 thread;
	__u32 flags;
	__u16 family;
	__u16 protocol;
	__u16 local_port;
	__u16 remote_port;
	__u8 local[16];
	__u8 remote[16];
	/* A datagram's other end as the program names it or is told it: a struct sockaddr_in or sockaddr_in6. */
	__u8 peer[28];
	__u32 prefix_length;
	__u8 prefix[PREFIX];
};

struct ends {
	__u64 sk;
	__u64 inode;
	__u16 family;
	__u16 protocol;
	__u16 local_port;
	__u16 remote_port;
	__u8 local[16];
	__u8 remote[16];
};

struct call {
	__u64 enter;
	__u64 number;
	__u64 arguments[6];
	struct ends ends;
	/* The descriptor that data comes from, where `ends` is what it goes to (splice). */
	struct ends from;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u8);
} namespaces SEC(".maps");

/* By thread. Some calls never return. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct call);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct call);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static bool wanted(struct task_struct *task)
{
	__u32 number = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);

	return bpf_map_lookup_elem(&namespaces, &number);
}

static struct event *begin(__u32 kind)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	__u32 zero = 0;

	if (!event) {
		__u64 *count = bpf_map_lookup_elem(&lost, &zero);

		if (count)
			__sync_fetch_and_add(count, 1);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->exit = bpf_ktime_get_boot_ns();
	event->enter = event->exit;
	return event;
}

/* Which socket a descriptor of this process is; `ends->sk` is 0 if it is none of IP. */
static __attribute__((noinline)) int look(int descriptor, struct ends *ends)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct sock *sk;
	struct socket *socket;
	struct file **table, *file = NULL;
	struct fdtable *descriptors;
	struct inode *inode;

	if (!ends)
		return 0;
	__builtin_memset(ends, 0, sizeof(*ends));
	descriptors = BPF_CORE_READ(task, files, fdt);
	if (descriptor < 0 || (__u32)descriptor >= BPF_CORE_READ(descriptors, max_fds))
		return 0;
	table = BPF_CORE_READ(descriptors, fd);
	bpf_probe_read_kernel(&file, sizeof(file), table + descriptor);
	if (!file)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	if (!sk)
		return 0;
	ends->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (ends->family != AF_INET && ends->family != AF_INET6)
		return 0;
	ends->sk = (__u64)sk;
	ends->inode = BPF_CORE_READ(inode, i_ino);
	ends->protocol = BPF_CORE_READ(sk, sk_protocol);
	ends->local_port = BPF_CORE_READ((struct inet_sock *)sk, inet_sport);
	ends->remote_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
	if (ends->family == AF_INET) {
		bpf_core_read(ends->local, 4, &sk->__sk_common.skc_rcv_saddr);
		bpf_core_read(ends->remote, 4, &sk->__sk_common.skc_daddr);
	} else {
		bpf_core_read(ends->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(ends->remote, 16, &sk->__sk_common.skc_v6_daddr);
	}
	return 1;
}

/* Descriptors of a process that are looked through. */
#define DESCRIPTORS 1024

struct search {
	struct file **table;
	struct file *file;
	__u32 count;
	__u32 besides;
	bool found;
};

static long same_file(__u32 index, struct search *search)
{
	struct file *file = NULL;

	if (index >= search->count)
		return 1;
	if (index == search->besides)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), search->table + index);
	if (file != search->file)
		return 0;
	search->found = true;
	return 1;
}

/* Whether this process has no other descriptor of the same file, so that closing this one lets go of it. */
static __attribute__((noinline)) int is_last(int descriptor)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *descriptors = BPF_CORE_READ(task, files, fdt);
	struct search search = { .besides = descriptor };

	search.count = BPF_CORE_READ(descriptors, max_fds);
	search.table = BPF_CORE_READ(descriptors, fd);
	bpf_probe_read_kernel(&search.file, sizeof(search.file), search.table + descriptor);
	bpf_loop(DESCRIPTORS, same_file, &search, 0);
	return !search.found && search.count <= DESCRIPTORS;
}

static void fill(struct event *event, const struct call *call, const struct ends *ends, __s64 result)
{
	__u64 who = bpf_get_current_pid_tgid();

	event->enter = call->enter;
	event->result = result;
	event->process = who >> 32;
	event->thread = who;
	event->inode = ends->inode;
	event->family = ends->family;
	event->protocol = ends->protocol;
	event->local_port = ends->local_port;
	event->remote_port = ends->remote_port;
	__builtin_memcpy(event->local, ends->local, 16);
	__builtin_memcpy(event->remote, ends->remote, 16);
}

static void prefix(struct event *event, __u64 base, __s64 length)
{
	__u32 size;

	if (length <= 0)
		return;
	size = length > PREFIX ? PREFIX : length;
	if (size <= PREFIX && !bpf_probe_read_user(event->prefix, size, (void *)base))
		event->prefix_length = size;
}

static void peer(struct event *event, __u64 name)
{
	if (name && bpf_probe_read_user(event->peer, 28, (void *)name))
		bpf_probe_read_user(event->peer, 16, (void *)name);
}

/* The first part of a message that is not empty, among the first few. */
static void parts(struct event *event, __u64 base, __u64 count, __s64 length)
{
	struct part part = {};

	for (int i = 0; i < 4 && i < count; i++) {
		if (bpf_probe_read_user(&part, sizeof(part), (void *)(base + i * sizeof(part))))
			return;
		if (part.length)
			break;
	}
	prefix(event, part.base, length < part.length ? length : part.length);
}

static __attribute__((noinline)) int
simple(struct call *call, const struct ends *ends, __u32 kind, __s64 result, __u64 base)
{
	struct event *event;

	if (!call || !ends)
		return 0;
	event = begin(kind);
	if (!event)
		return 0;
	fill(event, call, ends, result);
	if (base)
		prefix(event, base, result);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __attribute__((noinline)) int
vector(struct call *call, __u32 kind, __s64 result, __u64 base, __u64 count)
{
	struct event *event;

	if (!call)
		return 0;
	event = begin(kind);
	if (!event)
		return 0;
	fill(event, call, &call->ends, result);
	parts(event, base, count, result);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* recvfrom, sendto */
static __attribute__((noinline)) int named(struct call *call, __u32 kind, __s64 result)
{
	struct event *event;

	if (!call)
		return 0;
	event = begin(kind);
	if (!event)
		return 0;
	fill(event, call, &call->ends, result);
	event->flags = call->arguments[3];
	prefix(event, call->arguments[1], result);
	peer(event, call->arguments[4]);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __attribute__((noinline)) int
one_message(struct call *call, __u32 kind, __s64 result, __u64 at, __u32 flags)
{
	struct message message = {};
	struct event *event;

	if (!call)
		return 0;
	event = begin(kind);
	if (!event)
		return 0;
	bpf_probe_read_user(&message, sizeof(message), (void *)at);
	fill(event, call, &call->ends, result);
	event->flags = flags;
	parts(event, message.parts, message.part_count, result);
	peer(event, message.name);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

struct several {
	struct call *call;
	__u64 at;
	__u32 kind;
	__u32 count;
};

static long next_message(__u32 index, struct several *several)
{
	struct messages messages = {};
	__u64 at = several->at + index * sizeof(messages);

	if (index >= several->count)
		return 1;
	bpf_probe_read_user(&messages, sizeof(messages), (void *)at);
	one_message(several->call, several->kind, messages.length, at, several->call->arguments[3]);
	return 0;
}

static int descriptor_of(__u64 number, const __u64 *arguments)
{
	switch (number) {
	case __NR_epoll_ctl:
		return arguments[2];
	case __NR_read:
	case __NR_readv:
	case __NR_recvfrom:
	case __NR_recvmsg:
	case __NR_recvmmsg:
	case __NR_write:
	case __NR_writev:
	case __NR_sendto:
	case __NR_sendmsg:
	case __NR_sendmmsg:
	case __NR_sendfile:
	case __NR_accept:
	case __NR_accept4:
	case __NR_connect:
	case __NR_bind:
	case __NR_listen:
	case __NR_shutdown:
	case __NR_setsockopt:
	case __NR_getsockopt:
	case __NR_getsockname:
	case __NR_getpeername:
	case __NR_fcntl:
	case __NR_dup:
	case __NR_dup3:
#ifdef __NR_dup2
	case __NR_dup2:
#endif
	case __NR_close:
		return arguments[0];
	case __NR_splice:
		return arguments[2];
	default:
		return -1;
	}
}

SEC("tp_btf/sys_enter")
int BPF_PROG(enter, struct pt_regs *registers, long number)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u32 zero = 0, thread = bpf_get_current_pid_tgid();
	struct call *call;

	if (!wanted(task))
		return 0;
	call = bpf_map_lookup_elem(&scratch, &zero);
	if (!call)
		return 0;
	call->enter = bpf_ktime_get_boot_ns();
	call->number = number;
	call->arguments[0] = PT_REGS_PARM1_CORE_SYSCALL(registers);
	call->arguments[1] = PT_REGS_PARM2_CORE_SYSCALL(registers);
	call->arguments[2] = PT_REGS_PARM3_CORE_SYSCALL(registers);
	call->arguments[3] = PT_REGS_PARM4_CORE_SYSCALL(registers);
	call->arguments[4] = PT_REGS_PARM5_CORE_SYSCALL(registers);
	call->arguments[5] = PT_REGS_PARM6_CORE_SYSCALL(registers);
	__builtin_memset(&call->from, 0, sizeof(call->from));
	if (number == __NR_splice)
		look(call->arguments[0], &call->from);
	look(descriptor_of(number, call->arguments), &call->ends);
	if (call->ends.sk || call->from.sk || number == __NR_recvmsg)
		bpf_map_update_elem(&calls, &thread, call, BPF_ANY);
	else
		bpf_map_delete_elem(&calls, &thread);
	/* While it is still there. */
	if (number == __NR_close && call->ends.sk)
		simple(call, &call->ends, CLOSED, is_last(call->arguments[0]), 0);
	return 0;
}

/* What is known of the socket after a call that bound or connected it. */
static void again(struct call *call)
{
	__u32 one = 1;
	struct call *after = bpf_map_lookup_elem(&scratch, &one);

	if (!after)
		return;
	look(descriptor_of(call->number, call->arguments), &after->ends);
	if (after->ends.sk == call->ends.sk && after->ends.local_port)
		call->ends = after->ends;
}

static void accepted(struct call *call, __s64 result)
{
	__u32 one = 1;
	struct call *after = bpf_map_lookup_elem(&scratch, &one);

	if (!after || result < 0)
		return;
	look(result, &after->ends);
	if (after->ends.sk)
		simple(call, &after->ends, HELD, 0, 0);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(leave, struct pt_regs *registers, long result)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &thread);
	struct several several = {};

	if (!call)
		return 0;
	if (!call->ends.sk && !call->from.sk) {
		struct message message = {};

		/* A Unix socket's message: descriptors come as control data. */
		bpf_probe_read_user(&message, sizeof(message), (void *)call->arguments[1]);
		if (result >= 0 && message.control_length)
			simple(call, &call->ends, PASSED, 0, 0);
		goto out;
	}
	switch (call->number) {
	case __NR_read:
	case __NR_recvfrom:
	case __NR_recvmsg:
	case __NR_recvmmsg:
	case __NR_readv:
	case __NR_splice:
	case __NR_close:
		break;
	default:
		again(call);
	}
	switch (call->number) {
	case __NR_read:
		simple(call, &call->ends, READ, result, call->arguments[1]);
		break;
	case __NR_write:
		simple(call, &call->ends, WRITE, result, call->arguments[1]);
		break;
	case __NR_readv:
		vector(call, READ, result, call->arguments[1], call->arguments[2]);
		break;
	case __NR_writev:
		vector(call, WRITE, result, call->arguments[1], call->arguments[2]);
		break;
	case __NR_recvfrom:
		named(call, READ, result);
		break;
	case __NR_sendto:
		named(call, WRITE, result);
		break;
	case __NR_recvmsg:
		one_message(call, READ, result, call->arguments[1], call->arguments[2]);
		break;
	case __NR_sendmsg:
		one_message(call, WRITE, result, call->arguments[1], call->arguments[2]);
		break;
	case __NR_recvmmsg:
	case __NR_sendmmsg:
		several.call = call;
		several.at = call->arguments[1];
		several.kind = call->number == __NR_recvmmsg ? READ : WRITE;
		several.count = result > 0 ? result : 0;
		bpf_loop(MESSAGES, next_message, &several, 0);
		break;
	case __NR_sendfile:
		simple(call, &call->ends, WRITE, result, 0);
		break;
	case __NR_splice:
		if (call->from.sk)
			simple(call, &call->from, READ, result, 0);
		if (call->ends.sk)
			simple(call, &call->ends, WRITE, result, 0);
		break;
	case __NR_accept:
	case __NR_accept4:
		simple(call, &call->ends, HELD, result, 0);
		accepted(call, result);
		break;
	case __NR_close:
		break;
	default:
		simple(call, &call->ends, HELD, result, 0);
	}
out:
	bpf_map_delete_elem(&calls, &thread);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(forked, struct task_struct *parent, struct task_struct *child)
{
	struct event *event;

	if (!wanted(child) || BPF_CORE_READ(child, pid) != BPF_CORE_READ(child, tgid))
		return 0;
	event = begin(FORKED);
	if (!event)
		return 0;
	event->process = BPF_CORE_READ(child, tgid);
	event->result = BPF_CORE_READ(parent, tgid);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(ended, struct task_struct *task)
{
	struct event *event;

	if (!wanted(task))
		return 0;
	event = begin(ENDED);
	if (!event)
		return 0;
	event->process = BPF_CORE_READ(task, tgid);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#include "rings.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
