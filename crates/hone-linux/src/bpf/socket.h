/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Sockets: who made, accepted and last used each. The state lives in the socket itself and dies with it. A listener's
 * child inherits a copy (BPF_F_CLONE); as the copy holds the listener's cookie, a cookie that is not the socket's own
 * marks a connection that no process has accepted yet.
 */
#pragma once

#include "common.h"

enum socket_flags {
	SOCKET_SENT = 1, /* `sender` was seen to send, not only to own */
	SOCKET_RECEIVED = 2,
	SOCKET_ACCEPTED = 4,
	SOCKET_RELEASED = 8, /* no process holds it; TCP is still busy with it */
};

struct socket_state {
	__u64 cookie;
	__u64 sender; /* tasks */
	__u64 receiver;
	__u64 flags;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct socket_state);
} sockets SEC(".maps");

/* Cookie of an accepted connection -> task, until a program that may write socket storage meets the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u64);
} accepted SEC(".maps");

static __always_inline void send_socket(__u32 kind, __u64 connection, __u64 task)
{
	struct socket_record *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	if (!record) {
		count_lost(LOST_CONNECTIONS);
		return;
	}
	record->kind = kind;
	record->unused = 0;
	record->time = now();
	record->connection = connection;
	record->task = task;
	bpf_ringbuf_submit(record, wake_flags(bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA)));
}

static __always_inline void own_socket(struct socket_state *state, __u64 cookie, __u64 task, __u64 flags)
{
	state->sender = task;
	state->receiver = task;
	/* A connection can be accepted and let go of before its acceptance is noted here. */
	state->flags = flags | (state->flags & SOCKET_RELEASED);
	state->cookie = cookie;
}

/* If a process has accepted this listener's child meanwhile, it owns it now. */
static __always_inline void adopt_accepted(struct socket_state *state, __u64 cookie)
{
	__u64 *task = bpf_map_lookup_elem(&accepted, &cookie);
	if (!task)
		return;
	own_socket(state, cookie, *task, SOCKET_ACCEPTED);
	bpf_map_delete_elem(&accepted, &cookie);
}

static __always_inline bool is_internet(__u16 family)
{
	return family == AF_INET || family == AF_INET6;
}

SEC("cgroup/sock_create")
int socket_created(struct bpf_sock *socket)
{
	__u64 cookie = bpf_get_socket_cookie(socket);
	__u64 task = current_task_word();
	struct socket_state *state = bpf_sk_storage_get(&sockets, socket, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (state)
		own_socket(state, cookie, task, 0);
	send_socket(RECORD_SOCKET_OPENED, cookie, task);
	return 1;
}

/*
 * The last process has let go. What TCP still has to say (data in the send buffer, the closing handshake) belongs to
 * the connection, so a TCP connection that goes on is closed in socket_state_changed.
 */
SEC("cgroup/sock_release")
int socket_released(struct bpf_sock *socket)
{
	struct socket_state *state = bpf_sk_storage_get(&sockets, socket, 0, 0);
	bool lives_on = socket->protocol == IPPROTO_TCP && socket->type == SOCK_STREAM && socket->state != TCP_CLOSE &&
			socket->state != TCP_LISTEN;
	if (state && lives_on)
		state->flags |= SOCKET_RELEASED;
	else
		send_socket(RECORD_SOCKET_CLOSED, bpf_get_socket_cookie(socket), current_task_word());
	return 1;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(socket_state_changed, struct sock *sk, int old_state, int new_state)
{
	bool established = old_state == TCP_SYN_RECV && new_state == TCP_ESTABLISHED;
	if (!established && new_state != TCP_CLOSE)
		return 0;
	struct socket_state *state = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!state)
		return 0;
	__u64 cookie = bpf_get_socket_cookie(sk);
	if (state->cookie != cookie)
		adopt_accepted(state, cookie);
	bool waiting = state->cookie != cookie;
	if (established && waiting)
		send_socket(RECORD_SOCKET_OPENED, cookie, state->receiver);
	else if (new_state == TCP_CLOSE && (waiting || state->flags & SOCKET_RELEASED))
		send_socket(RECORD_SOCKET_CLOSED, cookie, state->receiver);
	return 0;
}

/* The running process sends on, or receives from, a socket. */
static __always_inline int socket_used(struct sock *sk, bool receives)
{
	if (!is_internet(sk->__sk_common.skc_family))
		return 0;
	__u64 task = current_task_word();
	if (!task)
		return 0;
	struct socket_state *state = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!state)
		return 0;
	__u64 cookie = bpf_get_socket_cookie(sk);
	if (state->cookie != cookie) {
		own_socket(state, cookie, task, SOCKET_ACCEPTED);
		send_socket(RECORD_SOCKET_OPENED, cookie, task);
	}
	__u64 flag = receives ? SOCKET_RECEIVED : SOCKET_SENT;
	__u64 *user = receives ? &state->receiver : &state->sender;
	/* Written only when it changes: the line is shared with the CPU that receives. */
	if (*user != task)
		*user = task;
	if (!(state->flags & flag))
		state->flags |= flag;
	return 0;
}

