// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Hone's Linux sensor: one object, four parts. */
#include "process.h"
#include "socket.h"
#include "packet.h"
#include "unclaimed.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
