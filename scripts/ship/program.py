"""hone-ship and honed as the tests of faults.py run them."""

import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

PROGRAMS = pathlib.Path(sys.argv[1])
# Far more than any wait needs. On a machine that is busy, honed and hone-ship fall behind by minutes.
PATIENCE = 600
# The recordings that are delivered, and how many packets each has.
RECORDINGS, PACKETS = [], {}
# What the test of this thread has started.
OF_TEST = threading.local()


def wait_for(what, look):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain: {what}")


def start(command, **options):
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    OF_TEST.children.append(child)
    return child


class Ship:
    """A hone-ship with its own folder. The segments of its spool are recordings."""

    def __init__(self, folder, url, spool="", destination="", tables='["names", "sections"]', socket_path=None):
        self.folder = pathlib.Path(folder)
        self.spool = self.folder / "spool"
        self.config = self.folder / "ship.toml"
        self.metrics_file = self.folder / "metrics.prom"
        self.log = self.folder / "log"
        (self.spool / "segments").mkdir(parents=True, exist_ok=True)
        self.configure(url, spool, destination, tables, socket_path)

    def configure(self, url, spool="", destination="", tables='["names", "sections"]', socket_path=None):
        self.config.write_text(f"""
socket = "{socket_path or self.folder / 'none.sock'}"
tables = {tables}
[batch]
seconds = 1
size = 4
[spool]
folder = "{self.spool}"
size = 256
{spool}
[metrics]
file = "{self.metrics_file}"
[destination]
url = "{url}"
timeout = 5
{destination}
""")

    def segments(self, count):
        """Puts recordings of other names into the spool. Returns how many packets they have."""
        packets = 0
        for number in range(1, count + 1):
            recording = RECORDINGS[number % len(RECORDINGS)]
            shutil.copy(recording, self.spool / "segments" / f"{number:010}.pcapng")
            packets += PACKETS[recording]
        return packets

    def start(self, wrapper=()):
        self.metrics_file.unlink(missing_ok=True)
        self.child = start([*wrapper, PROGRAMS / "hone-ship", "--config", self.config], stderr=open(self.log, "ab"))
        return self

    def metric(self, name):
        try:
            for line in self.metrics_file.read_text().splitlines():
                if line.startswith(f"hone_ship_{name} "):
                    return int(line.split()[1])
        except FileNotFoundError:
            pass
        return None

    def wait(self, name, test):
        def look():
            assert self.child.poll() is None, f"hone-ship has ended: {self.log.read_text()}"
            value = self.metric(name)
            return value is not None and test(value)

        wait_for(f"{name} in {self.folder}", look)

    def is_empty(self):
        return not any((self.spool / "segments").iterdir()) and not any((self.spool / "batches").iterdir())

    def deliver_all(self):
        wait_for(f"an empty spool in {self.folder}", self.is_empty)

    def problem(self, part, *words):
        def look():
            lines = self.metrics_file.read_text().splitlines() if self.metrics_file.exists() else []
            lines = [line for line in lines if line.startswith(f'hone_ship_problem_info{{part="{part}"')]
            return any(all(word in line for word in words) for line in lines)

        wait_for(f"{words} as a problem of {part} in {self.folder}", look)

    def status(self):
        done = subprocess.run(
            [PROGRAMS / "hone-ship", "--config", self.config, "status"], capture_output=True, text=True
        )
        return done.returncode, done.stdout

    def kill(self):
        self.child.kill()
        self.child.wait()

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        assert self.child.wait(PATIENCE) == 0, self.log.read_text()


def begin_honed(folder):
    log = open(f"{folder}/honed.log", "wb")
    honed = start([PROGRAMS / "honed", "--config", f"{folder}/hone.toml"], stderr=log)
    wait_for("honed", lambda: b"serving readers" in pathlib.Path(folder, "honed.log").read_bytes() or honed.poll())
    assert honed.poll() is None, pathlib.Path(folder, "honed.log").read_text()
    return honed


def send(count):
    """Sends datagrams on the loopback interface. Returns the ports of sender and receiver."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(receiver.getsockname())
    for _ in range(count):
        sender.send(b"hone-ship")
        receiver.recv(100)
    return sender.getsockname()[1], receiver.getsockname()[1]
