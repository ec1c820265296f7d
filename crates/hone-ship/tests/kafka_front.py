"""A front of librdkafka's mock cluster, which has neither TLS nor credentials: takes connections by TLS, has each say who it is (SASL, PLAIN or
SCRAM-SHA-512), and passes them on to the broker. In answers, it puts the fronts' ports in place of the brokers'.

A request is `length i32, api i16, version i16, correlation i32, client text, ..`, an answer `length i32, correlation i32, ..`."""
import base64
import hashlib
import hmac
import os
import queue
import socket
import ssl
import struct
import threading

HANDSHAKE, VERSIONS, AUTHENTICATE = 17, 18, 36
REFUSED = 58


def exactly(connection, count):
    """So many bytes; none if the connection ends before."""
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data


def frame(connection):
    """A request or an answer; none at the end."""
    length = exactly(connection, 4)
    return exactly(connection, struct.unpack(">i", length)[0]) if length else b""


def framed(body):
    return struct.pack(">i", len(body)) + body


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


class Login:
    """One exchange of SASL."""

    def __init__(self, mechanism, user, password):
        self.mechanism, self.user, self.password, self.server_first = mechanism, user, password, ""

    def answer(self, sent):
        """What is answered, and whether the client is now known. None: it is refused."""
        if self.mechanism == "PLAIN":
            is_right = sent.split(b"\0")[1:] == [self.user.encode(), self.password.encode()]
            return (b"", True) if is_right else None
        sent = sent.decode()
        fields = dict(field.split("=", 1) for field in sent.split(",") if "=" in field)
        if not self.server_first:
            if fields["n"] != self.user:
                return None
            self.client_first, self.salt, self.rounds = sent.split(",", 2)[2], os.urandom(16), 4096
            nonce = fields["r"] + base64.b64encode(os.urandom(12)).decode()
            self.server_first = f"r={nonce},s={base64.b64encode(self.salt).decode()},i={self.rounds}"
            return self.server_first.encode(), False
        salted = hashlib.pbkdf2_hmac("sha512", self.password.encode(), self.salt, self.rounds)
        client = hmac.digest(salted, b"Client Key", "sha512")
        signed = f"{self.client_first},{self.server_first},{sent.rsplit(',p=', 1)[0]}".encode()
        mask = hmac.digest(hashlib.sha512(client).digest(), signed, "sha512")
        proof = bytes(a ^ b for a, b in zip(client, mask))
        if base64.b64decode(fields["p"]) != proof:
            return None
        signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha512"), signed, "sha512")
        return b"v=" + base64.b64encode(signature), True


class Front:
    """One broker's front. `ports`: of all brokers, to their fronts'."""

    def __init__(self, broker, context, user, password, ports):
        self.broker, self.context, self.user, self.password, self.ports = broker, context, user, password, ports
        self.listener = socket.create_server(("127.0.0.1", 0))
        ports[broker[1]] = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            threading.Thread(target=self.serve, args=self.listener.accept()[:1], daemon=True).start()

    def serve(self, plain):
        try:
            with self.context.wrap_socket(plain, server_side=True) as client, socket.create_connection(self.broker) as broker:
                asked = queue.SimpleQueue()
                threading.Thread(target=self.answers, args=(broker, client, asked), daemon=True).start()
                self.requests(client, broker, asked)
                broker.shutdown(socket.SHUT_RDWR)
        except OSError:
            plain.close()

    def requests(self, client, broker, asked):
        login, is_known = None, False
        while request := frame(client):
            api, version, correlation, name = struct.unpack(">hhih", request[:10])
            body, head = request[10 + max(name, 0):], struct.pack(">i", correlation)
            if api == HANDSHAKE:
                login = Login(body[2:].decode(), self.user, self.password)
                known = struct.pack(">hi", 0, 2) + text("PLAIN") + text("SCRAM-SHA-512")
                client.sendall(framed(head + known))
            elif api == AUTHENTICATE:
                answer = login.answer(body[4:])
                code, why = (0, struct.pack(">h", -1)) if answer else (REFUSED, text("wrong user or password"))
                data, is_known = answer or (b"", False)
                more = struct.pack(">i", len(data)) + data + (bytes(8) if version else b"")
                client.sendall(framed(head + struct.pack(">h", code) + why + more))
            elif api == VERSIONS or is_known:
                asked.put(api)
                broker.sendall(framed(request))
            else:
                return

    def answers(self, broker, client, asked):
        try:
            while answer := frame(broker):
                if asked.get() == VERSIONS and answer[4:6] == b"\0\0":
                    (count,) = struct.unpack(">i", answer[6:10])
                    more = struct.pack(">hhhhhh", HANDSHAKE, 0, 1, AUTHENTICATE, 0, 1)
                    answer = answer[:6] + struct.pack(">i", count + 2) + more + answer[10:]
                for port, front in self.ports.items():
                    address = self.broker[0].encode()
                    answer = answer.replace(address + struct.pack(">i", port), address + struct.pack(">i", front))
                client.sendall(framed(answer))
        except OSError:
            pass


def fronts(brokers, certificate, key, user, password):
    """The address of one of the fronts of these brokers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    ports = {}
    for broker in brokers:
        Front(broker, context, user, password, ports)
    return brokers[0][0], ports[brokers[0][1]]
