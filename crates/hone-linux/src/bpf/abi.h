/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the BPF programs send to the sensor through the ring buffer, and through the two iterators. The build makes Rust types
 * of these (`abi` in lib.rs); record.rs reads by their names and offsets. Host byte order. Times are ns of the boot clock.
 *
 * A "task" is a process in one word, so that it can be stored and compared atomically: bits 0-21 the process id (the
 * kernel's limit is 2^22), bits 22-63 its start time in ns, modulo 2^42 (73 minutes). 0 is no process. Two processes have
 * the same word only if they have the same id and start a multiple of 73 minutes apart, to the nanosecond. Nothing
 * compares the two: an ended process is forgotten by then, and a socket's holder that has ended is no longer sure.
 */
#pragma once

/* Where the parts of a number begin, in bits. */
enum part {
	PART_START = 22, /* of a task: its start time; below it, the process id */
	PART_LENGTH = 8, /* of the flags of SETTLES_NEXT_DATAGRAM: how many bytes the call returned; below it, the kind */
	PART_DIRECTION = 8, /* of the flags of a RECORD_CORRECTED: the direction; below it, enum corrects */
	PART_METHOD = 16, /* of the same: the method */
	PART_FROM = 32, /* of the ticket of CORRECTS_BYTES: the first sequence number; below it, the one behind the last */
};

/* Indexes of the counts of what found no room. */
enum lost {
	LOST_PACKETS = 0,
	LOST_PROCESSES = 1,
	LOST_CONNECTIONS = 2,
	LOST_KINDS = 3,
};

enum record_kind {
	RECORD_PACKET = 1,
	RECORD_SOCKET_OPENED = 2,
	RECORD_SOCKET_CLOSED = 3,
	RECORD_PROCESS_FORKED = 4,
	RECORD_PROCESS_STARTED = 5,
	RECORD_PROCESS_ENDED = 6,
	RECORD_SOCKET_USED = 7, /* a task used a socket that has packets waiting */
	RECORD_CORRECTED = 8, /* packets that were sent before are another task's, or nobody's */
};

enum direction {
	DIRECTION_IN = 1,
	DIRECTION_OUT = 2,
};

/* How the task of a packet was found; of those marked 0, there is none. */
enum method {
	METHOD_KERNEL = 0, /* 0: the kernel itself sends or takes it */
	METHOD_CURRENT = 1,
	METHOD_LAST_SENDER = 2,
	METHOD_LAST_RECEIVER = 3,
	METHOD_CREATOR = 4,
	METHOD_ACCEPTED = 5,
	METHOD_LISTENER = 6, /* a connection that no process has accepted yet: its listener's owner */
	METHOD_UNKNOWN = 7, /* 0: a socket nobody was seen to use */
	METHOD_WRITER = 8, /* wrote the packet's first byte */
	METHOD_NO_SOCKET = 9, /* 0: a closed port */
	METHOD_TIME_WAIT = 10, /* 0: a connection that has ended; it is named */
	METHOD_FORWARDED = 11, /* 0 */
	METHOD_FILTERED = 12, /* 0: a firewall rule or another program dropped it */
	METHOD_SHARED = 13, /* 0: several processes may use the socket */
	METHOD_READER = 14, /* took the packet's first byte out of the socket */
};

/* What a packet's owner depends on; task and method are the owner if that does not happen. */
enum wait {
	WAIT_NONE = 0,
	WAIT_USE = 1, /* any use of the connection */
	WAIT_DATAGRAM = 2, /* that the datagram, or the data that opens a connection, numbered `ticket` is read */
	WAIT_STREAM = 3, /* that the stream is read up to the sequence number `ticket` */
	WAIT_HANDSHAKE = 4, /* that the connection numbered `ticket` is accepted */
};

/* What a RECORD_SOCKET_USED shows: that the packets are the task's, that wait for */
enum settles {
	SETTLES_USE = 1, /* any use */
	SETTLES_DATAGRAM = 2, /* the datagram numbered `ticket` */
	SETTLES_STREAM = 3, /* the stream up to `ticket` */
	SETTLES_NEXT_DATAGRAM = 4, /* any use, or one datagram before the one numbered `ticket`: see PART_LENGTH */
	SETTLES_DROPPED = 5, /* nothing: the datagram numbered `ticket` was dropped, and there is no task */
	SETTLES_HANDSHAKE = 6, /* the handshake of the connection numbered `ticket` */
};

/* Which packets a RECORD_CORRECTED is about. */
enum corrects {
	CORRECTS_BYTES = 1, /* the first byte has a sequence number from `ticket`'s high word on, before its low word */
	CORRECTS_TIME = 2, /* sent with the time `ticket` */
};

/* Of a RECORD_SOCKET_OPENED: packets that wait are the task's, */
enum owns {
	OWNS_ACCEPTED = 1, /* if nobody else is seen to read them: it has accepted the connection */
	OWNS_ALONE = 2, /* as it is the only one that can use the socket, and does */
};

enum offload {
	OFFLOAD_CHECKSUM = 1, /* the transport checksum is not filled in yet */
	OFFLOAD_SEGMENTS = 2, /* one buffer that leaves as several segments */
};

struct packet_record {
	__u32 kind;
	__u32 captured; /* bytes of data that follow this head; the record may be longer */
	__u64 time;
	__u64 connection; /* socket cookie; 0: none */
	__u64 task;
	__u32 length; /* from the IP header */
	__u8 direction;
	__u8 method;
	__u8 offload;
	__u8 wait;
	__u64 ticket;
	__u64 buffer; /* on a loopback device: where the packet's bytes lie, as it is sent and as it is received; else 0 */
};

struct socket_record {
	__u32 kind;
	__u32 flags; /* enum owns; of a RECORD_SOCKET_USED: enum settles; of a RECORD_CORRECTED: enum corrects */
	__u64 time;
	__u64 connection;
	__u64 task;
	__u64 ticket;
};

struct process_record {
	__u32 kind;
	__u32 parent;
	__u64 time;
	__u64 task;
	__u32 user; /* effective, in the initial user namespace */
	__u32 group;
	__u32 path; /* bytes, after the cgroup: names from leaf to root, each with a NUL; or one name, if PROCESS_KERNEL_THREAD */
	__u32 arguments; /* bytes, after the path: each argument with a NUL */
	__u32 flags;
	__u32 cgroup; /* bytes: names from leaf to root, each with a NUL; none if it is the root */
	__u32 namespace_pid; /* in the process's own process id namespace; 0: that is the initial one */
	__u32 network; /* inode number of the network namespace; 0: none */
	/*
	 * The executed file; all 0: not known, or no file. As stat(2) shows it, but for the device of some file systems. On
	 * overlayfs, if the file is in the upper layer: size, time and file system are those of the file there.
	 */
	__u64 inode;
	__u64 size;
	__s64 changed; /* st_ctime: seconds */
	__u32 changed_nanos;
	__u32 device;
	__u32 file_system; /* its magic number */
	__u32 executions; /* of this process and, before it was forked, of its ancestors: each exec counts one */
	__u64 born; /* when it was forked; an exec keeps it */
};

enum process_flags {
	PROCESS_KERNEL_THREAD = 1,
};

#define TESTS_MAX 256 /* of packets, at most */

/* Instead of the next test. */
enum verdict {
	VERDICT_REJECTED = 0xFFFE, /* no reader wants the packet */
	VERDICT_ACCEPTED = 0xFFFF, /* some reader does */
};

/* What a test of a packet looks at, in host byte order. Of an IPv4 address, only the first word is used. */
enum fact {
	FACT_VERSION = 0,
	FACT_PROTOCOL = 1,
	FACT_DIRECTION = 2,
	FACT_LENGTH = 3,
	FACT_SOURCE_PORT = 4,
	FACT_DESTINATION_PORT = 5,
	FACT_TCP_FLAGS = 6,
	FACT_HAS_PORTS = 7, /* 1: of TCP, UDP and SCTP */
	FACT_SOURCE = 8, /* four words */
	FACT_DESTINATION = 12, /* four words */
	FACTS = 16,
};

/* Whether a fact has a value within bounds. Only later tests come next. */
struct packet_test {
	__u32 fact;
	__u32 mask;
	__u32 low; /* the fact's masked bits are from here on ... */
	__u32 span; /* ... up to so much more */
	__u16 yes; /* the next test */
	__u16 no;
};

/* A bit of a selection's number. */
enum selecting {
	SELECTING_TESTS = 1, /* there are tests of packets, and not only processes of which none is wanted */
};

/* An entry of the processes of which no packet is wanted. */
struct unwanted_process {
	__u64 time; /* of the latest record of the process's start, fork or exec that the sensor knew of */
	__u32 selecting; /* the number of the selection it is for */
	__u32 unused;
};