/* Kernels from 6.3 tell when a send or receive returns; before that the trampolines below do at its start. */
SEC("tp_btf/sock_send_length")
int BPF_PROG(socket_sent, struct sock *sk)
{
	return socket_used(sk, false);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(socket_received, struct sock *sk)
{
	return socket_used(sk, true);
}

SEC("fentry/inet_sendmsg")
int BPF_PROG(socket_sends4, struct socket *socket)
{
	struct sock *sk = socket->sk;
	return sk ? socket_used(sk, false) : 0;
}

SEC("fentry/inet6_sendmsg")
int BPF_PROG(socket_sends6, struct socket *socket)
{
	struct sock *sk = socket->sk;
	return sk ? socket_used(sk, false) : 0;
}

SEC("fentry/inet_recvmsg")
int BPF_PROG(socket_receives4, struct socket *socket)
{
	struct sock *sk = socket->sk;
	return sk ? socket_used(sk, true) : 0;
}

SEC("fentry/inet6_recvmsg")
int BPF_PROG(socket_receives6, struct socket *socket)
{
	struct sock *sk = socket->sk;
	return sk ? socket_used(sk, true) : 0;
}

/* accept() has returned descriptor `fd`: note who has the connection now. */
static __always_inline int socket_accepted(long fd)
{
	if (fd < 0)
		return 0;
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	if (fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	struct file **files = BPF_CORE_READ(table, fd);
	struct file *file = NULL;
	if (bpf_probe_read_kernel(&file, sizeof(file), files + fd) || !file)
		return 0;
	/* accept() has just made this file, so its private data is a socket (unless another thread closed it already). */
	struct socket *socket = BPF_CORE_READ(file, private_data);
	struct sock *sk = BPF_CORE_READ(socket, sk);
	if (!is_internet(BPF_CORE_READ(sk, __sk_common.skc_family)))
		return 0;
	__u64 cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	if (!cookie)
		return 0; /* nothing was sent or received yet: its first use tells */
	__u64 word = task_word(task);
	bpf_map_update_elem(&accepted, &cookie, &word, BPF_ANY);
	send_socket(RECORD_SOCKET_OPENED, cookie, word);
	return 0;
}

SEC("tp/syscalls/sys_exit_accept")
int accept_returned(struct trace_event_raw_sys_exit *context)
{
	return socket_accepted(context->ret);
}

SEC("tp/syscalls/sys_exit_accept4")
int accept4_returned(struct trace_event_raw_sys_exit *context)
{
	return socket_accepted(context->ret);
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
	if (state->cookie != cookie)
		own_socket(state, cookie, task_word(task), 0);
	struct socket_record record = {
		.kind = RECORD_SOCKET_OPENED,
		.time = now(),
		.connection = cookie,
		.task = state->receiver,
	};
	bpf_seq_write(context->meta->seq, &record, sizeof(record));
	return 0;
}
