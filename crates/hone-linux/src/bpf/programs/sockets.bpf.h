/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* When sockets open and close, connections are accepted and end; and the sockets that are open when the sensor starts. */
#pragma once

#include "../state/connection.h"

SEC("cgroup/sock_create")
int socket_created(struct bpf_sock *socket)
{
	__u64 cookie = bpf_get_socket_cookie(socket);
	struct holder holder = sole_holder(current_task_word());
	struct socket_state *state = bpf_sk_storage_get(&sockets, socket, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (state)
		own_socket(state, cookie, holder, 0);
	send_socket(RECORD_SOCKET_OPENED, cookie, holder.task, 0, 0);
	return 1;
}

/*
 * The last process has let go. What TCP still has to say (data in the send buffer, the closing handshake) belongs to
 * the connection, so a TCP connection that goes on is closed in socket_state_changed. A reset can end it meanwhile on
 * another processor, which looks at `ended` before it changes the state: so the state is read first here.
 */
SEC("cgroup/sock_release")
int socket_released(struct bpf_sock *socket)
{
	struct socket_state *state = bpf_sk_storage_get(&sockets, socket, 0, 0);
	bool tcp = socket->protocol == IPPROTO_TCP && socket->type == SOCK_STREAM;
	bool lives_on = tcp && socket->state != TCP_CLOSE && socket->state != TCP_LISTEN;
	__u64 cookie = bpf_get_socket_cookie(socket);
	bool owned = state && state->cookie == cookie;
	/* What accept() had it send was seen to be its process's before accept() was noted: then nothing has taken the note since. */
	if (owned && state->flags & SOCKET_ACCEPTED)
		bpf_map_delete_elem(&accepted, &cookie);
	if (state && lives_on && !(__sync_fetch_and_or(&state->ended, END_RELEASED) & END_CLOSED))
		return 1;
	/* Its other end may have closed it before it was accepted, and nothing passes since. */
	if (tcp && !owned)
		bpf_map_delete_elem(&accepted, &cookie);
	send_socket(RECORD_SOCKET_CLOSED, cookie, current_task_word(), 0, 0);
	return 1;
}

SEC("tp_btf/inet_sock_set_state")
int TRACING(socket_state_changed, struct sock *sk, int old_state, int new_state)
{
	if (new_state != TCP_ESTABLISHED && new_state != TCP_CLOSE)
		return 0;
	struct socket_state *state = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!state)
		return 0;
	if (new_state == TCP_ESTABLISHED) {
		/* A socket may connect more than once. */
		if (state->ended & END_CLOSED)
			__sync_fetch_and_and(&state->ended, ~END_CLOSED);
		state->read = KNOWN | BPF_CORE_READ((struct tcp_sock *)sk, copied_seq);
		state->former = state->waits_from = 0;
	}
	bool established = old_state == TCP_SYN_RECV && new_state == TCP_ESTABLISHED;
	if (!established && new_state != TCP_CLOSE)
		return 0;
	__u64 cookie = bpf_get_socket_cookie(sk);
	if (new_state == TCP_CLOSE) {
		connection_done(state, cookie);
		return 0;
	}
	bool owned = is_owned(state, cookie);
	struct last_packet *last = last_packet();
	if (last && is_opened_by(sk, last))
		note_opening(last, state, cookie);
	if (!owned)
		send_socket(RECORD_SOCKET_OPENED, cookie, is_sure(&state->holder) ? state->holder.task : 0, 0, 0);
	return 0;
}

/*
 * The kernel leaves a tracepoint's program out where it interrupts itself, as timers and packets do that end connections:
 * then the end would never be reported. Programs on cgroups are never left out. So of connections that begin while this
 * runs, it reports the end as well; whichever of the two comes second reports nothing. `reply` stays 0, which changes no setting of TCP.
 */
