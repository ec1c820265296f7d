#!/usr/bin/env python3
"""What hashing executables costs: how long programs take to start and end, and what the recorder computes meanwhile.

    sudo bench/hashing.py [--rounds 5] [--count 2000] [--honeutil FILE]

In each round, each case starts as many programs one after the other: without a recorder, with `honeutil read`, with `honeutil read
--hash`. `same`: always the same file. `new`: each time a file that was never executed before (copies of /bin/true). The cases take
turns. What runs before is hashed before the programs start. Prints the medians: microseconds for each program, the ratio to the same
round without a recorder, and microseconds of a processor that the recorder and its thread for hashing used for each program.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

CASES = {"none": None, "read": [], "read --hash": ["--hash"]}


def used(pid):
    """Seconds of a processor that the process used, and its thread for hashing."""
    threads = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm", encoding="utf-8") as file:
            name = file.read().strip()
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            threads[name] = int(file.read().split()[0]) / 1e9
    return sum(threads.values()), threads.get("hashing", 0)


def settle(pid):
    """Waits until the recorder has nothing to do."""
    while True:
        before = sum(used(pid))
        time.sleep(1)
        if sum(used(pid)) - before < 0.05:
            return


def play(arguments, honeutil, files):
    """Microseconds for each program: from start to end; of the recorder; of its thread for hashing."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = None
        if arguments is not None:
            command = [honeutil, "read", "--local", "-q", "-w", f"{folder}/a.pcapng", *arguments]
            recorder = subprocess.Popen(command)  # pylint: disable=consider-using-with
            time.sleep(1)
            settle(recorder.pid)
        before = used(recorder.pid) if recorder else (0, 0)
        began = time.perf_counter()
        for file in files:
            os.waitpid(os.posix_spawn(file, [file], {}), 0)
        took = time.perf_counter() - began
        after = (0, 0)
        if recorder:
            settle(recorder.pid)
            after = used(recorder.pid)
            recorder.send_signal(signal.SIGINT)
            recorder.wait()
    return [value * 1e6 / len(files) for value in (took, after[0] - before[0], after[1] - before[1])]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--honeutil", default="target/release/honeutil")
    options = parser.parse_args()
    results = {(load, case): [] for load in ("same", "new") for case in CASES}
    for number in range(options.rounds):
        for load in ("same", "new"):
            names = list(CASES)
            for name in names[number % 3 :] + names[: number % 3]:
                with tempfile.TemporaryDirectory() as folder:
                    files = [f"{folder}/{file}" for file in range(options.count if load == "new" else 1)]
                    for file in files:
                        shutil.copy("/bin/true", file)
                    files = files if load == "new" else files * options.count
                    results[load, name].append(play(CASES[name], options.honeutil, files))
    print("programs | recorder | µs each | ratio | recorder µs | of it hashing µs")
    for (load, name), found in results.items():
        none = [values[0] for values in results[load, "none"]]
        ratio = statistics.median(values[0] / base for values, base in zip(found, none))
        medians = [statistics.median(column) for column in zip(*found)]
        print(f"{load} | {name} | {medians[0]:.0f} | {ratio:.2f} | {medians[1]:.0f} | {medians[2]:.0f}")


if __name__ == "__main__":
    main()
