"""What the benches of whole programs share: the loads (load.rs), recorders to run beside them, and what the kernel counts of BPF."""

import contextlib
import ctypes
import json
import os
import platform
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

SECONDS = 1_000_000_000
STATISTICS = "/proc/sys/kernel/bpf_stats_enabled"
# Loads between two namespaces, and how many packets a device may take in one piece.
WIRES = {"wire": "1", "wire-large": "65535"}
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.rs")


def require_root():
    if os.geteuid() != 0:
        sys.exit("run this as root: it makes a network namespace and loads the sensor")


def stop(process, how=signal.SIGINT):
    """Ends a process that was started here, and waits for it."""
    if process.poll() is None:
        process.send_signal(how)
    process.wait(timeout=90)


def processor(pid):
    """Nanoseconds that a process's threads were on a processor."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


class Lab:
    """A network namespace with its loopback, in which the loads run, another one behind a wire, and a directory; all are removed at the end."""

    def __init__(self, directory=None):
        require_root()
        self.parent = directory
        self.name = f"hone-bench-{os.getpid()}"
        self.far = f"{self.name}-far"
        self.inside = ["ip", "netns", "exec", self.name]

    def __enter__(self):
        # Ended from outside, it cleans up as well.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
        self.directory = tempfile.mkdtemp(prefix="hone-bench-", dir=self.parent)
        try:
            self.program = os.path.join(self.directory, "load")
            subprocess.run(["rustc", "--edition", "2024", "-O", "-o", self.program, SOURCE], check=True)
            subprocess.run(["ip", "netns", "add", self.name], check=True)
            subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True)
            ports = ["sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535"]
            subprocess.run([*self.inside, *ports], check=True)
            self.join()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in (self.name, self.far):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def join(self):
        """Joins the two namespaces by a pair of devices with packets of at most 1,500 bytes."""
        subprocess.run(["ip", "netns", "add", self.far], check=True)
        subprocess.run(["ip", "-n", self.name, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", self.far], check=True)
        for name, address in ((self.name, "10.9.0.1/24"), (self.far, "10.9.0.2/24")):
            subprocess.run(["ip", "-n", name, "addr", "add", address, "dev", "wire"], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "wire", "up"], check=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def load(self, *words):
        """Runs a load; returns what it prints (load.rs)."""
        many = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        environment, words = dict(os.environ), list(map(str, words))
        if words[0] in WIRES:
            for name in (self.name, self.far):
                subprocess.run(["ip", "-n", name, "link", "set", "wire", "gso_max_segs", WIRES[words[0]]], check=True)
            environment["FAR"], words[0] = f"{self.far} 10.9.0.2", "tcp"
        command = [*self.inside, self.program, *words]
        ran = subprocess.run(command, check=True, capture_output=True, timeout=300, preexec_fn=many, env=environment)
        return json.loads(ran.stdout)


@contextlib.contextmanager
def running(command, log, begun, timeout=60):
    """A program that runs meanwhile and is interrupted at the end. `begun`: whether it has begun, by what it has said so far."""
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        end = time.monotonic() + timeout
        while not begun(said(log)):
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"{' '.join(command)} does not begin:\n{said(log)}")
            time.sleep(0.02)
        yield process
    finally:
        stop(process)


def said(log):
    with open(log, encoding="utf-8", errors="replace") as file:
        return file.read()


def honed(program, socket, log, *words):
    """honed, until the end of the block."""
    return running([program, "--socket", socket, *words], log, lambda text: "serving readers" in text)


def honeutil(program, words, log):
    """`honeutil read`, until the end of the block."""
    return running([program, "read", *words], log, lambda text: "Recording to" in text)


def number(pattern, text):
    found = re.search(pattern, text)
    return int(found[1].replace(",", "")) if found else None


def statistics_of(path):
    """Packets delivered, dropped, from the statistics block at a recording's end (options 5, 7, 8)."""
    with open(path, "rb") as file:
        file.seek(-4, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-length, os.SEEK_END)
        block = file.read(length)
    if int.from_bytes(block[:4], "little") != 5:
        sys.exit(f"{path} does not end with statistics")
    options, at = {}, 20
    while at + 4 <= len(block) - 4:
        code, size = (int.from_bytes(block[at + i : at + i + 2], "little") for i in (0, 2))
        options[code] = int.from_bytes(block[at + 4 : at + 4 + size], "little")
        at += 4 + (size + 3) // 4 * 4
    return options.get(8, 0), options.get(5, 0) + options.get(7, 0)


class Bpf:
    """The few calls of bpf(2) that are needed; their numbers and layouts are those of linux/bpf.h."""

    NUMBER = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    LOAD, BY_ID, INFO, LINK = 5, 13, 15, 28
    CGROUP_SKB, INGRESS = 8, 0

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)

    def call(self, command, fields):
        attributes = ctypes.create_string_buffer(fields, 128)
        result = self.libc.syscall(self.NUMBER, command, attributes, len(attributes))
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    def attach_empty(self):
        """Attaches a program that lets each received packet pass, until this process ends."""
        with open("/proc/mounts", encoding="utf-8") as file:
            places = [line.split()[1] for line in file if line.split()[2] == "cgroup2"]
        cgroup = os.open(places[0], os.O_RDONLY)
        code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0))  # r0 = 1; exit
        licence = ctypes.create_string_buffer(b"GPL")
        place = struct.pack("=IIQQ", self.CGROUP_SKB, 2, ctypes.addressof(code), ctypes.addressof(licence))
        program = self.call(self.LOAD, place)
        self.call(self.LINK, struct.pack("=IIII", program, cgroup, self.INGRESS, 0))
        os.close(cgroup)

    def name(self, program_id):
        program = self.call(self.BY_ID, struct.pack("=I", program_id))
        information = ctypes.create_string_buffer(128)
        self.call(self.INFO, struct.pack("=IIQ", program, len(information), ctypes.addressof(information)))
        os.close(program)
        return information.raw[64:80].split(b"\0")[0].decode()  # bpf_prog_info.name


@contextlib.contextmanager
def bpf_statistics():
    """The kernel counts what each program takes; and an empty program shows what that takes itself."""
    with open(STATISTICS, encoding="ascii") as file:
        before = file.read()
    with open(STATISTICS, "w", encoding="ascii") as file:
        file.write("1")
    try:
        bpf = Bpf()
        bpf.attach_empty()
        yield bpf
    finally:
        with open(STATISTICS, "w", encoding="ascii") as file:
            file.write(before)


def programs(pid):
    """Of each program that a process holds, by its number: nanoseconds and runs."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
            # A link names its program as well, without what it has cost.
            if "run_time_ns" in fields:
                found[int(fields["prog_id"])] = int(fields["run_time_ns"]), int(fields["run_cnt"])
    return found


class Look:
    """What a recorder and the empty program have cost up to now."""

    def __init__(self, pid):
        self.time, self.processor = time.monotonic_ns(), processor(pid)
        self.programs, self.empty = programs(pid), next(iter(programs(os.getpid()).values()))

    def since(self, before):
        """Seconds, processor nanoseconds a second, and of each program nanoseconds and runs a second."""
        seconds = (self.time - before.time) / SECONDS
        rates = {
            number: [(b - a) / seconds for a, b in zip(before.programs.get(number, (0, 0)), after)]
            for number, after in self.programs.items()
        }
        return seconds, (self.processor - before.processor) / seconds, rates

    def clock_since(self, before):
        """What an empty program has taken for each run: the kernel's two looks at its clock."""
        return (self.empty[0] - before.empty[0]) / max(self.empty[1] - before.empty[1], 1)
