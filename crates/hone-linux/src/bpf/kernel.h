/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The few kernel fields that Hone reads, by name only: CO-RE relocation finds their offsets in the running kernel's
 * BTF at load time, so no generated vmlinux.h is needed and one object serves every kernel from 6.1.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define IPPROTO_ICMP 1
#define IPPROTO_IGMP 2
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ICMPV6 58
#define IPPROTO_SCTP 132
/* Of byte 13 of a TCP header (RFC 9293, section 3.1). */
#define TCP_FLAG_SYN 2
#define TCP_FLAG_RST 4
/* include/net/tcp_states.h */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define TCP_NEW_SYN_RECV 12
/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000
/* include/uapi/linux/magic.h */
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
/* include/linux/skbuff.h */
#define CHECKSUM_PARTIAL 3
/* include/uapi/linux/if_packet.h */
#define PACKET_HOST 0

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	__s64 counter;
} atomic64_t;

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

struct cred {
	kuid_t euid;
	kgid_t egid;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct inode *d_inode;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
};

struct timespec64 {
	__s64 tv_sec;
	long tv_nsec;
};

/* From 6.11 on. */
struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	__s64 i_size;
	__s64 i_ctime_sec;
	__u32 i_ctime_nsec;
};

/* From 6.6 to 6.10. */
struct inode___hidden {
	struct timespec64 __i_ctime;
};

/* Before 6.6. */
struct inode___old {
	struct timespec64 i_ctime;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	void *private_data;
	atomic64_t f_count; /* before 6.13 */
};

/* From 6.13; counts from 0 where f_count counts from 1. */
typedef struct {
	atomic64_t refcnt;
} file_ref_t;

struct file___ref {
	file_ref_t f_ref;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	atomic_t count;
	struct fdtable *fdt;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
	struct file *exe_file;
};

struct signal_struct {
	atomic_t live;
	int nr_threads;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

struct nsproxy {
	struct net *net_ns;
};

struct upid {
	int nr;
};

/* A process id in each process id namespace from the initial one (0) to the process's own (level). */
struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct kernfs_node {
	const char *name;
	struct kernfs_node *parent;
};

/* From 6.15 on. */
struct kernfs_node___rcu {
	struct kernfs_node *__parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	unsigned int flags;
	int exit_state;
	int pid;
	int tgid;
	__u64 start_boottime;
	__u64 self_exec_id; /* counts its exec() */
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	const struct cred *cred;
	struct signal_struct *signal;
	struct mm_struct *mm;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct pid *thread_pid;
	struct css_set *cgroups;
	char comm[16];
};

struct linux_binprm {
	struct file *file;
};

struct in6_addr {
	union {
		__u32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__u32 skc_daddr;
	struct in6_addr skc_v6_daddr;
	unsigned short skc_dport; /* network byte order */
	unsigned short skc_num; /* the local port */
	unsigned short skc_family;
	volatile unsigned char skc_state;
	atomic64_t skc_cookie;
};

typedef struct {
	int owned;
} socket_lock_t;

struct sk_buff_head {
	struct sk_buff *next;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	socket_lock_t sk_lock;
	struct socket *sk_socket;
	__u8 sk_kern_sock : 1;
	__u16 sk_type;
	__u16 sk_protocol;
};

struct rb_node;

struct rb_root {
	struct rb_node *rb_node;
};

/* struct sock is its first member in the kernel. */
struct tcp_sock {
	__u32 rcv_nxt; /* of the byte that is to come next */
	__u32 rcv_wup; /* where the window began that was offered last, */
	__u32 rcv_wnd; /* and how long it is */
	struct rb_root out_of_order_queue;
	__u32 copied_seq; /* of the byte to be read next */
	__u32 write_seq; /* of the byte to be written next */
};

/* struct sock is its first member in the kernel. */
struct udp_sock {
	struct sk_buff_head reader_queue; /* read first; filled from sk_receive_queue */
};

struct socket {
	struct file *file;
	struct sock *sk;
};

struct msghdr {
	void *msg_control;
	__u64 msg_controllen;
};

struct net_device {
	int ifindex;
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned int len;
	unsigned int data_len;
	int skb_iif;
	__u16 protocol;
	__u16 transport_header;
	__u16 network_header;
	unsigned char *head;
	unsigned char *data;
	__u8 ip_summed : 2;
	__u8 pkt_type : 3;
};

enum skb_drop_reason {
	SKB_DROP_REASON_NOT_SPECIFIED = 2,
	SKB_DROP_REASON_NO_SOCKET = 3,
	SKB_DROP_REASON_SOCKET_FILTER = 5,
	SKB_DROP_REASON_SOCKET_RCVBUFF = 6,
	SKB_DROP_REASON_NETFILTER_DROP = 12,
	SKB_DROP_REASON_IP_NOPROTO = 19,
	SKB_DROP_REASON_BPF_CGROUP_EGRESS = 38,
};

struct trace_event_raw_kfree_skb {
	void *rx_sk; /* from 6.11 */
};

struct trace_event_raw_sys_enter {
	unsigned long args[6];
};

struct trace_event_raw_sys_exit {
	long ret;
};

/* What a system call was called with; its first argument. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs___call {
	unsigned long di;
};
#define FIRST_ARGUMENT di
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs___call {
	unsigned long orig_x0; /* x0 itself has the call's result by the time it returns */
};
#define FIRST_ARGUMENT orig_x0
#else
#error "Hone's BPF programs know where x86_64 and arm64 keep the arguments of a system call, and no other architecture"
#endif

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop

/* The first argument of the system call that is returning. */
#define PT_REGS_PARM1_SYSCALL_OF(registers) BPF_CORE_READ((struct pt_regs___call *)(registers), FIRST_ARGUMENT)

/* Kernels from 6.2; older ones resolve it to 0 and the verifier drops the branch that calls it. */
extern void *bpf_cast_to_kern_ctx(void *) __ksym __weak;
