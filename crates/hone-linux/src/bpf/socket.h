/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Sockets: who holds, and who last used, each. The state lives in the socket itself and dies with it. A listener's
 * child inherits a copy (BPF_F_CLONE); as the copy holds the listener's cookie, a cookie that is not the socket's own
 * marks a connection that no process has accepted yet.
 *
 * Whose an incoming packet is depends on who can read it. A socket's holder is known for sure while nothing has
 * happened by which another process could have got hold of the socket: a fork, or sending a descriptor away
 * (`handed_on` in holder.h counts both, for each process). After that, it is sure again once a process is seen to use
 * the socket while nobody else has its file. In between, incoming packets are sent with what will show whose they are
 * (enum wait), and the programs in usage.h tell that.
 */
#pragma once

#include "common.h"
#include "holder.h"
#include "once.h"

enum socket_flags {
	SOCKET_SENT = 1, /* `sender` was seen to send, not only to hold */
	SOCKET_RECEIVED = 2, /* `holder` was seen to receive */
	SOCKET_ACCEPTED = 4,
	SOCKET_RELEASED = 8, /* no process holds it; TCP is still busy with it */
	SOCKET_UNUSED = 32, /* accepted, but not used yet: its holder may be about to hand it on */
	SOCKET_WRITERS = 16, /* several processes have written to the stream: see writers.h */
	SOCKET_OPENED_BY_DATA = 64, /* a packet with data brought it about, which nobody has read yet: see openings */
};

struct socket_state {
	__u64 cookie;
	struct holder holder;
	__u64 sender; /* task */
	__u32 flags;
	__u32 waiting; /* not 0: packets were sent that wait for what the next user does */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct socket_state);
} sockets SEC(".maps");

/* Cookie of an accepted connection -> who has it, until a program that may write socket storage meets the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct holder);
} accepted SEC(".maps");

/* The packet that brought a connection about, and came to its listener, if it has data. */
struct opening {
	__u64 listener;
	__u64 ticket; /* under which it waits there */
	__u64 end; /* sequence number behind its data */
};

/* By the connection's cookie. Of those that nobody reads, the latest. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct opening);
} openings SEC(".maps");

static __always_inline void send_socket(__u32 kind, __u64 connection, __u64 task, __u32 flags, __u64 ticket)
{
	struct socket_record *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	if (!record) {
		count_lost(LOST_CONNECTIONS);
		return;
	}
	record->kind = kind;
	record->flags = flags;
	record->time = now();
	record->connection = connection;
	record->task = task;
	record->ticket = ticket;
	bpf_ringbuf_submit(record, wake_flags(bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA)));
}

static __always_inline void own_socket(struct socket_state *state, __u64 cookie, struct holder holder, __u32 flags)
{
	state->holder = holder;
	state->sender = holder.task;
	/* A connection can be accepted and let go of before its acceptance is noted here. */
	state->flags = flags | (state->flags & (SOCKET_RELEASED | SOCKET_OPENED_BY_DATA));
	state->cookie = cookie;
}

/* If a process has accepted this listener's child meanwhile, it owns it now. */
static __always_inline bool adopt_accepted(struct socket_state *state, __u64 cookie)
{
	struct holder *holder = bpf_map_lookup_elem(&accepted, &cookie);
	if (!holder)
		return false;
	own_socket(state, cookie, *holder, SOCKET_ACCEPTED | SOCKET_UNUSED);
	bpf_map_delete_elem(&accepted, &cookie);
	return true;
}

static __always_inline bool is_internet(__u16 family)
{
	return family == AF_INET || family == AF_INET6;
}

/* The running process uses a socket of its own. */
static __always_inline void take_over(struct socket_state *state, struct sock *sk, __u64 task)
{
	if (state->holder.task != task || !is_sure(&state->holder)) {
		struct holder holder = holder_of(sk, task);
		if (state->holder.task != task)
			state->flags &= ~SOCKET_RECEIVED;
		state->holder = holder;
	}
	if (state->flags & SOCKET_UNUSED)
		state->flags &= ~SOCKET_UNUSED;
	if (state->waiting && is_sure(&state->holder)) {
		state->waiting = 0;
		send_socket(RECORD_SOCKET_OPENED, state->cookie, task, OWNS_ALONE, 0);
	}
}

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
		send_socket(RECORD_SOCKET_CLOSED, bpf_get_socket_cookie(socket), current_task_word(), 0, 0);
	return 1;
}

/* The packet that this CPU has shown to a listener last has brought about this connection. */
static __always_inline void note_opening(struct last_packet *last, struct socket_state *state, __u64 cookie)
{
	struct opening opening = { .listener = last->listener, .ticket = last->ticket, .end = last->end };
	bpf_map_update_elem(&openings, &cookie, &opening, BPF_ANY);
	state->flags |= SOCKET_OPENED_BY_DATA;
	last->ticket = 0;
}

/* Whether the data that this CPU has shown to a listener last goes to this connection. */
static __always_inline bool is_opened_by(struct sock *sk, struct last_packet *last)
{
	__u16 *ports = last->segment.ports;
	return last->ticket && ports[0] == sk->__sk_common.skc_dport &&
	       __builtin_bswap16(ports[1]) == sk->__sk_common.skc_num;
}

/* Bytes were taken out of a connection, up to here, that a packet with data brought about. */
static __always_inline void settle_opening(struct socket_state *state, __u64 cookie, __u64 task, __u32 read)
{
	struct opening *opening = bpf_map_lookup_elem(&openings, &cookie);
	if (opening && (__s32)(read - (__u32)opening->end) < 0)
		return;
	if (opening) {
		send_socket(RECORD_SOCKET_USED, opening->listener, task, SETTLES_DATAGRAM, opening->ticket);
		bpf_map_delete_elem(&openings, &cookie);
	}
	state->flags &= ~SOCKET_OPENED_BY_DATA;
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
	struct last_packet *last = established ? last_packet() : NULL;
	if (last && is_opened_by(sk, last))
		note_opening(last, state, cookie);
	bool waiting = state->cookie != cookie;
	if (established && waiting)
		send_socket(RECORD_SOCKET_OPENED, cookie, state->holder.task, 0, 0);
	else if (new_state == TCP_CLOSE && (waiting || state->flags & SOCKET_RELEASED))
		send_socket(RECORD_SOCKET_CLOSED, cookie, state->holder.task, 0, 0);
	return 0;
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
	struct holder holder = sole_holder(task_word(task));
	if (file_references(file) > 1)
		holder.handed_on = NOT_SURE;
	bpf_map_update_elem(&accepted, &cookie, &holder, BPF_ANY);
	send_socket(RECORD_SOCKET_OPENED, cookie, holder.task, OWNS_ACCEPTED, 0);
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
	if (state->cookie != cookie) {
		struct holder holder = sole_holder(task_word(task));
		/* One of the references is the iterator's. */
		if (file_references(file) > 2)
			holder.handed_on = NOT_SURE;
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
