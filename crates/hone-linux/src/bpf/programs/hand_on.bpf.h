/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What can give a process's sockets to others besides fork, exec and its end (processes.bpf.h): counted, so that its holdings are
 * no longer sure (state/holder.h).
 */
#pragma once

#include "../state/holder.h"

#define SOL_SOCKET 1
#define SCM_RIGHTS 1

struct iovec {
	void *base;
	__u64 length;
};

struct user_message { /* struct msghdr of the system call interface, 64 bits */
	void *name;
	int name_length;
	struct iovec *parts;
	__u64 count;
	void *control;
	__u64 control_length;
	unsigned int flags;
};

struct control_head { /* struct cmsghdr */
	__u64 length;
	int level;
	int type;
};

/* Whether descriptors are among the heads from `at` to `end`; `of_kernel`: the kernel has copied them. */
static __always_inline bool has_descriptors(__u64 at, __u64 end, bool of_kernel)
{
	for (int index = 0; index < 4 && at + sizeof(struct control_head) <= end; index++) {
		struct control_head head;
		if (of_kernel ? bpf_probe_read_kernel(&head, sizeof(head), (void *)at) :
				bpf_probe_read_user(&head, sizeof(head), (void *)at))
			return false;
		if (head.level == SOL_SOCKET && head.type == SCM_RIGHTS)
			return true;
		if (head.length < sizeof(head) || head.length > 65536)
			return false;
		at += (head.length + 7) & ~7ULL;
	}
	return false;
}

static __always_inline int descriptors_given(void)
{
	__sync_fetch_and_add(handed_on_by(bpf_get_current_pid_tgid() >> 32), HANDED_TO_PROCESS);
	return 0;
}

static __always_inline int message_passes(struct msghdr *message)
{
	__u64 at = (__u64)BPF_CORE_READ(message, msg_control);
	return has_descriptors(at, at + BPF_CORE_READ(message, msg_controllen), true) ? descriptors_given() : 0;
}

/* Each message that has such heads, before the kernel looks at its descriptors: sendmsg(), sendmmsg(), io_uring. */
SEC("fentry/__scm_send")
int TRACING(descriptors_sent, struct socket *socket, struct msghdr *message)
{
	return message_passes(message);
}

/* And before anybody can receive them: a task that loses its CPU within the one program does not have the other left out. */
SEC("fexit/__scm_send")
int TRACING(descriptors_sent_again, struct socket *socket, struct msghdr *message)
{
	return message_passes(message);
}

/*
 * The same without trampolines: sendmsg() with descriptors, the only common way but fork to give a socket away. While it
 * is attached, every system call of every task is slower.
 */
SEC("tp/syscalls/sys_enter_sendmsg")
int message_sent(struct trace_event_raw_sys_enter *context)
{
	struct user_message message;
	if (bpf_probe_read_user(&message, sizeof(message), (void *)context->args[1]) || !message.control)
		return 0;
	__u64 at = (__u64)message.control;
	return has_descriptors(at, at + message.control_length, false) ? descriptors_given() : 0;
}
