"""What the hosts of hosts.py run. Each end of an exchange writes a line to the file LOG: the tag of the exchange, and who it was.

    player.py LOG HOST serve tcp|udp ADDRESS PORT     until it is ended; TCP: a process of its own for each connection
    player.py LOG HOST call tcp|udp LOCAL LOCAL_PORT REMOTE REMOTE_PORT TAG...
        LOCAL_PORT 0: any. With several tags: one connection, and the next exchange when a line comes from standard input. A TCP
        connection is reset at the end, so that its ports can be used again at once.
"""
import json
import os
import signal
import socket
import struct
import sys

LOG, HOST, WHAT, PROTOCOL, *REST = sys.argv[1:]
KIND = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[PROTOCOL]


def log(tag, role):
    """Notes one end of an exchange."""
    line = json.dumps({"tag": tag, "role": role, "host": HOST, "pid": os.getpid(), "transport": PROTOCOL})
    file = os.open(LOG, os.O_WRONLY | os.O_APPEND)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def bound(address, port):
    """A socket with this address."""
    made = socket.socket(socket.AF_INET, KIND)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, int(port)))
    return made


def answer(connection):
    """Echoes what comes by a connection."""
    try:
        while tag := connection.recv(4096):
            log(tag.decode(), "server")
            connection.sendall(tag)
    except ConnectionResetError:
        pass


def serve(address, port):
    """The server."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = bound(address, port)
    if PROTOCOL == "tcp":
        server.listen(16)
    print("ready", flush=True)
    while True:
        if PROTOCOL == "udp":
            tag, sender = server.recvfrom(4096)
            log(tag.decode(), "server")
            server.sendto(tag, sender)
            continue
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            answer(connection)
            os._exit(0)
        connection.close()


def call(local, local_port, remote, remote_port, *tags):
    """The client."""
    client = bound(local, local_port)
    client.settimeout(30)
    client.connect((remote, int(remote_port)))
    for number, tag in enumerate(tags):
        if number:
            sys.stdin.readline()
        log(tag, "client")
        client.sendall(tag.encode())
        answered = client.recv(4096).decode()
        if answered != tag:
            raise SystemExit(f"the answer to {tag} is {answered}")
        print("answered", flush=True)
    if PROTOCOL == "tcp":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


{"serve": serve, "call": call}[WHAT](*REST)
