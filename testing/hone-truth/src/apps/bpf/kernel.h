// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The few kernel fields that the trace reads, by name only: CO-RE relocation finds their offsets in the running kernel's
 * BTF at load time.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

/* For the kernel's own names of registers. */
#define __VMLINUX_H__
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <asm/unistd.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs {
#if defined(__TARGET_ARCH_x86)
	unsigned long r10, r9, r8, dx, si, di, orig_ax;
#else
	unsigned long orig_x0;
#endif
};
#if defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	unsigned long regs[31];
};
#endif

struct ns_common {
	unsigned int inum;
};
struct net {
	struct ns_common ns;
};
struct nsproxy {
	struct net *net_ns;
};
struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
};
struct file {
	struct inode *f_inode;
	void *private_data;
};
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};
struct files_struct {
	struct fdtable *fdt;
};
struct task_struct {
	int pid;
	int tgid;
	struct files_struct *files;
	struct nsproxy *nsproxy;
};
struct in6_addr {
	__u8 in6_u;
};
struct sock_common {
	__u32 skc_daddr;
	__u32 skc_rcv_saddr;
	unsigned short skc_family;
	__u16 skc_dport;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};
struct sock {
	struct sock_common __sk_common;
	__u16 sk_type;
	__u16 sk_protocol;
};
struct inet_sock {
	__u16 inet_sport;
};
struct socket {
	struct sock *sk;
};
/* include/linux/io_uring_types.h */
struct io_cqe {
	int fd;
};
struct io_kiocb {
	__u8 opcode;
	struct io_cqe cqe;
};
struct io_uring_cqe {
	__s32 res;
};

#pragma clang attribute pop
