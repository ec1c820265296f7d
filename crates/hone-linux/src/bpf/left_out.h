/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets that no reader wants, whoever owns them: they leave before anybody asks. Who owns a later packet may not depend on
 * them then:
 *
 *   at a listener, and when a connection begins       packets show who has the socket: these are attributed first
 *   a stream                                          nothing of it waits for what is not recorded; who writes, and who
 *                                                     has read up to where, programs/usage.bpf.h notes
 *   a datagram that is sent                           nothing
 *   a datagram of UDP that comes                      is one of those in the order of which the others are read (former.h)
 *   other protocols                                   are rare
 */
#pragma once

#include "attribution.h"

/* Whether a received packet that is left out needs nothing more. */
static __always_inline bool comes_unseen(struct view *view)
{
	bool udp = is_udp(view->socket->type, view->socket->protocol);
	if (!udp && (!view->tcp || view->listens))
		return false;
	note_left_out(view->last, view->buffer);
	if (!udp || view->kernel)
		return true;
	note_arrival(view, 0);
	/* Of one that had the same buffer before, if nobody has seen who read that. */
	__u64 address = (__u64)view->buffer;
	if (any_datagram_waits)
		bpf_map_delete_elem(&waiting_datagrams, &address);
	return true;
}

/* The same of one that is sent. */
static __always_inline bool leaves_unseen(struct view *view)
{
	if (!view->datagrams && (!view->tcp || view->listens || view->socket->state == TCP_SYN_SENT))
		return false;
	note_left_out(view->last, view->buffer);
	return true;
}
