#!/usr/bin/env python3
"""What hone.lua costs tshark: plain reading, and reading with each script, in turn, over the same recording.

    sudo bench/wireshark.py [--packets 100000] [--rounds 3] [--file FILE] [--scripts FOLDER]...
                            [--honeutil FILE]

Without --file, records HTTP over loopback first, in a network namespace of its own: curl, a new process for each request, and
two clients that stay. In each round the folders of scripts take turns, beginning with none and with a post-dissector that does nothing
(`empty`), which is what Wireshark itself takes to call any script. Each tshark has the folder as its folder of global plugins, in a
mount namespace of its own. Prints, for each way of reading, the processor time in seconds (user and system; median over the
rounds), its ratio to plain reading in the same round (median), and the peak memory.

Needs root, tshark, and for the recording curl and honeutil; no other Hone may run then.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

EMPTY = """
local p = Proto("empty", "Empty")
function p.dissector() end
register_postdissector(p)
"""
# A filter on a field of Wireshark's own is the plain reading of each row that has a filter.
WAYS = {
    "load, -q": (["-q"], ["-q"]),
    "-Y frame.len == 1": (["-Y", "frame.len == 1"], ["-Y", "frame.len == 1"]),
    "-Y hone.name == x": (["-Y", "frame.len == 1"], ["-Y", 'hone.name == "x"']),
    "-2 -Y hone.name == x": (["-2", "-Y", "frame.len == 1"], ["-2", "-Y", 'hone.name == "x"']),
    "-T fields -e hone.name": (["-T", "fields", "-e", "frame.len"], ["-T", "fields", "-e", "hone.name"]),
    "-Y hone.name == curl": (["-Y", "tcp.port == 8000"], ["-Y", 'hone.name == "curl"']),
}
LOAD = """
import http.client, http.server, subprocess, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"x" * 300
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = '''
import http.client
while True:
    c = http.client.HTTPConnection("127.0.0.1", 8000)
    c.request("GET", "/")
    c.getresponse().read()
    c.close()
'''
clients = [subprocess.Popen([sys.executable, "-c", client]) for _ in range(2)]
try:
    while True:
        subprocess.run(["curl", "-s", "-o", "/dev/null", "http://127.0.0.1:8000/"])
finally:
    for c in clients:
        c.kill()
"""


def record(options, folder):
    file = f"{folder}/load.pcapng"
    arguments = ["read", "--local", "--count", str(options.packets), "--filter", "tcp port 8000", "-w", file]
    reader = subprocess.Popen([options.honeutil, *arguments], stderr=subprocess.DEVNULL)
    time.sleep(3)
    load = subprocess.Popen(["unshare", "--net", "--pid", "--kill-child", sys.executable, "-c", LOAD], stderr=subprocess.DEVNULL)
    try:
        if reader.wait(3600):
            sys.exit("honeutil read failed")
    finally:
        load.kill()
        load.wait()
    return file


def plugins():
    folders = subprocess.run(["tshark", "-G", "folders"], capture_output=True, text=True, check=True).stdout
    return next(line.split("\t")[-1] for line in folders.splitlines() if line.startswith("Global Lua Plugins:"))


def cost(folder, file, arguments):
    """Seconds on a processor, and the peak memory in MB."""
    mount = 'mount --bind "$1" "$2" && shift 2 && exec tshark "$@"'
    command = ["unshare", "--mount", "sh", "-c", mount, "sh", folder, plugins(), "-n", "-r", file, *arguments]
    with open(os.devnull, "wb") as null:
        tshark = subprocess.Popen(command, stdout=null, stderr=subprocess.PIPE)
        errors = tshark.stderr.read().decode()
        _, status, usage = os.wait4(tshark.pid, 0)
        tshark.returncode = os.waitstatus_to_exitcode(status)
    if tshark.returncode or ".lua" in errors:
        sys.exit(f"tshark {arguments}: {errors}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=100000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--file")
    parser.add_argument("--scripts", action="append", default=[])
    parser.add_argument("--honeutil", default=f"{here}/../target/release/honeutil")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = options.file or record(options, folder)
        scripts = {"plain": f"{folder}/plain", "empty": f"{folder}/empty"}
        for path in scripts.values():
            os.mkdir(path)
        with open(f"{folder}/empty/a.lua", "w", encoding="utf-8") as script:
            script.write(EMPTY)
        for path in options.scripts or [f"{here}/../packaging/wireshark"]:
            scripts[os.path.normpath(path)] = path
        seen = {}
        for turn in range(options.rounds):
            for way, (plain, with_fields) in WAYS.items():
                order = list(scripts)
                for name in order[turn % len(order) :] + order[: turn % len(order)]:
                    arguments = plain if name in ("plain", "empty") else with_fields
                    seen.setdefault((way, name), []).append(cost(scripts[name], file, arguments))
    for way in WAYS:
        print(way)
        for name in scripts:
            times = [time for time, _ in seen[way, name]]
            ratios = [time / plain for time, (plain, _) in zip(times, seen[way, "plain"])]
            memory = max(memory for _, memory in seen[way, name])
            print(f"  {statistics.median(times):7.2f} s  x{statistics.median(ratios):.2f}  {memory:5.0f} MB  {os.path.basename(name)}")


main()
