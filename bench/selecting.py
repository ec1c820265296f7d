#!/usr/bin/env python3
"""What a packet costs that no reader wants, compared with one that is recorded.

    sudo bench/selecting.py [--rounds 3] [--packets 100000] [--rate 20000] [--honeutil FILE] [--json FILE]

The load (load.rs) is on loopback, in a network namespace of its own: so many UDP datagrams of 64 bytes, each of which is a packet
twice, once sent and once received. In each round the selections take turns, in another order each time; each is a `honeutil read
--local` with snap length 96 into /dev/null, so what a recording costs the disk is not counted.

Prints, in ns a packet, medians: what each BPF program of the sensor took, the recorder's time on a processor (user space and
system calls), their sum, and its ratio to that of the recorded packets of the same round. The numbers are the kernel's
(kernel.bpf_stats_enabled, /proc/PID/fdinfo, /proc/PID/task/TID/schedstat). Two things are subtracted: what the sensor costs
while it waits; and what it takes the kernel to read its clock for each run of a program, which it does only for this
statistic. An empty program that runs for the same packets shows the latter. What the kernel does to call a program is not in the
numbers. Needs rustc and root; no other Hone may run.
"""

import argparse
import json
import re
import statistics
import sys
import time

from lab import Lab, Look, bpf_statistics, honeutil, said

CASES = {
    "recorded": [],
    "--port 9": ["--port", "9"],
    "--filter 'tcp or host 192.0.2.1'": ["--filter", "tcp or host 192.0.2.1"],
    "--name no-such-program": ["--name", "no-such-program"],
    "--name load --port 9": ["--name", "load", "--port", "9"],
}
PACKETS = ("packet_received", "packet_sent")  # the programs that run once for each packet


def measure(words, options, lab, bpf):
    """By name: ns a packet of each program and of `user space`, runs a packet; and the summary's lines."""
    log, words = lab.path("log"), ["--local", "-s", "96", "-w", "/dev/null", *words]
    with honeutil(options.honeutil, words, log) as reader:
        time.sleep(1)
        looks = [Look(reader.pid)]
        time.sleep(2)
        looks.append(Look(reader.pid))
        load = lab.load("udp", options.packets / options.rate, options.rate)
        time.sleep(0.5)
        looks.append(Look(reader.pid))
        names = {number: bpf.name(number) for number in looks[2].programs}
    lines = [line.strip() for line in said(log).splitlines() if re.match(r"\s*(Recorded|Dropped|Left out)", line)]
    _, idle_processor, idle = looks[1].since(looks[0])
    seconds, busy_processor, busy = looks[2].since(looks[1])
    clock = looks[2].clock_since(looks[1])
    packets = sum(runs * seconds for number, (_, runs) in busy.items() if names[number] in PACKETS)
    if packets < 2 * load["done"]:
        sys.exit(f"only {packets} packets of {2 * load['done']} were seen: {lines}")
    costs, often = {"user space": max(busy_processor - idle_processor, 0) * seconds / packets}, {}
    for number, (spent, runs) in busy.items():
        waiting = idle.get(number, (0, 0))
        often[names[number]] = max(runs - waiting[1], 0) * seconds / packets
        costs[names[number]] = max((spent - waiting[0]) * seconds / packets - clock * often[names[number]], 0)
    return costs, often, clock, lines


def middle(rounds, name):
    return statistics.median(one.get(name, 0) for one in rounds)


def report(results):
    costs = {case: [one[0] for one in rounds] for case, rounds in results.items()}
    often = {case: [one[1] for one in rounds] for case, rounds in results.items()}
    clock = statistics.median(one[2] for rounds in results.values() for one in rounds)
    print(f"An empty program takes {clock:.0f} ns, which are not counted.\n")
    print("| selection | programs on packets | other programs | user space | sum | ratio |")
    print("|---|---|---|---|---|---|")
    for case, rounds in costs.items():
        parts = [
            [sum(one[name] for name in PACKETS) for one in rounds],
            [sum(one.values()) - one["user space"] - sum(one[name] for name in PACKETS) for one in rounds],
            [one["user space"] for one in rounds],
            [sum(one.values()) for one in rounds],
        ]
        ratio = statistics.median(
            sum(one.values()) / sum(other.values()) for one, other in zip(rounds, costs["recorded"])
        )
        print(f"| {case} |", *(f"{statistics.median(part):.0f} |" for part in parts), f"{ratio:.2f} |")
    names = sorted({name for rounds in often.values() for name in rounds[0] if middle(rounds, name) >= 0.02})
    print("\n| program |", *(f"{case} |" for case in costs))
    print("|---|" + "---|" * len(costs))
    for name in names:
        cells = [f"{middle(costs[case], name):.0f} ({middle(often[case], name):.2f} runs) |" for case in costs]
        print(f"| {name} |", *cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--packets", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=20_000, help="datagrams a second")
    parser.add_argument("--honeutil", default="target/release/honeutil")
    parser.add_argument("--json", help="keep each round's numbers in this file")
    options = parser.parse_args()
    results = {case: [] for case in CASES}
    with Lab() as lab, bpf_statistics() as bpf:
        for turn in range(options.rounds):
            order = list(CASES)
            order = order[turn % len(order) :] + order[: turn % len(order)]
            for case in order:
                result = measure(CASES[case], options, lab, bpf)
                results[case].append(result)
                print(turn + 1, case, round(sum(result[0].values())), *result[3], file=sys.stderr, flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    report(results)


if __name__ == "__main__":
    main()
