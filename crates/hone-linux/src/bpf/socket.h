/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Sockets: who holds, and who last used, each (state.h), and when they open and close.
 *
 * Whose an incoming packet is depends on who can read it. A socket's holder is known for sure while nothing has
 * happened by which another process could have got hold of the socket: a fork, sending a descriptor away, its end
 * (`handed_on` in holder.h counts them, for each process). After that, it is sure again once a process is seen to use
 * the socket while nobody else has its file. In between, incoming packets are sent with what will show whose they are
 * (enum wait), and the programs in usage.h tell that.
 */
#pragma once

#include "former.h"
#include "once.h"
#include "state.h"

/* Cookie of an accepted connection -> who has it, until a program that may write socket storage meets the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct holder);
} accepted SEC(".maps");

/* Handshakes that wait to be accepted from a listener that several may hold: number -> the listener's cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} handshakes SEC(".maps");

/*
 * Of the latest of them that were accepted: number -> the process that did. For what is on its way into the ring buffer
 * at that time, on another CPU.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} acceptors SEC(".maps");

/* Cookie of a listener that was unsure -> the process that accepted from it when nobody else had it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct holder);
} listeners SEC(".maps");

/* Tells the connections to one listener apart, and from what has a time as its number: ports in network byte order. */
static __always_inline __u64 handshake_number(__u32 address, __u16 remote, __u16 local)
{
	return 1ULL << 63 | (__u64)(local & 0x7FFF) << 48 | (__u64)remote << 32 | address;
}

/* A connection was accepted: the packets of its handshake that wait for that are the acceptor's. Gives the listener. */
static __always_inline __u64 settle_handshake(struct sock *sk, __u64 task)
{
	bool v6 = BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6;
	__u32 address = v6 ? BPF_CORE_READ(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[3]) :
			     BPF_CORE_READ(sk, __sk_common.skc_daddr);
	__u64 number = handshake_number(address, BPF_CORE_READ(sk, __sk_common.skc_dport),
					__builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_num)));
	__u64 *waiting = bpf_map_lookup_elem(&handshakes, &number);
	if (!waiting)
		return 0;
	__u64 listener = *waiting;
	/* Before the report: who sends a packet of the handshake meanwhile looks here afterwards. */
	bpf_map_update_elem(&acceptors, &number, &task, BPF_ANY);
	bpf_map_delete_elem(&handshakes, &number);
	send_socket(RECORD_SOCKET_USED, listener, task, SETTLES_HANDSHAKE, number);
	return listener;
}

/* If one process has accepted from this listener while nobody else had it, it is its holder. */
static __always_inline void adopt_listener(struct socket_state *state, __u64 cookie)
{
	struct holder *holder = bpf_map_lookup_elem(&listeners, &cookie);
	if (!holder)
		return;
	state->holder = *holder;
	bpf_map_delete_elem(&listeners, &cookie);
}

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

static __always_inline void own_socket(struct socket_state *state, __u64 cookie, struct holder holder, __u32 flags)
{
	state->holder = holder;
	state->sender = holder.task;
	/* What has come, and that its process has let go of it, can be known before its acceptance is noted here. */
	state->flags = flags | (state->flags & SOCKET_OPENED_BY_DATA);
	/* The last, and in order: the rest is only looked at when this is the socket's own. */
	__sync_lock_test_and_set(&state->cookie, cookie);
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

/* Whether the state is this socket's own, so that it says who holds it. Another CPU may be the one to adopt it. */
static __always_inline bool is_owned(struct socket_state *state, __u64 cookie)
{
	return state->cookie == cookie || adopt_accepted(state, cookie) || state->cookie == cookie;
}

/*
 * The running process uses a socket of its own. `connects`: nothing has come yet that a former holder could have had.
 * Gives whether it has taken the socket over from another process, or another program.
 */
static __always_inline bool take_over(struct socket_state *state, struct sock *sk, __u64 task, bool connects)
{
	bool taken = false, changed = false;
	if (state->holder.task != task || !is_sure(&state->holder)) {
		struct holder holder = holder_of(sk, task);
		changed = true;
		bool other = state->holder.task != task;
		if (other)
			state->flags &= ~SOCKET_RECEIVED;
		taken = !connects && (other || has_executed(&state->holder));
		if (taken)
			note_former(state, sk);
		state->holder = holder;
	}
	if (state->flags & SOCKET_UNUSED) {
		state->flags &= ~SOCKET_UNUSED;
		changed = true;
	}
	if (changed)
		memory_barrier();
	if (state->waiting && is_sure(&state->holder)) {
		state->waiting = 0;
		state->waits_from = 0;
		if (!connects)
			attribute_arrivals(sk);
		send_socket(RECORD_SOCKET_OPENED, state->cookie, task, OWNS_ALONE, 0);
	}
	return taken;
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
 * the connection, so a TCP connection that goes on is closed in socket_state_changed. A reset can end it meanwhile on
 * another processor, which looks at `ended` before it changes the state: so the state is read first here.
 */
SEC("cgroup/sock_release")
int socket_released(struct bpf_sock *socket)
{
	struct socket_state *state = bpf_sk_storage_get(&sockets, socket, 0, 0);
	bool tcp = socket->protocol == IPPROTO_TCP && socket->type == SOCK_STREAM;
	bool lives_on = tcp && socket->state != TCP_CLOSE && socket->state != TCP_LISTEN;
	if (state && lives_on && !(__sync_fetch_and_or(&state->ended, END_RELEASED) & END_CLOSED))
		return 1;
	__u64 cookie = bpf_get_socket_cookie(socket);
	/* Its other end may have closed it before it was accepted, and nothing passes since. */
	if (tcp && (!state || state->cookie != cookie))
		bpf_map_delete_elem(&accepted, &cookie);
	send_socket(RECORD_SOCKET_CLOSED, cookie, current_task_word(), 0, 0);
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

/* TCP is done with a connection. Told once: by the first that sees it. */
static __always_inline void connection_done(struct socket_state *state, __u64 cookie)
{
	bool owned = is_owned(state, cookie);
	__u32 before = __sync_fetch_and_or(&state->ended, END_CLOSED);
	if (before & END_CLOSED)
		return;
	if (before & END_RELEASED || !owned)
		send_socket(RECORD_SOCKET_CLOSED, cookie, state->holder.task, 0, 0);
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
 * then nobody would ever be told of the end. Programs on cgroups are never left out, so of connections that begin while
 * this runs, it tells as well; whichever comes second says nothing. `reply` stays 0, which changes no setting of TCP.
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
static __always_inline void note_listener(struct task_struct *task, __u64 listener, struct holder *holder)
{
	/* The call's first argument: the listener's descriptor. */
	struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	struct file *file = file_of(task, PT_REGS_PARM1_SYSCALL_OF(registers));
	struct socket *socket = file ? BPF_CORE_READ(file, private_data) : NULL;
	struct sock *sk = socket ? BPF_CORE_READ(socket, sk) : NULL;
	if (sk && BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) == listener && file_references(file) == 1)
		bpf_map_update_elem(&listeners, &listener, holder, BPF_ANY);
}

/* accept() has returned descriptor `fd`: note who has the connection now. */
static __always_inline int socket_accepted(long fd)
{
	if (fd < 0)
		return 0;
	struct task_struct *task = (void *)bpf_get_current_task();
	struct file *file = file_of(task, fd);
	if (!file)
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
	__u64 listener = settle_handshake(sk, holder.task);
	if (listener)
		note_listener(task, listener, &holder);
	if (file_references(file) > 1)
		holder.handed_on |= NOT_SURE;
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
