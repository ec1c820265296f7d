#!/usr/bin/env python3
"""What it costs to read a recording: honeutil, and tshark for the same fields.

    cargo build --release -p honeutil
    bench/offline.py [--bytes 2G] [--snap 0] [--processes 200] [--connections 20000] [--rounds 3] [--honeutil FILE]... [--only text]...

Makes a recording of a busy web server: TCP of full size and acknowledgements, DNS, some of it IPv6, with its processes,
connections and corrections. Each program reads it once, so that it is in the page cache. Then the programs take turns,
in another order in each round; what they print goes to /dev/null. Prints medians: seconds, seconds on a processor,
the most memory, and the ratio of both times to those of the first honeutil in the same case.

--honeutil can be given several times, to compare builds. Needs tshark, and the room for the recording.
"""

import argparse
import contextlib
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

FIELDS = "frame.time_epoch ip.proto ip.src ip.dst ipv6.src ipv6.dst tcp.srcport tcp.dstport udp.srcport udp.dstport frame.len".split()
TSHARK = ["tshark", "-n", "-r", "{file}"]
FIELD_WORDS = [word for field in FIELDS for word in ("-e", field)]
# Nothing but the fields: no protocols above TCP and UDP, and no analysis of TCP.
LEAST = ["-o", "tcp.desegment_tcp_streams:FALSE", "-o", "tcp.analyze_sequence_numbers:FALSE"]
LEAST += [word for name in ("tls", "dns", "http") for word in ("--disable-protocol", name)]
JSON = ["-T", "ek", *FIELD_WORDS]
# What of honeutil, and of tshark.
CASES = {
    "text": (["show", "{file}"], {"tshark": [*TSHARK, "-T", "fields", *FIELD_WORDS]}),
    "text, least of tshark": (["show", "{file}"], {"tshark": [*TSHARK, *LEAST, "-T", "fields", *FIELD_WORDS]}),
    "JSON": (["show", "--json", "{file}"], {"tshark": [*TSHARK, *JSON]}),
    "filter": (
        ["show", "--filter", "udp port 53", "{file}"],
        {"tshark": [*TSHARK, "-Y", "udp.port == 53", "-T", "fields", *FIELD_WORDS]},
    ),
    "name": (["show", "--name", "worker7", "{file}"], {}),
    "cut": (["show", "--port", "53", "-w", "{out}", "{file}"], {"tshark": [*TSHARK, "-Y", "udp.port == 53", "-w", "{out}"]}),
    "convert": (["convert", "--to", "wireshark", "{file}", "{out}"], {}),
    "tables": (
        ["export", "--to", "parquet", "-d", "{dir}", "{file}"],
        {"tshark": [*TSHARK, "-T", "fields", *FIELD_WORDS]},
    ),
    "tables, with packets": (
        ["export", "--to", "parquet", "--tables", "processes,connections,names,sections,packets", "-d", "{dir}", "{file}"],
        {"tshark": [*TSHARK, "-T", "fields", *FIELD_WORDS]},
    ),
    "report": (["report", "{file}", "-o", "{out}"], {}),
    "zstd": (["show", "{zst}"], {"zstdcat": ["zstd", "-dcq", "{zst}"]}),
}
# Whether it is sent by this host, and the bytes of its payload.
TCP = [(0, 420), (1, 0), (1, 1448), (1, 1448), (0, 0), (1, 1448), (1, 1448), (0, 0), (1, 300), (0, 0)]
UDP = [(0, 60), (1, 120), (0, 60), (1, 180)]
START = 1_790_000_000_000_000_000


def block(kind, body):
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def option(code, value):
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def stamp(nanos):
    return struct.pack("<II", nanos >> 32, nanos & 0xFFFFFFFF)


def process(number, nanos):
    path = f"/usr/lib/web/bin/worker{number % 50}".encode()
    user = 1000 + number % 7
    body = struct.pack("<I", 1000 + number) + stamp(nanos) + option(3, path)
    body += option(4, path + b"\0--listen\0[::]:443\0") + option(5, struct.pack("<I", 1))
    body += option(6, struct.pack("<I", user)) + option(7, struct.pack("<I", user))
    body += option(8, f"web{user}".encode()) + option(9, b"web") + option(15, b"web.service")
    return block(0x101, body + bytes(4))


