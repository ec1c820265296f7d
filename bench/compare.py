#!/usr/bin/env python3
"""What recording costs: no capture, tcpdump, dumpcap, honeutil alone and through honed in turn, over the same load.

    sudo bench/compare.py [--rounds 5] [--seconds 4] [--snap 96] [--honeutil target/release/honeutil]
                          [--honed target/release/honed]

Works in a network namespace of its own, so that tcpdump and dumpcap (`-i any`) see this load only. Each round runs
every recorder once, in rotating order, under a TCP load (iperf3, unlimited) and a load of small UDP datagrams
(iperf3, 64 bytes, unlimited, received datagrams count). Prints, per recorder, the median over the rounds of the ratio
to the same round's run without capture, the recorder's own count of packets and of drops. Needs iperf3, tcpdump,
dumpcap (Debian: wireshark-common) and root. honed is started for its own runs only, on a socket of its own. Prints ratios, not times: machines differ, and the same one from run to run.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

PORT = 5201


class Recorder:
    """A program that records into a file until SIGINT."""

    def __init__(self, name, command, counts, inside=True, service=None):
        # The sensor sees every namespace, and needs the cgroup mount that `ip netns exec` hides.
        self.name, self.command, self.counts, self.inside = name, command, counts, inside
        # The command of the service that it reads from, of its socket.
        self.service = service


def tcpdump_counts(text):
    """Packets captured, dropped, as tcpdump says at its end."""
    return number(r"(\d+) packets? captured", text), number(r"(\d+) packets? dropped by kernel", text)


def dumpcap_counts(text):
    """Packets captured, dropped, as dumpcap says at its end."""
    found = re.search(r"received/dropped on interface 'any': (\d+)/(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (None, None)


def number(pattern, text):
    found = re.search(pattern, text)
    return int(found[1].replace(",", "")) if found else None


def honeutil_counts(path):
    """Packets delivered, dropped, from the statistics block at the file's end (options 5, 7, 8)."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(size - 4)
        length = int.from_bytes(file.read(4), "little")
        file.seek(size - length)
        block = file.read(length)
    if int.from_bytes(block[:4], "little") != 5:
        return None, None
    options, at = {}, 20
    while at + 4 <= len(block) - 4:
        code, size = (int.from_bytes(block[at + i : at + i + 2], "little") for i in (0, 2))
        options[code] = int.from_bytes(block[at + 4 : at + 4 + size], "little")
        at += 4 + (size + 3) // 4 * 4
    return options.get(8), options.get(5, 0) + options.get(7, 0)


