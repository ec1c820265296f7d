"""A server and clients of QUIC, with aioquic. As `server ADDRESS KEY CERTIFICATE`, prints a JSON array for each client: the name
that it asked for, its port, the protocols that it offers, and the JA4 of its hello, computed here from the hello's bytes. As
`client ADDRESS NAME VERSION PROTOCOL...`, makes a connection and ends it; one of the protocols must be h3."""
import asyncio
import hashlib
import json
import ssl
import sys

from aioquic import tls
from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import HandshakeCompleted
from aioquic.quic.packet import QuicProtocolVersion

PORT = 4433
pull = tls.pull_client_hello
last = {}


def pull_and_keep(buffer):
    start = buffer.tell()
    hello = pull(buffer)
    last.update(name=hello.server_name, protocols=hello.alpn_protocols, ja4=ja4(buffer.data_slice(start, buffer.tell())))
    return hello


def ja4(hello):
    """FoxIO's technical_details/JA4.md. Nothing here sends GREASE."""
    number = lambda at: int.from_bytes(hello[at : at + 2], "big")
    pairs = lambda data: [data[at : at + 2].hex() for at in range(0, len(data), 2)]
    at = 4 + 2 + 32
    at += 1 + hello[at]
    ciphers = pairs(hello[at + 2 : at + 2 + number(at)])
    at += 2 + number(at)
    at += 1 + hello[at] + 2
    extensions = {}
    while at < len(hello):
        extensions[hello[at : at + 2].hex()] = hello[at + 4 : at + 4 + number(at + 2)]
        at += 4 + number(at + 2)
    assert "0304" in pairs(extensions["002b"][1:])
    first = extensions["0010"][3 : 3 + extensions["0010"][2]].decode()
    part = lambda text: hashlib.sha256(text.encode()).hexdigest()[:12]
    others = sorted(extensions.keys() - {"0000", "0010"})
    begin = f"q13{'d' if '0000' in extensions else 'i'}{len(ciphers):02}{len(extensions):02}{first[0]}{first[-1]}"
    algorithms = ",".join(pairs(extensions["000d"][2:]))
    return f"{begin}_{part(','.join(sorted(ciphers)))}_{part(','.join(others) + '_' + algorithms)}"


class Server(QuicConnectionProtocol):
    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            port = self._quic._network_paths[0].addr[1]
            print(json.dumps([last["name"], port, last["protocols"], last["ja4"]]), flush=True)


async def server(address, key, certificate):
    tls.pull_client_hello = pull_and_keep
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    configuration.load_cert_chain(certificate, key)
    await serve(address, PORT, configuration=configuration, create_protocol=Server)
    print("[]", flush=True)
    await asyncio.Event().wait()


async def client(address, name, version, *protocols):
    configuration = QuicConfiguration(alpn_protocols=list(protocols), server_name=name, verify_mode=ssl.CERT_NONE)
    configuration.original_version = QuicProtocolVersion[version]
    async with connect(address, PORT, configuration=configuration) as connection:
        await connection.ping()


asyncio.run({"server": server, "client": client}[sys.argv[1]](*sys.argv[2:]))