SEC("sockops")
int connection_changed(struct bpf_sock_ops *change)
{
	switch (change->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(change, change->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		return 1;
	case BPF_SOCK_OPS_STATE_CB:
		break;
	default:
		return 1;
	}
	struct bpf_sock *socket = change->sk;
	if (change->args[1] != TCP_CLOSE || !socket)
		return 1;
	struct socket_state *state = bpf_sk_storage_get(&sockets, socket, 0, 0);
	if (state)
		connection_done(state, bpf_get_socket_cookie(change));
	return 1;
}

/* What a descriptor of the running process stands for; NULL: nothing. */
static __always_inline struct file *file_of(struct task_struct *task, unsigned long fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	if (fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	struct file **files = BPF_CORE_READ(table, fd);
	struct file *file = NULL;
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return file;
}

/* The listener by which `holder` has just accepted; if nobody else has it, it is its sure holder from now on. */
static __always_inline void note_listener(struct file *file, __u64 listener, struct holder *holder)
{
	struct socket *socket = file ? BPF_CORE_READ(file, private_data) : NULL;
	struct sock *sk = socket ? BPF_CORE_READ(socket, sk) : NULL;
	if (sk && BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) == listener && file_references(file) == 1)
		bpf_map_update_elem(&listeners, &listener, holder, BPF_ANY);
}

/* accept() has made a file of a connection of this listener's: note who has the connection now. */
static __always_inline int socket_accepted(struct task_struct *task, struct file *listens, struct file *file)
{
	/* accept() has just made this file, so its private data is a socket (unless another thread closed it already). */
	struct socket *socket = BPF_CORE_READ(file, private_data);
	struct sock *sk = BPF_CORE_READ(socket, sk);
	if (!is_internet(BPF_CORE_READ(sk, __sk_common.skc_family)))
		return 0;
	__u64 cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	if (!cookie)
		return 0; /* nothing was sent or received yet: its first use reports the owner */
	struct holder holder = sole_holder(task_word(task));
	__u64 listener = settle_handshake(sk, holder.task);
	if (listener)
		note_listener(listens, listener, &holder);
	if (file_references(file) > 1)
		holder.handed_on |= NOT_SURE;
	bpf_map_update_elem(&accepted, &cookie, &holder, BPF_ANY);
	send_socket(RECORD_SOCKET_OPENED, cookie, holder.task, OWNS_ACCEPTED, 0);
	return 0;
}

/* Before the file has a descriptor. Of accept(), accept4() and io_uring. */
SEC("fexit/do_accept")
int TRACING(connection_accepted, struct file *listens)
{
	__u64 made = 0;
	/* Or an error's negative number. */
	if (bpf_get_func_ret(ctx, &made) || !made || made >= (__u64)-4095)
		return 0;
	return socket_accepted((void *)bpf_get_current_task(), listens, (struct file *)made);
}

/* The same without trampolines: accept() has returned descriptor `fd`. While it is attached, every system call is slower. */
static __always_inline int descriptor_accepted(long fd)
{
	if (fd < 0)
		return 0;
	struct task_struct *task = (void *)bpf_get_current_task();
	struct file *file = file_of(task, fd);
	if (!file)
		return 0;
	/* The call's first argument: the listener's descriptor. */
	struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	return socket_accepted(task, file_of(task, PT_REGS_PARM1_SYSCALL_OF(registers)), file);
}

SEC("tp/syscalls/sys_exit_accept")
int accept_returned(struct trace_event_raw_sys_exit *context)
{
	return descriptor_accepted(context->ret);
}

SEC("tp/syscalls/sys_exit_accept4")
int accept4_returned(struct trace_event_raw_sys_exit *context)
{
	return descriptor_accepted(context->ret);
}

/*
 * The sockets that are open when the sensor starts. All other programs are attached before this is read, and what
 * they have learned by then is newer, so it is never overwritten.
 */
SEC("iter/task_file")
int open_sockets(struct bpf_iter__task_file *context)
{
	struct file *file = context->file;
	struct task_struct *task = context->task;
	if (!file || !task)
		return 0;
	struct socket *socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	struct sock *sk = socket->sk;
	if (!sk || !is_internet(sk->__sk_common.skc_family))
		return 0;
	struct socket_state *state = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!state)
		return 0;
	__u64 cookie = bpf_get_socket_cookie(sk);
	if (state->cookie != cookie) {
		struct holder holder = sole_holder(task_word(task));
		/* One of the references is the iterator's. */
		if (file_references(file) > 2)
			holder.handed_on |= NOT_SURE;
		own_socket(state, cookie, holder, 0);
	}
	struct socket_record record = {
		.kind = RECORD_SOCKET_OPENED,
		.time = now(),
		.connection = cookie,
		.task = state->holder.task,
	};
	bpf_seq_write(context->meta->seq, &record, sizeof(record));
	return 0;
}
