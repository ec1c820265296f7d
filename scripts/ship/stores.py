"""The servers that the tests of faults.py deliver to, each with a bucket `fleet`, and what fails between them and hone-ship."""

import base64
import email.utils
import hashlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

from program import start, wait_for


class Store:
    """A server. Its objects are in memory: after `end` and `begin`, it is empty."""

    tls = False

    def __init__(self, folder, tls=False):
        self.port, self.folder, self.tls = free_port(), folder, tls
        self.scheme = "https" if tls else "http"
        self.begin()

    def begin(self):
        with open(f"{self.folder}/server.log", "ab") as log:
            self.child = start(self.command(), stdout=log, stderr=log)
        wait_for(f"the server of {self.url}", self.make_bucket)

    def end(self):
        self.child.kill()
        self.child.wait()

    def request(self, method, path, headers=(), body=None):
        """The status of the answer, whose body is then in `body`; None if there is none."""
        try:
            if self.tls:
                context = ssl._create_unverified_context()
                connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=context)
            else:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            connection.request(method, path, body=body, headers=dict(headers))
            answer = connection.getresponse()
            self.body = answer.read()
            return answer.status
        except OSError:
            return None

    def read_all(self):
        """All objects: name -> bytes."""
        objects = {}
        for name in self.names():
            assert self.request("GET", self.path(name)) == 200, name
            objects[name.removeprefix("hone/")] = self.body
        return objects

    def path(self, name):
        return "/fleet/" + urllib.parse.quote(name, safe="/")

    def options(self, port, secrets):
        """The options of hone-ship for the server, by way of this port. `secrets`: instead of the right ones."""
        text = "".join(f'{key} = "{value}"\n' for key, value in ({**self.secrets, **secrets}).items())
        return f'[destination.options]\nallow_http = "true"\n{text}' + self.address(f"{self.scheme}://127.0.0.1:{port}")

    def destination(self, port=None, **secrets):
        return self.options(port or self.port, secrets)


class S3(Store):
    """S3, by moto."""

    url, secrets = "s3://fleet/hone", {"access_key_id": "key", "secret_access_key": "secret"}

    def command(self):
        options = []
        if self.tls:
            certificate(self.folder)
            options = ["-c", f"{self.folder}/server.pem", "-k", f"{self.folder}/server.key"]
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port), *options]

    def address(self, root):
        return f'endpoint = "{root}"\nregion = "us-east-1"\n'

    def request(self, method, path, headers=(), body=None):
        signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/b/us-east-1/s3/x", **dict(headers)}
        return super().request(method, path, signed, body)

    def make_bucket(self):
        return self.request("PUT", "/fleet") in (200, 409)

    def names(self):
        assert self.request("GET", "/fleet?list-type=2&max-keys=1000") == 200
        return re.findall(r"<Key>([^<]*)</Key>", self.body.decode())


class Azure(Store):
    """Azure Blob Storage, by Azurite, which checks signatures. Its account and key are the same everywhere."""

    ACCOUNT = "devstoreaccount1"
    KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    url, secrets = "az://fleet/hone", {"account_name": ACCOUNT, "access_key": KEY}
    program = os.environ.get("HONE_AZURITE")

    def command(self):
        # It has a telemetry of its own, which is on by default.
        return [self.program, "--disableTelemetry", "--inMemoryPersistence", "--silent", "--blobHost", "127.0.0.1",
                "--blobPort", str(self.port)]

    def address(self, root):
        return f'endpoint = "{root}/{self.ACCOUNT}"\n'

    def make_bucket(self):
        """Makes the container, which may be read without a signature."""
        headers = {"x-ms-blob-public-access": "container", "x-ms-date": email.utils.formatdate(usegmt=True),
                   "x-ms-version": "2021-12-02"}
        named = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
        text = "PUT" + "\n" * 12 + f"{named}/{self.ACCOUNT}/{self.ACCOUNT}/fleet\nrestype:container"
        signature = base64.b64encode(hmac.digest(base64.b64decode(self.KEY), text.encode(), hashlib.sha256)).decode()
        headers["Authorization"] = f"SharedKey {self.ACCOUNT}:{signature}"
        return self.request("PUT", f"/{self.ACCOUNT}/fleet?restype=container", headers) in (201, 409)

    def path(self, name):
        return f"/{self.ACCOUNT}" + super().path(name)

    def names(self):
        assert self.request("GET", f"/{self.ACCOUNT}/fleet?restype=container&comp=list") == 200, self.body
        return re.findall(r"<Name>([^<]*)</Name>", self.body.decode())


class Gcs(Store):
    """Google Cloud Storage, by Google's storage-testbench. It checks conditions, but no credentials."""

    url, secrets = "gs://fleet/hone", {"bearer_token": "token"}
    program = os.environ.get("HONE_GCS")

    def command(self):
        script = "import sys, testbench_app, waitress; waitress.serve(testbench_app.application, listen=sys.argv[1])"
        return ["env", f"PYTHONPATH={pathlib.Path(__file__).parent}", self.program, "-B", "-c", script, f"127.0.0.1:{self.port}"]

    def address(self, root):
        return f'base_url = "{root}"\n'

    def make_bucket(self):
        return self.request("POST", "/storage/v1/b?project=x", {"Content-Type": "application/json"}, '{"name": "fleet"}') in (200, 409)

    def names(self):
        assert self.request("GET", "/storage/v1/b/fleet/o") == 200, self.body
        return [item["name"] for item in json.loads(self.body).get("items", [])]


class Proxy:
    """Passes connections on. `lose`: after the request, the answer is thrown away. `delay`: before each answer, seconds."""

    def __init__(self, target):
        self.target, self.lose, self.delay, self.lost = target, False, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            threading.Thread(target=self.copy, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self.copy, args=(server, client, True), daemon=True).start()

    def copy(self, source, sink, is_answer):
        try:
            while data := source.recv(1 << 16):
                if is_answer and self.lose and data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
                    self.lost += 1
                    break
                if is_answer and self.delay:
                    time.sleep(self.delay)
                sink.sendall(data)
        except OSError:
            pass
        for end in source, sink:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Refuser:
    """Takes requests with new credentials only."""

    def __init__(self, status):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                sent = self.headers.get("Authorization", "")
                is_new = "Credential=new/" in sent or sent == "Bearer new"
                self.send_response(200 if is_new else status)
                self.send_header("ETag", '"1"')
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def certificate(folder):
    """server.pem for 127.0.0.1, signed by ca.pem; other.pem has signed nothing."""
    if pathlib.Path(folder, "server.pem").exists():
        return

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for name in "ca", "other":
        openssl("req", "-x509", *key, "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    openssl("req", *key, "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr")
    pathlib.Path(folder, "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", "server.pem")
