#!/usr/bin/env python3
"""What other tools know of who has a connection: the truth bench's scenarios, played before each tool, scored alike.

    sudo bench/peers.py [--scenario tcp/v4]... [--tool hone|rustnet|nethogs]... [--bench target/debug/hone-truth]

rustnet (rustnet-monitor) and honeutil are scored by connection: right if every process that the tool names for it held
it. nethogs names processes without their connections: it is scored by processes with a TCP or UDP socket, named or not.
Each scenario has hosts of its own, network namespaces. honeutil sees them all from outside; the others watch interfaces,
so peers-watch starts one of them within each namespace that there is when recording starts, long enough before the
traffic, and ends it long enough after it. Needs root, nsenter, the tools on the path, and honeutil beside hone-truth.

    bench/peers.py --job >job; scripts/test-vm --job job --program rustnet --program nethogs 6.12
    bench/peers.py --kept target/vm/RELEASE

plays the same within another kernel, and scores what that leaves.
"""

import argparse
import contextlib
import json
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

SCENARIOS = """
    tcp tcp-late-accept tcp-prefork tcp-accept-fork tcp-exec tcp-passed tcp-shared-read threads loopback
    udp-connected udp-unconnected udp-shared-read udp-passed crowd-tcp crowd-udp
    ping-socket old-sockets pid-namespace cgroup sctp
""".split()

PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmp", "132": "sctp"}
TOOLS = ["hone", "rustnet", "nethogs"]


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
        # It says itself that the connection is nobody's yet.
        if event["hone"]["packet"].get("how") == "listener":
            continue
        network = event["network"]
        sides = [event["source"], event["destination"]]
        if network["direction"] == "ingress":
            sides.reverse()
        ends = [end(side["ip"], side.get("port", 0)) for side in sides]
        protocol = PROTOCOLS.get(network.get("iana_number"))
        if not protocol:
            continue
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


def words(bench, watch, tool, scenario, place):
    """The command that plays a scenario before a tool."""
    command = [bench, "run", "--crowd", "100", "--scenario", scenario, "--keep", f"{place}/kept"]
    if tool != "hone":
        command += ["--recorder", f"{watch} {tool} {place}/seen {{file}}"]
    return command


def score(bench, tool, scenario, place):
    """One row: of how many, right, wrong, missing; or what prevents it."""
    keep, seen = place / "kept", place / "seen"
    facts, log = keep / "facts", keep / "recorder.log"
    if not facts.exists() or not (keep / "recording.pcapng").exists():
        return f"failed: {log.read_text().strip() if log.exists() else 'nothing was recorded'}"
    skipped = re.search(rf"^(skipped|failed) {re.escape(scenario)} (.*)", facts.read_text(), re.MULTILINE)
    if skipped:
        return f"{skipped[1]}: {skipped[2]}"
    if tool == "nethogs":
        named, held = set(nethogs_processes(seen)), holders(facts, scenario)
        return len(held), len(named & held), len(named - held), len(held - named)
    honeutil = pathlib.Path(bench).with_name("honeutil")
    lines = hone_lines(honeutil, keep / "recording.pcapng") if tool == "hone" else rustnet_lines(seen)
    file = place / "lines"
    file.write_text("".join(" ".join(map(str, line)) + "\n" for line in sorted(set(lines), key=str)))
    command = [bench, "score", "--truth", facts, "--connections", file]
    scored = subprocess.run(command, capture_output=True, text=True, check=False)
    row = re.search(rf"^{re.escape(scenario)} +(\d+) +(\d+) +(\d+) +(\d+)", scored.stdout, re.MULTILINE)
    return tuple(map(int, row.groups())) if row else f"failed: {scored.stderr.strip() or scored.stdout}"


def job(scenarios, tools):
    """A script for a virtual machine that plays everything there."""
    watch = pathlib.Path(__file__).with_name("peers-watch").read_text()
    print(f"#!/bin/sh\ncat >/bin/peers-watch <<'END'\n{watch}END\nchmod +x /bin/peers-watch\nexport BEFORE=15")
    for scenario in scenarios:
        for tool in tools:
            place = f"/out/{name_of(scenario)}/{tool}"
            print(f"mkdir -p {place}")
            print(shlex.join(words("hone-truth", "peers-watch", tool, scenario, place)), f">{place}/table 2>&1")
            print(f"echo vm: {scenario} {tool}: $?")


def name_of(scenario):
    return scenario.replace("/", "-")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenario", action="append", metavar="NAME/FAMILY")
    parser.add_argument("--tool", action="append", choices=TOOLS)
    parser.add_argument("--bench", default="target/debug/hone-truth")
    parser.add_argument("--keep", type=pathlib.Path, help="a directory for what the tools said")
    parser.add_argument("--kept", type=pathlib.Path, help="play nothing, score what is in this directory")
    parser.add_argument("--job", action="store_true", help="print a script for scripts/test-vm")
    arguments = parser.parse_args()
    tools = arguments.tool or TOOLS
    scenarios = arguments.scenario or [f"{name}/v4" for name in SCENARIOS]
    if arguments.job:
        return job(scenarios, tools)
    watch = pathlib.Path(__file__).resolve().with_name("peers-watch")
    totals = {tool: [0, 0, 0, 0] for tool in tools}
    print("| scenario | tool | of | right | wrong | not named |\n|---|---|--:|--:|--:|--:|")
    for scenario in scenarios:
        for tool in tools:
            with tempfile.TemporaryDirectory() as directory:
                base = arguments.kept or arguments.keep or pathlib.Path(directory)
                place = base / name_of(scenario) / tool
                if not arguments.kept:
                    place.mkdir(parents=True)
                    subprocess.run(words(arguments.bench, watch, tool, scenario, place), capture_output=True, check=False)
                row = score(arguments.bench, tool, scenario, place)
            if isinstance(row, tuple):
                totals[tool] = [sum(pair) for pair in zip(totals[tool], row)]
            print(line(scenario, tool, row), flush=True)
    for tool, row in totals.items():
        print(line("all", tool, tuple(row)))
    return None


def line(scenario, tool, row):
    cells = row if isinstance(row, tuple) else (row, "", "", "")
    return f"| {scenario} | {tool} | {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(main())
