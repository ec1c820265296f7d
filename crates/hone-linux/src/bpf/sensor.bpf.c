// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Hone's Linux sensor: one object. What the programs do is in programs/, what they remember in state/. */
#include "programs/processes.bpf.h"
#include "programs/hand_on.bpf.h"
#include "programs/sockets.bpf.h"
#include "programs/usage.bpf.h"
#include "programs/packets.bpf.h"
#include "programs/unclaimed.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
