#!/usr/bin/env python3
"""What other tools know of who has a connection: the truth bench's scenarios, played before each tool, scored alike.

    sudo bench/peers.py [--scenario tcp/v4]... [--tool hone|rustnet|nethogs]... [--bench target/debug/hone-truth]

rustnet (rustnet-monitor) and honeutil are scored by connection: right if every process that the tool names for it held
it. nethogs names processes without their connections: it is scored by processes with a TCP or UDP socket, named or not.
Each scenario has hosts of its own, network namespaces. honeutil sees them all from outside; the others watch interfaces,
so one of them is started within each namespace that there is when recording starts, long enough before the traffic, and
ended long enough after it. Needs root, nsenter, the tools on the path, and honeutil beside hone-truth.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

SCENARIOS = """
    tcp tcp-late-accept tcp-prefork tcp-accept-fork tcp-exec tcp-passed tcp-shared-read threads loopback
    udp-connected udp-unconnected udp-shared-read udp-passed crowd-tcp crowd-udp
    ping-socket old-sockets pid-namespace cgroup sctp
""".split()

# Seconds before and after the traffic: several times what rustnet refreshes in (0.1 s), and twice nethogs' 1 s.
BEFORE, AFTER = 4, 3

# The beginning of a pcapng file without packets, for the bench: a section header, an interface.
EMPTY = bytes.fromhex("0a0d0d0a1c0000004d3c2b1a01000000ffffffffffffffff1c00000001000000140000006500000000000000" "14000000")


def commands(tool, place):
    """The command of a tool, that writes into `place`, and the file of its standard output."""
    if tool == "rustnet":
        # Everything that it could leave out by itself is asked for.
        command = ["rustnet", "--headless", "-i", "any", "--show-localhost", "--no-resolve-dns", "--no-geoip", "-r", "100"]
        return command + ["--no-uid-drop", "--no-sandbox", "--json-log", f"{place}/log"], place / "snapshots"
    return ["nethogs", "-t", "-a", "-C", "-d", "1"], place / "trace"


def namespaces(process):
    """Paths of the network namespaces that a process has open, but its own."""
    found = {}
    directory = pathlib.Path(f"/proc/{process}/fd")
    for path in directory.iterdir():
        with contextlib.suppress(OSError):
            name = os.readlink(path)
            if name.startswith("net:"):
                found.setdefault(name, path)
    found.pop(os.readlink("/proc/self/ns/net"), None)
    return list(found.values())


def watch(tool, place, file):
    """Runs in the recorder's stead: one tool in each of the bench's namespaces, until SIGINT."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    children = []
    for number, namespace in enumerate(namespaces(os.getppid())):
        within = pathlib.Path(place) / str(number)
        within.mkdir(parents=True)
        command, output = commands(tool, within)
        with open(output, "wb") as out, open(within / "errors", "wb") as errors:
            enter = ["nsenter", f"--net={namespace}", "--"]
            restore = lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM])
            children.append(
                subprocess.Popen(enter + command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, preexec_fn=restore)
            )
    time.sleep(BEFORE)
    early = [child.args for child in children if child.poll() is not None]
    if early:
        sys.exit(f"ended at once: {early}")
    pathlib.Path(file).write_bytes(EMPTY)
    signal.sigwait([signal.SIGINT, signal.SIGTERM])
    time.sleep(AFTER)
    for child in children:
        child.send_signal(signal.SIGINT)
    for child in children:
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()


