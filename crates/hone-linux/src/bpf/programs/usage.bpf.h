/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who sends on, and receives from, a socket; and the owners of the packets that waited for that. */
#pragma once

#include "../state/connection.h"
#include "../state/datagrams.h"
#include "../state/writers.h"

/*
 * The state of a socket that the running process uses, as its own; NULL if there is none to keep. `taken`: whether it has
 * taken the socket over.
 */
static __always_inline struct socket_state *taken_by(struct sock *sk, __u64 task, bool *taken)
{
	if (!is_internet(sk->__sk_common.skc_family) || !task)
		return NULL;
	struct socket_state *state = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!state)
		return NULL;
	__u64 cookie = socket_cookie(sk);
	if (!is_owned(state, cookie)) {
		/* The first use of a socket that was not seen to be made or accepted, as through io_uring. */
		if (state->cookie && is_tcp(sk))
			settle_handshake(sk, task);
		own_socket(state, cookie, holder_of(sk, task), SOCKET_ACCEPTED);
		send_socket(RECORD_SOCKET_OPENED, cookie, task, OWNS_ACCEPTED, 0);
	}
	*taken = take_over(state, sk, task, false);
	return state;
}

static __always_inline struct socket_state *used_by(struct sock *sk, __u64 task)
{
	bool taken;
	return taken_by(sk, task, &taken);
}

#define MSG_PEEK 2
#define MSG_ERRQUEUE 0x2000

/* `written`: how many bytes of a stream it has already appended. */
static __always_inline int socket_sends(struct sock *sk, int written)
{
	__u64 task = current_task_word();
	struct socket_state *state = used_by(sk, task);
	if (!state)
		return 0;
	bool other = state->sender != task, sent = state->flags & SOCKET_SENT;
	if (!settings.writers_reported && (state->flags & SOCKET_WRITERS || (other && sent && is_tcp(sk))))
		note_written(sk, state, task, written);
	else if (other && sent && is_tcp(sk))
		note_writer(sk, state, task);
	/* Written only when it changes: the line is shared with the CPU that receives. */
	if (other || !sent) {
		state->sender = task;
		state->flags |= SOCKET_SENT;
	}
	return 0;
}

/* A process receives; `read`: it has just taken so many bytes out; negative: it has not, or not yet. */
static __always_inline int socket_receives(struct sock *sk, int read)
{
	__u64 task = current_task_word();
	bool taken = false;
	struct socket_state *state = taken_by(sk, task, &taken);
	if (!state)
		return 0;
	if (!(state->flags & SOCKET_RECEIVED))
		state->flags |= SOCKET_RECEIVED;
	bool udp = is_udp(sk->sk_type, sk->sk_protocol);
	/* With trampolines, udp_read reports which datagram of UDP it was. */
	bool gone = read >= 0 && is_datagram(sk) && !(udp && settings.trampolines);
	if (gone && state->former)
		former_datagram_gone(state, sk, task, udp, taken);
	if (!state->waiting)
		return 0;
	/* datagram_read reports which datagram of the other kinds it was. */
	if (gone && udp)
		send_socket(RECORD_SOCKET_USED, state->cookie, task, SETTLES_NEXT_DATAGRAM | read << PART_LENGTH,
			    oldest_waiting(sk, state->cookie, udp));
	else
		send_socket(RECORD_SOCKET_USED, state->cookie, task, SETTLES_USE, 0);
	return 0;
}

/* When a send or receive returns: kernels from 6.3. */
SEC("tp_btf/sock_send_length")
int TRACING(socket_sent, struct sock *sk, int result)
{
	/* By now another process may have written to the stream. */
	if (settings.writers_reported && is_tcp(sk)) {
		used_by(sk, current_task_word());
		return 0;
	}
	return socket_sends(sk, result > 0 ? result : 0);
}

SEC("tp_btf/sock_recv_length")
int TRACING(socket_received, struct sock *sk, int result, int flags)
{
	return socket_receives(sk, flags & (MSG_PEEK | MSG_ERRQUEUE) ? -1 : result);
}

/* TCP is about to append what the running process writes, under the socket's lock. From 6.16; trampolines elsewhere. */
SEC("tp_btf/tcp_sendmsg_locked")
int TRACING(stream_grows, struct sock *sk)
{
	return socket_sends(sk, 0);
}

SEC("fentry/tcp_sendmsg_locked")
int TRACING(stream_written, struct sock *sk)
{
	return socket_sends(sk, 0);
}

/* Trampolines report before a packet is sent or awaited; of TCP, stream_written does, with the lock held. */
static __always_inline int about_to_send(struct socket *socket)
{
	struct sock *sk = socket->sk;
	return sk && !is_tcp(sk) ? socket_sends(sk, 0) : 0;
}

SEC("fentry/inet_sendmsg")
int TRACING(socket_sends4, struct socket *socket)
{
	return about_to_send(socket);
}

SEC("fentry/inet6_sendmsg")
int TRACING(socket_sends6, struct socket *socket)
{
	return about_to_send(socket);
}

SEC("fentry/inet_recvmsg")
int TRACING(socket_receives4, struct socket *socket)
{
	struct sock *sk = socket->sk;
	return sk ? socket_receives(sk, -1) : 0;
}

SEC("fentry/inet6_recvmsg")
int TRACING(socket_receives6, struct socket *socket)
{
	struct sock *sk = socket->sk;
	return sk ? socket_receives(sk, -1) : 0;
}

/* A process has taken bytes from a TCP stream, and still holds the lock (so it is no timer or acknowledgement). */
SEC("tp_btf/tcp_rcv_space_adjust")
int TRACING(stream_read, struct sock *sk)
{
	if (!sk->sk_lock.owned)
		return 0;
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct socket_state *state = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!state || !tcp)
		return 0;
	__u64 before = state->read;
	__u32 read = tcp->copied_seq;
	state->read = KNOWN | read;
	bool holds = has_running_id(state->holder.task) && is_sure(&state->holder);
	if (holds && !state->former && !state->waiting && !(state->flags & SOCKET_OPENED_BY_DATA))
		return 0;
	__u64 task = current_task_word();
	if (!task)
		return 0;
	if (state->flags & SOCKET_OPENED_BY_DATA)
		settle_opening(state, bpf_get_socket_cookie(sk), task, read);
	/* What was a former holder's ends where this process began to read. */
	state->read = before;
	state = used_by(sk, task);
	if (!state)
		return 0;
	state->read = KNOWN | read;
	if (state->former)
		former_bytes_read(state, task, before, read);
	if (state->waiting)
		send_socket(RECORD_SOCKET_USED, state->cookie, task, SETTLES_STREAM, read);
	return 0;
}

/* A process copies a datagram from a raw or ping socket. (UDP comes here only with long ones.) */
SEC("tp_btf/skb_copy_datagram_iovec")
int TRACING(datagram_read, const struct sk_buff *buffer)
{
	if (any_datagram_waits)
		settle_datagram((__u64)buffer, current_task_word(), false);
	return 0;
}

/* A process has copied a datagram from a UDP socket; a negative length: it only peeks. */
SEC("fentry/skb_consume_udp")
int TRACING(udp_read, struct sock *sk, struct sk_buff *buffer, int length)
{
	if (length < 0)
		return 0;
	if (any_datagram_waits)
		settle_datagram((__u64)buffer, current_task_word(), true);
	struct socket_state *state = bpf_sk_storage_get(&sockets, sk, 0, 0);
	__u64 task = state && state->former ? current_task_word() : 0;
	if (task)
		former_datagram_read(state, sk, task, (__u64)buffer);
	return 0;
}
