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

/* sendmsg() with descriptors: the only common way but fork to give a socket away. */
SEC("tp/syscalls/sys_enter_sendmsg")
int message_sent(struct trace_event_raw_sys_enter *context)
{
	struct user_message message;
	if (bpf_probe_read_user(&message, sizeof(message), (void *)context->args[1]) || !message.control)
		return 0;
	__u64 at = 0;
	for (int index = 0; index < 4 && at + sizeof(struct control_head) <= message.control_length; index++) {
		struct control_head head;
		if (bpf_probe_read_user(&head, sizeof(head), message.control + at))
			return 0;
		if (head.level == SOL_SOCKET && head.type == SCM_RIGHTS) {
			__sync_fetch_and_add(handed_on_by(bpf_get_current_pid_tgid() >> 32), HANDED_TO_PROCESS);
			return 0;
		}
		if (head.length < sizeof(head) || head.length > 65536)
			return 0;
		at += (head.length + 7) & ~7ULL;
	}
	return 0;
}
