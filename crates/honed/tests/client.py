#!/usr/bin/env python3
"""A client of honed, written from docs/reader-protocol.md alone.

    client.py SOCKET record FILE...   writes one section to each FILE; a section ends when FILE.end appears
    client.py SOCKET stall            attaches and never reads
"""

import os
import select
import socket
import struct
import sys
import time

HELLO, REPLY, REFUSAL, BLOCKS, SECTION_END, END, REQUEST = 1, 2, 3, 4, 5, 6, 16
ATTACH, DETACH, MARK, GET_SNAP, STATISTICS, MEMORY = 0xB00, 0xB01, 0x800, 0x804, 0x906, 0xB04
MAX_PAYLOAD = 1 << 20


class Refused(Exception):
    pass


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.sequence = 0
        self.stream = []  # frames of the stream that came before an answer
        kind, code, _, payload = self.frame()
        if kind == REFUSAL:
            raise Refused(f"{code}: {payload.decode()}")
        major, minor = struct.unpack("<HH", payload[:4])
        if kind != HELLO or major != 1:
            raise RuntimeError(f"honed speaks version {major}.{minor}, this client 1")

    def receive(self, length):
        data = bytearray()
        while len(data) < length:
            part = self.socket.recv(length - len(data))
            if not part:
                raise EOFError("the connection broke off")
            data += part
        return bytes(data)

    def frame(self):
        length, kind, code, sequence = struct.unpack("<IHHI", self.receive(12))
        if length > MAX_PAYLOAD:
            raise RuntimeError(f"a frame of {length} bytes")
        return kind, code, sequence, self.receive(length)

    def request(self, operation, data=b""):
        self.sequence += 1
        self.socket.sendall(struct.pack("<IHHI", len(data), REQUEST, operation, self.sequence) + data)
        while True:
            kind, code, sequence, payload = self.frame()
            if kind in (BLOCKS, SECTION_END, END):
                self.stream.append((kind, payload))
            elif kind == REPLY and sequence == self.sequence:
                assert code == operation
                return payload
            elif kind == REFUSAL:
                raise Refused(f"{code}: {payload.decode()}")

    def read(self, timeout):
        """A frame of the stream, or None if there is nothing."""
        if self.stream:
            return self.stream.pop(0)
        if not select.select([self.socket], [], [], timeout)[0]:
            return None
        kind, code, _, payload = self.frame()
        if kind == REFUSAL:
            raise Refused(f"{code}: {payload.decode()}")
        return kind, payload


def record(client, names):
    for name in names:
        marked = False
        with open(name, "wb") as file:
            while True:
                frame = client.read(0.05)
                if frame and frame[0] == BLOCKS:
                    file.write(frame[1])
                    file.flush()
                elif frame and frame[0] == SECTION_END:
                    break
                elif frame:
                    raise RuntimeError(f"the stream ends: {frame[1].decode()}")
                if not marked and os.path.exists(name + ".end"):
                    client.request(MARK)
                    marked = True


def main():
    path, what, *names = sys.argv[1:]
    client = Client(path)
    snap_length = 128 if what == "record" else 0
    number = struct.unpack("<Q", client.request(ATTACH, struct.pack("<IIQ", snap_length, 0, 0)))[0]
    if what == "stall":
        time.sleep(600)
        return
    record(client, names)

    assert struct.unpack("<I", client.request(GET_SNAP)) == (snap_length,)
    statistics = client.request(STATISTICS)
    at = lambda offset: struct.unpack_from("<Q", statistics, offset)[0]
    assert struct.unpack_from("<HH", statistics) == (2, 744) and len(statistics) >= 744
    assert at(40) >= 1 and at(552) == number and at(104) > 0
    for kind in range(3):
        offered, sent, dropped, queued = (at(base + 8 * kind) for base in (608, 632, 656, 704))
        assert offered == sent + dropped + queued + at(680 + 8 * kind), (kind, offered, sent, dropped, queued)
    memory = client.request(MEMORY)
    components = {struct.unpack_from("<H", memory, row)[0] for row in range(0, len(memory), 24)}
    assert components >= set(range(8)), components
    try:
        client.request(0x7777)
        raise RuntimeError("an operation that nobody knows was carried out")
    except Refused as refused:
        print(f"refused, as it should be: {refused}")
    client.request(DETACH)


main()