def end(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def records(path):
    """The JSON objects of a file, one a line."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                yield json.loads(line)


def rustnet_lines(place):
    """Of the log of events, and of the snapshots, which know some processes later."""
    for path in place.glob("*/log"):
        for event in records(path):
            if event.get("pid"):
                ends = end(event["source_ip"], event["source_port"]), end(event["destination_ip"], event["destination_port"])
                yield (event["protocol"].lower(), *ends, event["pid"])
    for path in place.glob("*/snapshots"):
        for snapshot in records(path):
            for connection in snapshot.get("connections", []):
                process = (connection.get("process") or {}).get("pid")
                if process:
                    yield (connection["protocol"].lower(), *snapshot_ends(connection), process)


def snapshot_ends(connection):
    return tuple(end(connection[side]["ip"], connection[side]["port"]) for side in ("local", "remote"))


def hone_lines(honeutil, recording):
    shown = subprocess.run([honeutil, "show", "--json", recording], check=True, capture_output=True, text=True).stdout
    for line in shown.splitlines():
        event = json.loads(line)
        if event["event"].get("action") != "packet" or "pid" not in event.get("process", {}):
            continue
        network = event["network"]
        sides = [event["source"], event["destination"]]
        if network["direction"] == "ingress":
            sides.reverse()
        ends = [end(side["ip"], side.get("port", 0)) for side in sides]
        protocol = {"ipv6-icmp": "icmp"}.get(network["transport"], network["transport"])
        yield (protocol, *ends, event["process"]["pid"])


def nethogs_processes(place):
    """The ids that it names: NAME/PID/UID, a tab, sent, a tab, received."""
    for path in place.glob("*/trace"):
        for line in path.read_text(errors="replace").splitlines():
            found = re.match(r".*/(\d+)/\d+\t", line)
            if found and found[1] != "0":
                yield int(found[1])


def holders(facts, scenario):
    """The processes that had a TCP or UDP socket."""
    found = set()
    for line in facts.read_text().splitlines():
        words = line.split()
        if words[0] == "holds" and words[1] == scenario and words[2] in ("tcp", "udp"):
            found.add(int(words[5]))
    return found


def play(bench, tool, scenario, place):
    """One row: of how many, right, wrong, missing."""
    keep, seen = place / "kept", place / "seen"
    command = [bench, "run", "--quick", "--scenario", scenario, "--keep", keep]
    if tool != "hone":
        script = pathlib.Path(__file__).resolve()
        command += ["--recorder", f"{sys.executable} {script} --watch {tool} {seen} {{file}}"]
    done = subprocess.run(command, capture_output=True, text=True)
    log = keep / "recorder.log"
    if done.returncode == 2 or not (keep / "facts").exists():
        said = log.read_text().strip() if log.exists() else ""
        return f"failed: {done.stderr.strip()} {said}"
    facts = keep / "facts"
    skipped = re.search(rf"^skipped {re.escape(scenario)} (.*)", facts.read_text(), re.MULTILINE)
    if skipped:
        return f"skipped: {skipped[1]}"
    if tool == "nethogs":
        named, held = set(nethogs_processes(seen)), holders(facts, scenario)
        return len(held), len(named & held), len(named - held), len(held - named)
    honeutil = pathlib.Path(bench).with_name("honeutil")
    lines = hone_lines(honeutil, keep / "recording.pcapng") if tool == "hone" else rustnet_lines(seen)
    file = place / "lines"
    file.write_text("".join(" ".join(map(str, line)) + "\n" for line in sorted(set(lines), key=str)))
    score = [bench, "score", "--truth", facts, "--connections", file]
    scored = subprocess.run(score, capture_output=True, text=True)
    row = re.search(rf"^{re.escape(scenario)} +(\d+) +(\d+) +(\d+) +(\d+)", scored.stdout, re.MULTILINE)
    return tuple(map(int, row.groups())) if row else f"failed: {scored.stderr.strip() or scored.stdout}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenario", action="append", metavar="NAME/FAMILY")
    parser.add_argument("--tool", action="append", choices=["hone", "rustnet", "nethogs"])
    parser.add_argument("--bench", default="target/debug/hone-truth")
    parser.add_argument("--keep", type=pathlib.Path, help="a directory for what the tools said")
    parser.add_argument("--watch", nargs=3, metavar=("TOOL", "DIRECTORY", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.watch:
        return watch(*arguments.watch)
    tools = arguments.tool or ["hone", "rustnet", "nethogs"]
    print("| scenario | tool | of | right | wrong | not named |\n|---|---|--:|--:|--:|--:|")
    for scenario in arguments.scenario or [f"{name}/v4" for name in SCENARIOS]:
        for tool in tools:
            with tempfile.TemporaryDirectory() as directory:
                place = arguments.keep / scenario.replace("/", "-") / tool if arguments.keep else pathlib.Path(directory)
                row = play(arguments.bench, tool, scenario, place)
            cells = row if isinstance(row, tuple) else (row, "", "", "")
            print(f"| {scenario} | {tool} | {' | '.join(map(str, cells))} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
