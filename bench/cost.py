#!/usr/bin/env python3
"""What recording costs, side by side: loads with and without traffic, under each recorder in turn.

    cargo build --release -p honeutil -p honed
    sudo bench/cost.py [--rounds 5] [--seconds 2] [--snap 96] [--case udp]... [--recorder tcpdump]...
                       [--release DIRECTORY] [--before DIRECTORY] [--programs] [--json FILE]

Cases (load.rs): `udp`, datagrams of 64 bytes; `tcp`, one stream; `many`, small requests over 1,000 connections in turn; `connect`,
a connection for each request; all as fast as they go, on loopback between two processes. `wire`: one stream to another network namespace, in
packets of 1,500 bytes; `wire-large`: with segmentation offload, as network cards take it. Without traffic: `spawn`, one program
after the other; `calls`, getppid(); `reads`, a byte at a time of /dev/zero; `idle`, nothing.

Recorders: tcpdump and dumpcap (-i any, within the load's network namespace), `honeutil read` by itself, honed that nobody reads, and
honed with one and with eight readers, the first of which writes a file as the others do; the rest write to /dev/null. With --before, the
honeutil and honed of another build as well, so that two builds are compared in one run. --release is where the new ones are.

In each round, each case runs under each recorder, in another order each time. Prints, for each case, medians over the rounds: the ratio
of what was done to that of the same round without a recorder; `by processor`, the same ratio for each second that the load's processes
were on a processor, which is the better one where other programs want the processors, too; drops, as the recorder reports them, of all that it saw; processor
time a recorded packet, in ns; and bytes of the file a packet. The processor time is the kernel's (schedstat), in two parts. `in the load`:
what the two processes of the load take more than without a recorder, which is what taps and BPF programs do while packets are sent and
received, softirqs there included; `recorder`: the processes of the recorder. Where nothing is recorded: both for each operation of the load.

--programs: instead, the time of each BPF program of the sensor in ns a run, and how often it runs for each operation
(kernel.bpf_stats_enabled). What the kernel's own look at its clock takes is subtracted; an empty program shows it.

Also prints the limits of the same run: memory copied, and a file written through the page cache and without it (O_DIRECT).
Needs tcpdump, dumpcap (Debian: wireshark-common), rustc and root; no other Hone may run.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import time

from lab import Lab, Look, SECONDS, WIRES, bpf_statistics, honed, honeutil, number, processor, running, said, statistics_of

TRAFFIC = ["udp", "tcp", "many", "connect", *WIRES]
CASES = [*TRAFFIC, "spawn", "calls", "reads", "idle"]
HONE = {"honeutil read": None, "honed idle": 0, "honed, 1 reader": 1, "honed, 8 readers": 8}
RECORDERS = ["none", "tcpdump", "dumpcap", *HONE]
FILE_BYTES = 1 << 30


class Recording:
    """A recorder that runs: its processes, and what its files and its words say at the end."""

    def __init__(self, processes, counts):
        self.processes, self.counts = processes, counts

    def processor(self):
        return sum(processor(process.pid) for process in self.processes)


def tap(lab, name, snap):
    whole = str(snap or 262144)
    path, log = lab.path("capture"), lab.path("log")
    if name == "tcpdump":
        command = ["tcpdump", "-i", "any", "-n", "-s", whole, "-Z", "root", "-w", path]
        return command, "listening on", lambda: tcpdump_counts(said(log))
    return ["dumpcap", "-q", "-i", "any", "-s", whole, "-w", path], "File:", lambda: dumpcap_counts(said(log))


def tcpdump_counts(text):
    return number(r"(\d+) packets? captured", text) or 0, number(r"(\d+) packets? dropped by kernel", text) or 0


def dumpcap_counts(text):
    pattern = r"received/dropped on interface 'any': {}"
    return number(pattern.format(r"(\d+)/"), text) or 0, number(pattern.format(r"\d+/(\d+)"), text) or 0


@contextlib.contextmanager
def recorder(lab, name, directory, snap):
    """Runs a recorder; gives a Recording."""
    path = lab.path("capture")
    with contextlib.ExitStack() as stack:
        if name == "none":
            yield Recording([], lambda: (0, 0))
        elif name not in HONE:
            command, begun, counts = tap(lab, name, snap)
            entered = stack.enter_context(running([*lab.inside, *command], lab.path("log"), lambda text: begun in text))
            yield Recording([entered], counts)
        else:
            util, service = (os.path.join(directory, program) for program in ("honeutil", "honed"))
            processes, readers, place = [], HONE[name], ["--local"]
            if readers is not None:
                socket = lab.path("hone.sock")
                processes.append(stack.enter_context(honed(service, socket, lab.path("honed"))))
                place = ["--socket", socket]
            for reader in range(1 if readers is None else readers):
                output = path if reader == 0 else "/dev/null"
                words = [*place, "-s", str(snap), "-w", output]
                processes.append(stack.enter_context(honeutil(util, words, lab.path(f"log{reader}"))))
            yield Recording(processes, (lambda: statistics_of(path)) if readers != 0 else (lambda: (0, 0)))


def run(lab, case, name, options):
    """One case under one recorder."""
    directory = options.before if name.endswith(BEFORE) else options.release
    path = lab.path("capture")
    with recorder(lab, name.removesuffix(BEFORE), directory, options.snap) as recording:
        time.sleep(0.5)
        before = recording.processor()
        load = lab.load(case, options.seconds)
        time.sleep(0.3)
        spent = recording.processor() - before
    packets, drops = recording.counts()
    size = 0
    if os.path.exists(path):
        size = os.path.getsize(path)
        os.unlink(path)
    return {**load, "recorder": spent, "packets": packets, "drops": drops, "file": size}


BEFORE = " (before)"


def all_recorders(options):
    names = []
    for name in options.recorder or RECORDERS:
        names.append(name)
        if options.before and name in HONE:
            names.append(name + BEFORE)
    return names if "none" in names else ["none", *names]


def costs_of(result, none, case):
    """Ns in the load and of the recorder, for each packet, or for each operation where the load's are not recorded."""
    per = result["packets"] if case in TRAFFIC and result["packets"] else result["tried"]
    base = none["processor"] / max(none["tried"], 1)
    return (result["processor"] - base * result["tried"]) / per, result["recorder"] / per


