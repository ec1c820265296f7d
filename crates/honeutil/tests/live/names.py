"""Servers for names, all in one process: DNS over UDP and TCP, TLS, HTTP. Each name that a client sends is printed, as a JSON
array: what it is, the name, the client's port."""
import json
import socket
import socketserver
import ssl
import struct
import sys
import threading

address, key, certificate = sys.argv[1:]
lock = threading.Lock()


def log(kind, name, port):
    with lock:
        print(json.dumps([kind, name, port]), flush=True)


def labels(name):
    return b"".join(bytes([len(label)]) + label for label in name.encode().split(b".")) + b"\0"


def answer(message):
    """The answer to a question: alias.names.test is another name of www.names.test; missing.names.test does not exist."""
    at, parts = 12, []
    while message[at]:
        parts.append(message[at + 1 : at + 1 + message[at]].decode())
        at += 1 + message[at]
    name, end = ".".join(parts), at + 5
    (kind,) = struct.unpack(">H", message[at + 1 : at + 3])
    records = []
    where = b"\xc0\x0c"
    if name.lower().startswith("alias."):
        target = labels("www." + name.split(".", 1)[1])
        records.append(where + struct.pack(">HHIH", 5, 1, 30, len(target)) + target)
        where = target
    is_missing = name.lower().startswith("missing.")
    if kind == 1 and not is_missing:
        records.append(where + struct.pack(">HHIH", 1, 1, 30, 4) + socket.inet_aton(address))
    head = struct.pack(">HHHHHH", int.from_bytes(message[:2], "big"), 0x8183 if is_missing else 0x8180, 1, len(records), 0, 0)
    return name, head + message[12:end] + b"".join(records)


class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        name, reply = answer(self.request[0])
        log("dns", name, self.client_address[1])
        self.request[1].sendto(reply, self.client_address)


class Stream(socketserver.StreamRequestHandler):
    def handle(self):
        while head := self.rfile.read(2):
            name, reply = answer(self.rfile.read(int.from_bytes(head, "big")))
            log("dns", name, self.client_address[1])
            self.wfile.write(struct.pack(">H", len(reply)) + reply)


class Web(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            host = None
            while line := self.rfile.readline().strip():
                if line.lower().startswith(b"host:"):
                    host = line[5:].strip().decode().partition(":")[0]
            log("http", host, self.client_address[1])
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")


class SecureWeb(socketserver.StreamRequestHandler):
    def setup(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["http/1.1"])
        port = self.client_address[1]
        context.sni_callback = lambda connection, name, context: log("tls", name, port)
        self.request = context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self):
        while self.rfile.readline().strip():
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


servers = [
    socketserver.ThreadingUDPServer((address, 53), Datagram),
    Server((address, 53), Stream),
    Server((address, 80), Web),
    Server((address, 443), SecureWeb),
]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].daemon_threads = True
print("[]", flush=True)
servers[0].serve_forever()
