#!/usr/bin/env python3
"""What honed costs: no sensor, idle honed, in-process reading, and honed with one and with eight readers, in turn.

    sudo bench/honed.py [--rounds 5] [--seconds 3] [--snap 96] [--honeutil FILE] [--honed FILE]

Uses the loads of bench/compare.py, in a network namespace of its own. Each round runs every case once, in rotating
order. Readers are `honeutil read -w /dev/null`. Prints, per case, the median over the rounds of the ratio to the same
round's run without any sensor, and of honed's processor time per second. Needs iperf3 and root.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from compare import iperf


def processor_seconds(process):
    with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stop(process, how):
    if process.poll() is None:
        process.send_signal(how)
    process.wait(timeout=30)


def run(case, arguments, namespace, udp, directory):
    """One case under one load: the load's rate, honed's processor time per second, what readers say they dropped."""
    socket = os.path.join(directory, "hone.sock")
    readers = {"none": 0, "idle honed": 0, "in process": 1, "honed, 1 reader": 1, "honed, 8 readers": 8}[case]
    service, running = None, []
    try:
        if "honed" in case:
            with open(os.path.join(directory, "log"), "w", encoding="utf-8") as log:
                service = subprocess.Popen([arguments.honed, "--socket", socket], stdout=log, stderr=log)
            while not os.path.exists(socket):
                time.sleep(0.05)
            time.sleep(1)
        place = ["--socket", socket] if service else ["--local"]
        for number in range(readers):
            command = [arguments.honeutil, "read", *place, "-s", str(arguments.snap), "-w", "/dev/null"]
            errors = open(os.path.join(directory, f"reader{number}"), "w+", encoding="utf-8")
            running.append((subprocess.Popen(command, stderr=errors), errors))
        time.sleep(2 if readers else 0.2)
        before = processor_seconds(service) if service else 0
        started = time.monotonic()
        rate = iperf(namespace, arguments.seconds, udp)
        cost = (processor_seconds(service) - before) / (time.monotonic() - started) if service else None
        dropped = []
        for process, errors in running:
            stop(process, signal.SIGINT)
            errors.seek(0)
            dropped += [line.strip() for line in errors if line.startswith("Dropped")]
        return rate, cost, dropped
    finally:
        for process, errors in running:
            stop(process, signal.SIGKILL)
            errors.close()
        if service:
            stop(service, signal.SIGTERM)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="length of each load")
    parser.add_argument("--snap", type=int, default=96)
    parser.add_argument("--honeutil", default="target/release/honeutil")
    parser.add_argument("--honed", default="target/release/honed")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("run this as root: it makes a network namespace and loads the sensor")
    cases = ["none", "idle honed", "in process", "honed, 1 reader", "honed, 8 readers"]
    namespace = f"hone-bench-{os.getpid()}"
    results = {}
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True)
        with tempfile.TemporaryDirectory() as directory:
            for index in range(arguments.rounds):
                turn = index % len(cases)
                for udp in (False, True):
                    for case in cases[turn:] + cases[:turn]:
                        results.setdefault((case, udp), []).append(run(case, arguments, namespace, udp, directory))
                print(f"round {index + 1} of {arguments.rounds} done", file=sys.stderr)
    finally:
        subprocess.run(["ip", "netns", "del", namespace], check=False)
    print(f"snap length {arguments.snap}, {arguments.rounds} rounds of {arguments.seconds} s")
    print("| case | TCP | honed | UDP 64 B | honed | readers' drops (first round, UDP) |")
    print("|---|---|---|---|---|---|")
    for case in cases:
        cells = []
        for udp in (False, True):
            pairs = zip(results[(case, udp)], results[("none", udp)])
            cells.append(f"{statistics.median(a[0] / b[0] for a, b in pairs):.2f}")
            costs = [cost for _, cost, _ in results[(case, udp)] if cost is not None]
            cells.append(f"{statistics.median(costs):.2f} s/s" if costs else "")
        print(f"| {case} | {' | '.join(cells)} | {'; '.join(sorted(set(results[(case, True)][0][2])))} |")
    for udp, name in ((False, "TCP bit/s"), (True, "UDP datagrams/s")):
        print(f"none: {statistics.median(r[0] for r in results[('none', udp)]):.3g} {name}")


if __name__ == "__main__":
    main()