def report(results, options):
    cases = {case: {name: rounds for (other, name), rounds in results.items() if other == case} for case in options.case}
    print(f"snap length {options.snap}, {options.rounds} rounds of {options.seconds} s; medians, ratios to none\n")
    for case, names in cases.items():
        done = statistics.median(one["done"] / one["seconds"] for one in names["none"])
        print(f"| {case}: {done:,.0f} a second | ratio | by processor | in the load | recorder | sum | dropped | bytes a packet |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|")
        for name, rounds in names.items():
            if name != "none":
                print(row(name, rounds, names["none"], case))
        print()


def row(name, rounds, none, case):
    middle = lambda values: statistics.median(values)
    packets, drops, size = (sum(one[key] for one in rounds) for key in ("packets", "drops", "file"))
    if case == "idle":
        share = middle([one["recorder"] / one["seconds"] / SECONDS for one in rounds])
        return f"| {name} | | | | {share:.2%} of a processor | | | |"
    ratio = middle([one["done"] / one["seconds"] / (base["done"] / base["seconds"]) for one, base in zip(rounds, none)])
    paid = middle([base["processor"] / base["tried"] / (one["processor"] / one["tried"]) for one, base in zip(rounds, none)])
    costs = [costs_of(one, base, case) for one, base in zip(rounds, none)]
    parts = [middle([cost[0] for cost in costs]), middle([cost[1] for cost in costs]), middle([sum(cost) for cost in costs])]
    lost = f"{drops / (packets + drops):.1%}" if packets else ""
    return f"| {name} | {ratio:.2f} | {paid:.2f} | {parts[0]:,.0f} | {parts[1]:,.0f} | {parts[2]:,.0f} | {lost} | {size / packets if packets else 0:.0f} |"


def limits(lab, options):
    """Bytes a second that are copied, and written with and without the page cache."""
    found = {"copy": [], "write": [], "direct": []}
    for _ in range(options.rounds):
        found["copy"].append(lab.load("copy", 1))
        for kind in ("write", "direct"):
            with contextlib.suppress(Exception):
                found[kind].append(lab.load(kind, lab.path("file"), FILE_BYTES))
            os.unlink(lab.path("file"))
    return found