def connection(number, processes, nanos, more=b""):
    body = struct.pack("<II", number, 1000 + number % processes) + stamp(nanos)
    return block(0x102, body + (more + bytes(4) if more else b""))


class Flow:
    """A connection's packets, but for their times and numbers."""

    def __init__(self, number, chance, pool, snap, processes):
        self.number, self.pid, self.sequences = number, 1000 + number % processes, [chance.getrandbits(32), chance.getrandbits(32)]
        self.protocol = 17 if number % 8 == 0 else 6
        peer, port = chance.getrandbits(32), chance.randrange(32768, 61000)
        service = 53 if self.protocol == 17 else 443 if number % 3 else 8080
        rhythm = UDP if self.protocol == 17 else TCP
        self.templates = []
        for outbound, size in rhythm:
            ends, ports = [peer, 0x0A000001], [port, service]
            if outbound:
                ends.reverse()
                ports.reverse()
            self.templates.append(self.template(outbound, ends, ports, size, chance, pool, snap, number))

    def template(self, outbound, ends, ports, size, chance, pool, snap, number):
        at = chance.randrange(len(pool) - 2000)
        payload = pool[at : at + size]
        if self.protocol == 17:
            transport = struct.pack(">HHHH", *ports, 8 + size, 0)
            # A query for a name, so that a reader of DNS finds what it looks for.
            query = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01"
            payload = query + bytes(size - len(query))
        else:
            transport = struct.pack(">HHIIBBHHHBBBBII", *ports, 0, 7, 0x80, 0x10, 500, 0, 0, 1, 1, 8, 10, 1, 1)
            if size and 443 in ports:
                payload = b"\x17\x03\x03" + struct.pack(">H", size - 5) + payload[5:]
        segment = transport + payload
        if number % 10 == 1:
            header = struct.pack(">IHBB", 0x60000000, len(segment), self.protocol, 64)
            header += b"".join(b"\x20\x01\x0d\xb8" + bytes(8) + struct.pack(">I", end) for end in ends)
        else:
            header = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, self.protocol, 0, *ends)
        data = header + segment
        captured = data[:snap] if snap else data
        sequence_at = 20 + len(header) + 4 if self.protocol == 6 else None
        options = option(2, struct.pack("<I", 2 if outbound else 1)) + option(257, struct.pack("<I", number))
        options += option(258, struct.pack("<I", self.pid)) + option(259, b"\x02") + bytes(4)
        body = captured + bytes(-len(captured) % 4) + options
        length = 32 + len(body)
        begin = struct.pack("<III", 6, length, 0)
        head = struct.pack("<II", len(captured), len(data))
        if sequence_at is None:
            return begin, head + body + struct.pack("<I", length), None, size, outbound
        cut = sequence_at - 12
        whole = head + body + struct.pack("<I", length)
        return begin, whole[:cut], whole[cut + 8 :], size, outbound

    def packet(self, kind, nanos):
        begin, first, second, size, outbound = self.templates[kind % len(self.templates)]
        if second is None:
            return begin + stamp(nanos) + first
        sequence = self.sequences[outbound]
        self.sequences[outbound] = (sequence + size) & 0xFFFFFFFF
        return begin + stamp(nanos) + first + struct.pack(">II", sequence, self.sequences[not outbound]) + second


