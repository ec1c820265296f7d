"""Whether packaging/shippers/json-files.awk keeps every event, but packets beyond the limit, which it counts; a part of scripts/test-fleet:
json_files.py FOLDER, with standard input from `honeutil show --json`."""
import collections
import json
import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(sys.argv[1]).resolve()
AWK = pathlib.Path("packaging/shippers/json-files.awk").resolve()
MOST, FILES, LINES = 0.05, 9, 5
lines = sys.stdin.buffer.read()
settings = {"folder": FOLDER, "most": MOST, "files": FILES, "lines": LINES}
subprocess.run(["awk", *(word for name in settings for word in ("-v", f"{name}={settings[name]}")), "-f", AWK], input=lines, check=True,
               env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"})
files = sorted(FOLDER.iterdir(), reverse=True)
assert len(files) > 3, files
assert all(file.stat().st_size <= MOST * (1 << 20) for file in files), [file.stat().st_size for file in files]
# From the oldest to the present one.
written = [json.loads(line) for file in files for line in file.read_text().splitlines()]
given = [json.loads(line) for line in lines.splitlines()]
count = lambda events: collections.Counter(event["event"]["action"] for event in events)  # noqa: E731
before, after = count(given), count(written)
left_out = sum(event["hone"].get("packets_left_out", 0) for event in written)
after.pop("packets-left-out")
before["packet"] -= left_out
assert left_out > 0 and after == before, (before, after)
assert all(event["host"]["id"] for event in written), "an event has no host"
# Those that are there are whole, and in their order.
hosts = {event["host"]["id"] for event in given if "host" in event}
for event in given + written:
    event.pop("host", None)
rest = iter(given)
assert all(event in rest for event in written if event["event"]["action"] != "packets-left-out"), "an event is not what it was"
assert len(hosts) == 3
print(f"json-files: {sum(after.values())} events in {len(files)} files, {left_out} packets left out and counted")
