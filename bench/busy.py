#!/usr/bin/env python3
"""What recorders lose when other programs keep all processors busy, with and without precedence, side by side.

    sudo bench/busy.py [--rounds 3] [--seconds 10] [--hogs 8] [--buffer 64] [--cgroup] [--honeutil FILE] [--honed FILE]

In each round two honeds with one reader each record the same datagrams (load.rs, 64 bytes, as many as it can) at the same time,
while the busy loops run: one honed as it is, and one that may not raise its sensor's priority. All run in one session, so that nice
values count; with --cgroup, each honed with its reader, each loop and the load have cgroups of their own, as services of systemd have:
the one honed's has the weight that CPUWeight=500 gives, all others 100.

Prints for each: packets recorded, packets lost before the sensor, what the reader says it lost, and how long the sensor's
thread could have run and did not (/proc/PID/task/TID/schedstat). Needs setpriv, rustc and root.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time

from lab import Lab, stop

CASES = {"precedence": [], "none": ["setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice"]}


class Groups:
    """Cgroups with a weight, removed at the end."""

    def __init__(self):
        self.made = []
        if os.path.isdir("/sys/fs/cgroup/cpu"):
            self.root, self.weight = "/sys/fs/cgroup/cpu", lambda weight: ("cpu.shares", weight * 1024 // 100)
        else:
            self.root, self.weight = "/sys/fs/cgroup", lambda weight: ("cpu.weight", weight)
            with open(f"{self.root}/cgroup.subtree_control", "w", encoding="ascii") as file:
                file.write("+cpu")

    def enter(self, name, weight):
        """What a child does to be in a group."""
        path = f"{self.root}/hone-bench-{name}"
        os.makedirs(path, exist_ok=True)
        self.made.append(path)
        file, value = self.weight(weight)
        with open(f"{path}/{file}", "w", encoding="ascii") as out:
            out.write(str(value))

        def enter():
            with open(f"{path}/cgroup.procs", "w", encoding="ascii") as out:
                out.write(str(os.getpid()))

        return enter

    def remove(self):
        for path in self.made:
            for _ in range(50):
                try:
                    os.rmdir(path)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.1)


def sensor_thread(pid):
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm", encoding="utf-8") as file:
            if file.read().strip() == "sensor":
                return f"/proc/{pid}/task/{thread}"
    sys.exit("honed has no thread called sensor")


def waited(thread):
    """Seconds that the thread could have run and did not."""
    with open(f"{thread}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[1]) / 1e9


def await_service(log):
    for _ in range(600):
        with open(log, encoding="utf-8") as file:
            if "serving readers" in file.read():
                return
        time.sleep(0.1)
    sys.exit("honed does not serve")


def round_of(arguments, lab, groups, order):
    directory = lab.directory
    config = f"{directory}/hone.toml"
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"sensor_buffer = {arguments.buffer}\nring_buffer_size = 16777216\n")
    running, services, results = [], {}, {}
    others = groups.enter("others", 100) if groups else None
    try:
        for case in order:
            socket = f"{directory}/{case}.sock"
            enter = groups.enter(case, 500 if case == "precedence" else 100) if groups else None
            with open(f"{directory}/{case}.log", "w", encoding="utf-8") as log:
                command = [*CASES[case], arguments.honed, "--config", config, "--socket", socket]
                service = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=enter)
            running.append(service)
            await_service(f"{directory}/{case}.log")
            command = [*CASES[case], arguments.honeutil, "read", "--socket", socket, "-s", "96", "-w", "/dev/null"]
            with open(f"{directory}/{case}.read", "w", encoding="utf-8") as said:
                reader = subprocess.Popen(command, stderr=said, preexec_fn=enter)
            running.append(reader)
            services[case] = (service, socket, reader)
        time.sleep(1)
        for number in range(arguments.hogs):
            own = groups.enter(f"loop{number}", 100) if groups else None
            running.append(subprocess.Popen(["sh", "-c", "while :; do :; done"], preexec_fn=own))
        before = {case: waited(sensor_thread(service.pid)) for case, (service, _, _) in services.items()}
        if groups:
            others()
        # Network cards deliver whatever else runs, so the load comes before the loops, too.
        os.setpriority(os.PRIO_PROCESS, 0, -10)
        lab.load("udp", arguments.seconds)
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        for process in running[len(services) * 2 :]:
            stop(process, signal.SIGKILL)
        time.sleep(3)  # What waits in the kernel's buffers is recorded now.
        for case, (service, socket, reader) in services.items():
            ask = [arguments.honeutil, "get-stats", "--json", "--socket", socket]
            counts = json.loads(subprocess.run(ask, capture_output=True, check=True).stdout)
            stop(reader, signal.SIGINT)
            with open(f"{directory}/{case}.read", encoding="utf-8") as said:
                missing = [line.split(maxsplit=1)[1].strip() for line in said if line.startswith("Dropped")]
            results[case] = (
                counts["packets"]["count"],
                counts["dropped"]["sensor"]["packets"],
                waited(sensor_thread(service.pid)) - before[case],
                "; ".join(missing),
            )
    finally:
        for process in reversed(running):
            stop(process, signal.SIGTERM)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--hogs", type=int, default=8)
    parser.add_argument("--buffer", type=int, default=64, help="MiB between the kernel and honed")
    parser.add_argument("--cgroup", action="store_true")
    parser.add_argument("--honeutil", default="target/release/honeutil")
    parser.add_argument("--honed", default="target/release/honed")
    arguments = parser.parse_args()
    groups = Groups() if arguments.cgroup else None
    try:
        with Lab() as lab:
            for number in range(arguments.rounds):
                order = list(CASES) if number % 2 == 0 else list(reversed(CASES))
                for case, (packets, lost, wait, missing) in sorted(round_of(arguments, lab, groups, order).items()):
                    print(f"round {number + 1} {case:12} {packets:10} packets, {lost:9} lost, waited {wait:6.2f} s; reader: {missing}", flush=True)
    finally:
        if groups:
            with open(f"{groups.root}/cgroup.procs", "w", encoding="ascii") as out:
                out.write(str(os.getpid()))
            groups.remove()


if __name__ == "__main__":
    main()