def make(path, options):
    snap, processes = options.snap, options.processes
    chance = random.Random(7)
    pool = chance.randbytes(1 << 20)
    packets = 0
    with open(path, "wb", buffering=1 << 20) as file:
        head = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + option(2, b"x86_64") + option(3, b"Linux 6.18") + option(4, b"bench")
        file.write(block(0x0A0D0D0A, head + option(257, struct.pack("<I", 1)[:4] + bytes(range(16))) + bytes(4)))
        file.write(block(1, struct.pack("<HHI", 101, 0, snap) + option(9, b"\x09") + bytes(4)))
        for number in range(processes):
            file.write(process(number, START))
        flows = [Flow(number, chance, pool, snap, processes) for number in range(options.connections)]
        for number in range(options.connections):
            file.write(connection(number, processes, START))
        nanos = START
        while file.tell() < options.size:
            flow = flows[chance.randrange(options.connections)]
            # A connection is busy for some packets, then another one is.
            for kind in range(chance.randrange(1, 24)):
                nanos += 1 + (kind * 7919 & 0x3FFF)
                file.write(flow.packet(kind, nanos))
                packets += 1
            if packets % 64 == 0:
                end = flow.sequences[False]
                words = struct.pack("<II", (end - 1000) & 0xFFFFFFFF, end)
                kind = option(2, struct.pack("<I", 0xFFFFFFFE)) + option(3, struct.pack("<I", 1))
                file.write(connection(flow.number, processes, nanos, kind + option(4, words) + option(6, b"\x02")))
    return packets


def run(words):
    """Seconds, seconds on a processor, KiB of memory."""
    begin = time.monotonic()
    with open(os.devnull, "wb") as nothing:
        child = subprocess.Popen(words, stdout=nothing, stderr=subprocess.PIPE)
        said = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{words[0]} {words[1]}: {said.decode(errors='replace')}")
    return time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def measure(options, folder):
    path, out, zst = (os.path.join(folder, name) for name in ("busy.pcapng", "out.pcapng", "busy.pcapng.zst"))
    # By a process of its own: the memory of this one counts as that of each program that it starts.
    shape = ["--processes", str(options.processes), "--connections", str(options.connections)]
    subprocess.run([__file__, "--make", path, "--bytes", str(options.size), "--snap", str(options.snap), *shape], check=True)
    cases = {name: case for name, case in CASES.items() if not options.only or name in options.only}
    if any("{zst}" in word for words, _ in cases.values() for word in words):
        subprocess.run(["zstd", "-q", "-3", path, "-o", zst], check=True)
    for _ in open(path, "rb"):
        break
    tables = os.path.join(folder, "tables")
    names = {"file": path, "out": out, "zst": zst, "dir": tables}
    print("| case | program | wall | CPU | memory | wall, ratio | CPU, ratio |\n|---|---|---|---|---|---|---|")
    for name, (words, others) in cases.items():
        programs = {f"honeutil {index}" if index else "honeutil": [binary, *words] for index, binary in enumerate(options.honeutil)}
        if not options.no_others:
            programs |= others
        results = {program: [] for program in programs}
        for turn in range(options.rounds):
            order = list(programs)
            order = order[turn % len(order) :] + order[: turn % len(order)]
            for program in order:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(out)
                shutil.rmtree(tables, ignore_errors=True)
                results[program].append(run([word.format(**names) for word in programs[program]]))
        first = results["honeutil"]
        for program, rows in results.items():
            wall, cpu, memory = (statistics.median(row[column] for row in rows) for column in range(3))
            ratios = [statistics.median(row[column] / base[column] for row, base in zip(rows, first)) for column in (0, 1)]
            print(f"| {name} | {program} | {wall:.2f} s | {cpu:.2f} s | {memory / 1024:.0f} MiB | {ratios[0]:.1f} | {ratios[1]:.1f} |", flush=True)


def size_of(text):
    return int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1], 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", dest="size", type=size_of, default=2 << 30)
    parser.add_argument("--snap", type=int, default=0)
    parser.add_argument("--processes", type=int, default=200)
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--honeutil", action="append")
    parser.add_argument("--only", action="append", metavar="CASE", choices=CASES)
    parser.add_argument("--no-others", action="store_true", help="honeutil only")
    parser.add_argument("--folder", help="where the recording is made; removed again")
    parser.add_argument("--make", metavar="FILE", help="only make the recording, as FILE")
    options = parser.parse_args()
    options.honeutil = options.honeutil or ["target/release/honeutil"]
    if options.make:
        packets = make(options.make, options)
        print(f"{os.path.getsize(options.make) / 2**30:.2f} GiB, {packets} packets\n", flush=True)
        return
    if not options.no_others and not shutil.which("tshark"):
        sys.exit("tshark is needed: apt-get install tshark")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(options, folder)


if __name__ == "__main__":
    main()
