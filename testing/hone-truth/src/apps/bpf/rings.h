// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* io_uring: a request is a call without a system call of its own. The tracepoints' arguments are those of Linux 6.16. */
#pragma once

/* By request of io_uring, which is used again without a word. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct call);
} requests SEC(".maps");

/* include/uapi/linux/io_uring.h: numbers of operations. */
enum operation {
	OP_READV = 1,
	OP_WRITEV = 2,
	OP_SENDMSG = 9,
	OP_RECVMSG = 10,
	OP_ACCEPT = 13,
	OP_CONNECT = 16,
	OP_CLOSE = 19,
	OP_READ = 22,
	OP_WRITE = 23,
	OP_SEND = 26,
	OP_RECV = 27,
};

SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(submitted, struct io_kiocb *request)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 key = (__u64)request;
	__u32 zero = 0;
	struct call *call;

	if (!wanted(task))
		return 0;
	call = bpf_map_lookup_elem(&scratch, &zero);
	if (!call)
		return 0;
	__builtin_memset(call, 0, sizeof(*call));
	call->enter = bpf_ktime_get_boot_ns();
	call->number = BPF_CORE_READ(request, opcode);
	look(BPF_CORE_READ(request, cqe.fd), &call->ends);
	if (!call->ends.sk) {
		bpf_map_delete_elem(&requests, &key);
		return 0;
	}
	bpf_map_update_elem(&requests, &key, call, BPF_ANY);
	if (call->number == OP_CLOSE)
		simple(call, &call->ends, CLOSED, is_last(BPF_CORE_READ(request, cqe.fd)), 0);
	return 0;
}

SEC("tp_btf/io_uring_complete")
int BPF_PROG(completed, void *ring, struct io_kiocb *request, struct io_uring_cqe *entry)
{
	__u64 key = (__u64)request;
	struct call *call = bpf_map_lookup_elem(&requests, &key);
	int result;

	if (!call)
		return 0;
	result = BPF_CORE_READ(entry, res);
	switch (call->number) {
	case OP_READV:
	case OP_RECVMSG:
	case OP_READ:
	case OP_RECV:
		simple(call, &call->ends, READ, result, 0);
		break;
	case OP_WRITEV:
	case OP_SENDMSG:
	case OP_WRITE:
	case OP_SEND:
		simple(call, &call->ends, WRITE, result, 0);
		break;
	case OP_ACCEPT:
		simple(call, &call->ends, HELD, result, 0);
		accepted(call, result);
		break;
	default:
		simple(call, &call->ends, HELD, result, 0);
	}
	return 0;
}
