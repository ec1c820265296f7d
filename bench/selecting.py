#!/usr/bin/env python3
"""What a packet costs that no reader wants, compared with one that is recorded.

    sudo bench/selecting.py [--rounds 3] [--packets 100000] [--rate 10M] [--honeutil FILE] [--json FILE]

The load is iperf3 on loopback, in a network namespace of its own: so many UDP datagrams of 64 bytes, each of which is a packet
twice, once sent and once received. In each round the selections take turns, in another order each time; each is a `honeutil read
--local` with snap length 96 into /dev/null, so what a recording costs the disk is not counted.

Prints, in ns a packet, medians: what each BPF program of the sensor took, the recorder's time on a processor (user space and
system calls), their sum, and its ratio to that of the recorded packets of the same round. The numbers are the kernel's
(kernel.bpf_stats_enabled, /proc/PID/fdinfo, /proc/PID/task/TID/schedstat). Two things are subtracted: what the sensor costs
while it waits; and what it takes the kernel to read its clock for each run of a program, which it does only for this
statistic. An empty program that runs for the same packets shows the latter. What the kernel does to call a program is not in the
numbers. Needs iperf3 and root; no other Hone may run.
"""

import argparse
import contextlib
import ctypes
import json
import os
import platform
import re
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

CASES = {
    "recorded": [],
    "--port 9": ["--port", "9"],
    "--filter 'tcp or host 192.0.2.1'": ["--filter", "tcp or host 192.0.2.1"],
    "--name no-such-program": ["--name", "no-such-program"],
    "--name iperf3 --port 9": ["--name", "iperf3", "--port", "9"],
}
PACKETS = ("packet_received", "packet_sent")  # the programs that run once for each packet
STATISTICS = "/proc/sys/kernel/bpf_stats_enabled"
SECONDS = 1_000_000_000


class Bpf:
    """The few calls of bpf(2) that are needed; their numbers and layouts are those of linux/bpf.h."""

    NUMBER = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    LOAD, BY_ID, INFO, LINK = 5, 13, 15, 28
    CGROUP_SKB, INGRESS = 8, 0

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)

    def call(self, command, fields):
        attributes = ctypes.create_string_buffer(fields, 128)
        result = self.libc.syscall(self.NUMBER, command, attributes, len(attributes))
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    def attach_empty(self, cgroup):
        """Attaches a program that lets each received packet pass; returns its descriptor and its link's."""
        code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0))  # r0 = 1; exit
        licence = ctypes.create_string_buffer(b"GPL")
        place = struct.pack("=IIQQ", self.CGROUP_SKB, 2, ctypes.addressof(code), ctypes.addressof(licence))
        program = self.call(self.LOAD, place)
        return program, self.call(self.LINK, struct.pack("=IIII", program, cgroup, self.INGRESS, 0))

    def name(self, program_id):
        program = self.call(self.BY_ID, struct.pack("=I", program_id))
        information = ctypes.create_string_buffer(128)
        self.call(self.INFO, struct.pack("=IIQ", program, len(information), ctypes.addressof(information)))
        os.close(program)
        return information.raw[64:80].split(b"\0")[0].decode()  # bpf_prog_info.name


def programs(pid):
    """Of each program that a process holds, by its number: nanoseconds and runs."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
            # A link names its program as well, without what it has cost.
            if "run_time_ns" in fields:
                found[int(fields["prog_id"])] = int(fields["run_time_ns"]), int(fields["run_cnt"])
    return found


def processor(pid):
    """Nanoseconds on a processor."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


class Look:
    """What a recorder and the empty program have cost up to now."""

    def __init__(self, pid):
        self.time, self.processor = time.monotonic_ns(), processor(pid)
        self.programs, self.empty = programs(pid), next(iter(programs(os.getpid()).values()))

    def since(self, before):
        """Seconds, processor nanoseconds a second, and of each program nanoseconds and runs a second."""
        seconds = (self.time - before.time) / SECONDS
        rates = {
            number: [(b - a) / seconds for a, b in zip(before.programs.get(number, (0, 0)), after)]
            for number, after in self.programs.items()
        }
        return seconds, (self.processor - before.processor) / seconds, rates


