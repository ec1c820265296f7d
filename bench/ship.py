#!/usr/bin/env python3
"""How many bytes honed sends a reader for each packet, with the snap lengths that hone-ship asks for: 128, and 1600 with names.

    cargo build --release -p honed -p honeutil
    sudo bench/ship.py [--programs target/release] [--rounds 100]

Starts a honed, and a reader for each snap length. Two network namespaces, which a pair of virtual Ethernet devices connects without
segmentation offload, have the traffic of a server: for each download of 200 kB, 20 short requests with answers of 3 kB, each by a
connection of its own, and 40 questions with short answers by UDP. Prints, for each snap length, bytes of the stream a packet, and in
percent of what was on the wire. The events of the
processes and connections of these packets are in it. No packet may be missing.
"""

import argparse
import array
import fcntl
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

ADDRESS = "192.0.2.1"
DOWNLOADS, REQUESTS, QUESTIONS = 1, 20, 40
SNAP_LENGTHS = [128, 1600]


def turn_off_offload(device):
    """Packets leave as they would on a wire: no segments are put together. As `ethtool -K DEVICE tso off gso off gro off`."""
    for command in 0x1F, 0x24, 0x2C:  # ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO
        value = array.array("I", [command, 0])
        request = struct.pack("16sP", device.encode(), value.buffer_info()[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, 0x8946, request)  # SIOCETHTOOL


def serve():
    """The server's side: for each connection, a line with a number of bytes, and so many bytes back; answers to datagrams."""
    turn_off_offload("veth-a")
    listener = socket.create_server((ADDRESS, 8080), backlog=64)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((ADDRESS, 5353))

    def answer():
        while True:
            question, client = datagrams.recvfrom(2000)
            datagrams.sendto(question * 2, client)

    threading.Thread(target=answer, daemon=True).start()
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            request = b""
            while not request.endswith(b"\n"):
                request += connection.recv(2000)
            connection.sendall(os.urandom(int(request.split()[0])))


def ask(rounds):
    """The client's side."""
    turn_off_offload("veth-b")

    def fetch(count):
        with socket.create_connection((ADDRESS, 8080)) as connection:
            connection.sendall(f"{count} {'x' * 400}\n".encode())
            while connection.recv(1 << 16):
                pass

    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.connect((ADDRESS, 5353))
    for _ in range(rounds):
        for _ in range(DOWNLOADS):
            fetch(200_000)
        for _ in range(REQUESTS):
            fetch(3_000)
        for _ in range(QUESTIONS):
            datagrams.send(b"q" * 50)
            datagrams.recv(2000)


def run(*command):
    subprocess.run(command, check=True)


def measure(programs, rounds):
    names = [f"hone-ship-{os.getpid()}-{side}" for side in "ab"]
    children = []

    def start(*command, **options):
        children.append(subprocess.Popen(command, **options))
        return children[-1]

    with tempfile.TemporaryDirectory() as folder:
        try:
            for name in names:
                run("ip", "netns", "add", name)
            run("ip", "link", "add", "name", "veth-a", "netns", names[0], "type", "veth", "peer", "name", "veth-b", "netns", names[1])
            for name, device, address in zip(names, ["veth-a", "veth-b"], [ADDRESS, "192.0.2.2"]):
                run("ip", "-n", name, "address", "add", f"{address}/24", "dev", device)
                run("ip", "-n", name, "link", "set", device, "up")
            pathlib.Path(folder, "hone.toml").write_text(f'socket = "{folder}/hone.sock"\nsocket_group = ""\n')
            log = open(f"{folder}/log", "wb")
            honed = start(programs / "honed", "--config", f"{folder}/hone.toml", stderr=log)
            while b"serving readers" not in pathlib.Path(folder, "log").read_bytes():
                assert honed.poll() is None, pathlib.Path(folder, "log").read_text()
                time.sleep(0.1)
            readers = []
            for length in SNAP_LENGTHS:
                readers.append(
                    start(
                        programs / "honeutil", "read", "--socket", f"{folder}/hone.sock", "-s", str(length), "--host", ADDRESS,
                        "-w", f"{folder}/{length}.pcapng", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    )
                )
                while not (os.path.exists(f"{folder}/{length}.pcapng") and os.path.getsize(f"{folder}/{length}.pcapng")):
                    time.sleep(0.1)
            inside = ["ip", "netns", "exec", names[0], sys.executable, __file__, "--part", "serve"]
            server = start(*inside, stdout=subprocess.PIPE)
            server.stdout.readline()
            run("ip", "netns", "exec", names[1], sys.executable, __file__, "--part", "ask", "--rounds", str(rounds))
            time.sleep(2)
            for reader in readers:
                reader.send_signal(signal.SIGINT)
                reader.communicate()
            print("| snap length | bytes a packet | of the bytes on the wire |\n|---|---|---|")
            for length in SNAP_LENGTHS:
                show = subprocess.run(
                    [programs / "honeutil", "show", "--json", f"{folder}/{length}.pcapng"], check=True, capture_output=True
                )
                packets = on_wire = 0
                for line in show.stdout.splitlines():
                    event = json.loads(line)
                    if event["event"]["action"] == "packet":
                        packets += 1
                        on_wire += event["network"]["bytes"]
                    if event["event"]["action"] == "statistics":
                        lost = [event["hone"]["statistics"]["packets"].get(f"dropped_by_{who}", 0) for who in ("source", "ring")]
                        assert lost == [0, 0], lost
                size = os.path.getsize(f"{folder}/{length}.pcapng")
                print(f"| {length} | {size / packets:.0f} | {100 * size / on_wire:.0f} % |", f"({packets} packets of {on_wire / packets:.0f} bytes)")
        finally:
            for child in reversed(children):
                child.kill()
                child.wait()
            for name in names:
                subprocess.run(["ip", "netns", "del", name])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, default=pathlib.Path("target/release"))
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part == "serve":
        serve()
    elif arguments.part == "ask":
        ask(arguments.rounds)
    else:
        measure(arguments.programs.absolute(), arguments.rounds)


main()
