// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Hone's Linux sensor: one object, three parts. */
#include "process.h"
#include "socket.h"
#include "packet.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