def load(space, options):
    server = subprocess.Popen([*space, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    client = ["iperf3", "-c", "127.0.0.1", "-u", "-l", "64", "-b", options.rate, "-k", str(options.packets)]
    subprocess.run([*space, *client], stdout=subprocess.DEVNULL, check=True, timeout=120)
    server.wait(20)
    time.sleep(0.5)


def measure(words, options, space, log, bpf):
    """By name: ns a packet of each program and of `user space`, runs a packet; and the summary's lines."""
    command = [options.honeutil, "read", "--local", "-s", "96", "-w", "/dev/null", *words]
    reader = subprocess.Popen(command, stderr=log)
    try:
        begins = time.monotonic()
        while "Recording to" not in text(log):
            if reader.poll() is not None or time.monotonic() - begins > 60:
                sys.exit(text(log))
            time.sleep(0.1)
        time.sleep(1)
        looks = [Look(reader.pid)]
        time.sleep(2)
        looks.append(Look(reader.pid))
        load(space, options)
        looks.append(Look(reader.pid))
        names = {number: bpf.name(number) for number in looks[2].programs}
    finally:
        reader.send_signal(signal.SIGINT)
        reader.wait(60)
    lines = [line.strip() for line in text(log).splitlines() if re.match(r"\s*(Recorded|Dropped|Left out)", line)]
    _, idle_processor, idle = looks[1].since(looks[0])
    seconds, busy_processor, busy = looks[2].since(looks[1])
    clock = (looks[2].empty[0] - looks[1].empty[0]) / (looks[2].empty[1] - looks[1].empty[1])
    packets = sum(runs * seconds for number, (_, runs) in busy.items() if names[number] in PACKETS)
    if packets < 2 * options.packets * 0.9:
        sys.exit(f"only {packets} packets of {2 * options.packets} were seen: {lines}")
    costs, often = {"user space": max(busy_processor - idle_processor, 0) * seconds / packets}, {}
    for number, (spent, runs) in busy.items():
        waiting = idle.get(number, (0, 0))
        often[names[number]] = max(runs - waiting[1], 0) * seconds / packets
        costs[names[number]] = max((spent - waiting[0]) * seconds / packets - clock * often[names[number]], 0)
    return costs, often, clock, lines


def text(log):
    # Without a move of the place at which the recorder writes.
    return os.pread(log.fileno(), 1 << 20, 0).decode()


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


def cgroup_root():
    with open("/proc/mounts", encoding="utf-8") as file:
        places = [line.split()[1] for line in file if line.split()[2] == "cgroup2"]
    return os.open(places[0], os.O_RDONLY)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--packets", type=int, default=100_000)
    parser.add_argument("--rate", default="10M")
    parser.add_argument("--honeutil", default="target/release/honeutil")
    parser.add_argument("--json", help="keep each round's numbers in this file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    name = f"hone-bench-{os.getpid()}"
    space = ["ip", "netns", "exec", name]
    with open(STATISTICS, encoding="ascii") as file:
        before = file.read()
    results = {case: [] for case in CASES}
    bpf = Bpf()
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        with open(STATISTICS, "w", encoding="ascii") as file:
            file.write("1")
        bpf.attach_empty(cgroup_root())
        for turn in range(options.rounds):
            order = list(CASES)
            order = order[turn % len(order) :] + order[: turn % len(order)]
            for case in order:
                with tempfile.TemporaryFile() as log:
                    result = measure(CASES[case], options, space, log, bpf)
                results[case].append(result)
                print(turn + 1, case, round(sum(result[0].values())), *result[3], file=sys.stderr, flush=True)
    finally:
        with open(STATISTICS, "w", encoding="ascii") as file:
            file.write(before)
        subprocess.run(["ip", "netns", "del", name], check=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    report(results)


if __name__ == "__main__":
    main()