def iperf(namespace, seconds, udp):
    """Runs the load; returns bits per second (TCP) or datagrams received per second (UDP)."""
    inside = ["ip", "netns", "exec", namespace]
    server = subprocess.Popen(
        inside + ["iperf3", "-s", "-1", "-p", str(PORT)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_listener(namespace)
        load = ["-u", "-b", "0", "-l", "64"] if udp else []
        client = subprocess.run(
            inside + ["iperf3", "-c", "127.0.0.1", "-p", str(PORT), "-t", str(seconds), "-J", *load],
            capture_output=True,
            text=True,
            timeout=seconds + 30,
        )
        server.wait(timeout=10)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
    result = json.loads(client.stdout)
    if "error" in result:
        sys.exit(f"iperf3: {result['error']}")
    if not udp:
        return result["end"]["sum_received"]["bits_per_second"]
    total = result["end"]["sum"]
    return (total["packets"] - total["lost_packets"]) / total["seconds"]


def wait_for_listener(namespace):
    for _ in range(100):
        found = subprocess.run(
            ["ip", "netns", "exec", namespace, "ss", "-Hltn", f"sport = :{PORT}"], capture_output=True, text=True
        )
        if found.stdout.strip():
            return
        time.sleep(0.05)
    sys.exit("iperf3's server did not come up")


def run(recorder, namespace, seconds, udp, directory):
    """One recorder under one load; returns the load's rate and the recorder's packets and drops."""
    if recorder is None:
        return iperf(namespace, seconds, udp), None
    if recorder.service:
        socket = os.path.join(directory, "hone.sock")
        with open(os.path.join(directory, "service"), "w", encoding="utf-8") as log:
            service = subprocess.Popen(recorder.service(socket), stdout=log, stderr=log)
        try:
            wait_for_service(service, os.path.join(directory, "service"))
            return record(recorder, namespace, seconds, udp, directory)
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(timeout=60)
    return record(recorder, namespace, seconds, udp, directory)


def wait_for_service(service, log):
    for _ in range(400):
        with open(log, encoding="utf-8") as file:
            text = file.read()
        if "serving readers" in text:
            return
        if service.poll() is not None:
            break
        time.sleep(0.05)
    sys.exit(f"honed does not serve:\n{text}")


def record(recorder, namespace, seconds, udp, directory):
    path = os.path.join(directory, "capture")
    with open(os.path.join(directory, "log"), "w+", encoding="utf-8") as log:
        prefix = ["ip", "netns", "exec", namespace] if recorder.inside else []
        process = subprocess.Popen([*prefix, *recorder.command(path)], stdout=log, stderr=log)
        try:
            for _ in range(200):
                if os.path.exists(path) and os.path.getsize(path) > 0:
                    break
                if process.poll() is not None:
                    break
                time.sleep(0.05)
            time.sleep(0.3)
            if process.poll() is not None:
                log.seek(0)
                sys.exit(f"{recorder.name} ended early:\n{log.read()}")
            rate = iperf(namespace, seconds, udp)
            time.sleep(0.2)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
        log.seek(0)
        text = log.read()
    counts = recorder.counts(path) if recorder.counts is honeutil_counts else recorder.counts(text)
    os.unlink(path)
    return rate, counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="length of each load")
    parser.add_argument("--snap", type=int, default=96, help="snap length in bytes; 0: whole packets")
    parser.add_argument("--honeutil", default="target/release/honeutil")
    parser.add_argument("--honed", default="target/release/honed")
    parser.add_argument("--directory", default=None, help="where the recordings go while they last")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("run this as root: it makes a network namespace and loads the sensor")
    if not 1 <= arguments.rounds <= 50 or not 1 <= arguments.seconds <= 30:
        sys.exit("--rounds must be 1 to 50, --seconds 1 to 30")

    snap = str(arguments.snap)
    whole = str(arguments.snap or 262144)
    honeutil, honed = os.path.abspath(arguments.honeutil), os.path.abspath(arguments.honed)

    def through_honed(path):
        socket = os.path.join(os.path.dirname(path), "hone.sock")
        return [honeutil, "read", "--socket", socket, "-s", snap, "-w", path]

    recorders = [
        None,
        Recorder("tcpdump", lambda p: ["tcpdump", "-i", "any", "-n", "-s", whole, "-Z", "root", "-w", p], tcpdump_counts),
        Recorder("dumpcap", lambda p: ["dumpcap", "-q", "-i", "any", "-s", whole, "-w", p], dumpcap_counts),
        Recorder("honeutil", lambda p: [honeutil, "read", "--local", "-s", snap, "-w", p], honeutil_counts, inside=False),
        Recorder(
            "honeutil through honed", through_honed, honeutil_counts, inside=False, service=lambda s: [honed, "--socket", s]
        ),
    ]
    namespace = f"hone-bench-{os.getpid()}"
    rates, packets, drops = {}, {}, {}
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True)
        with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
            for index in range(arguments.rounds):
                turn = index % len(recorders)
                for udp in (False, True):
                    for recorder in recorders[turn:] + recorders[:turn]:
                        name = recorder.name if recorder else "none"
                        rate, counts = run(recorder, namespace, arguments.seconds, udp, directory)
                        key = (name, udp)
                        rates.setdefault(key, []).append(rate)
                        if counts:
                            packets.setdefault(key, []).append(counts[0])
                            drops.setdefault(key, []).append(counts[1])
                print(f"round {index + 1} of {arguments.rounds} done", file=sys.stderr)
    finally:
        subprocess.run(["ip", "netns", "del", namespace], check=False)

    def ratio(name, udp):
        return statistics.median(a / b for a, b in zip(rates[(name, udp)], rates[("none", udp)]))

    def share(name, udp):
        seen, lost = packets[(name, udp)], drops[(name, udp)]
        if None in seen or None in lost:
            return "?"
        return f"{sum(lost)} of {sum(seen) + sum(lost)}"

    print(f"snap length {arguments.snap}, {arguments.rounds} rounds of {arguments.seconds} s; medians of ratios to none")
    print("| recorder | TCP | TCP drops | UDP 64 B | UDP drops |")
    print("|---|---|---|---|---|")
    none = [statistics.median(rates[("none", udp)]) for udp in (False, True)]
    print(f"| none | 1 ({none[0] / 1e9:.1f} Gbit/s) | | 1 ({none[1] / 1e3:.0f} k/s) | |")
    for recorder in recorders[1:]:
        n = recorder.name
        print(f"| {n} | {ratio(n, False):.2f} | {share(n, False)} | {ratio(n, True):.2f} | {share(n, True)} |")


if __name__ == "__main__":
    main()