def report_limits(found):
    print("| limit | GB a second | ns on a processor for each KB |\n|---|--:|--:|")
    words = {"copy": "memory copied", "write": "a file, through the page cache", "direct": "a file, without it"}
    for kind, rounds in found.items():
        if rounds:
            speed = statistics.median(one["done"] / one["seconds"] for one in rounds)
            cost = statistics.median(one["processor"] / one["done"] for one in rounds)
            print(f"| {words[kind]} | {speed / 1e9:.1f} | {cost * 1000:.0f} |")


def measure_programs(lab, bpf, case, name, options):
    """Of each BPF program, by its name: ns a run without the clock's, and runs for each operation."""
    directory = options.before if name.endswith(BEFORE) else options.release
    with recorder(lab, name.removesuffix(BEFORE), directory, options.snap) as recording:
        pid = recording.processes[0].pid
        time.sleep(0.5)
        before = Look(pid)
        load = lab.load(case, options.seconds)
        after = Look(pid)
        names = {identity: bpf.name(identity) for identity in after.programs}
    clock, found = after.clock_since(before), {}
    for identity, (spent, runs) in after.programs.items():
        earlier = before.programs.get(identity, (0, 0))
        spent, runs = spent - earlier[0], runs - earlier[1]
        if runs > 100:
            found[names[identity]] = spent / runs - clock, runs / max(load["tried"], 1)
    return found


def keep(results, found, options):
    """Writes each round's numbers down, as far as there are any."""
    if options.json:
        kept = [{"case": case, "recorder": name, "rounds": rounds} for (case, name), rounds in results.items()]
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"options": vars(options), "limits": found, "results": kept}, file, indent=1)


def report_programs(results):
    for case, names in results.items():
        programs = sorted({program for rounds in names.values() for one in rounds for program in one})
        print(f"| {case} |", *(f"{name} |" for name in names))
        print("|---|" + "--:|" * len(names))
        for program in programs:
            cells = []
            for rounds in names.values():
                found = [one[program] for one in rounds if program in one]
                middle = [statistics.median(column) for column in zip(*found)]
                cells.append(f"{middle[0]:.0f} ({middle[1]:.2f} runs) |" if found else " |")
            print(f"| `{program}` |", *cells)
        print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="length of each load")
    parser.add_argument("--snap", type=int, default=96, help="snap length in bytes; 0: whole packets")
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--recorder", action="append", choices=RECORDERS)
    parser.add_argument("--release", default="target/release", help="where honeutil and honed are")
    parser.add_argument("--before", help="where those of another build are")
    parser.add_argument("--directory", help="where the recordings go while they last")
    parser.add_argument("--programs", action="store_true", help="the time of each BPF program instead")
    parser.add_argument("--json", help="keep each round's numbers in this file")
    options = parser.parse_args()
    options.case = options.case or CASES
    names, results, found = all_recorders(options), {}, {}
    with Lab(options.directory) as lab, contextlib.ExitStack() as stack:
        bpf = stack.enter_context(bpf_statistics()) if options.programs else None
        if bpf:
            names = [name for name in names if name.removesuffix(BEFORE) in HONE]
        for turn in range(options.rounds):
            order = names[turn % len(names) :] + names[: turn % len(names)]
            for case in options.case:
                for name in order:
                    if bpf:
                        one = measure_programs(lab, bpf, case, name, options)
                    else:
                        one = run(lab, case, name, options)
                    results.setdefault((case, name), []).append(one)
            print(f"round {turn + 1} of {options.rounds} done", file=sys.stderr, flush=True)
            keep(results, found, options)
        if not bpf:
            found = limits(lab, options)
    ordered = {(case, name): results[case, name] for case in options.case for name in names}
    keep(ordered, found, options)
    if options.programs:
        report_programs({case: {name: ordered[case, name] for name in names} for case in options.case})
    else:
        report(ordered, options)
        report_limits(found)


if __name__ == "__main__":
    main()
