"""Delivers with hone-ship through faults. Called by scripts/test-ship: DIRECTORY-OF-PROGRAMS [NAME OF A TEST]."""

import glob
import hashlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import duckdb

PROGRAMS = pathlib.Path(sys.argv[1])
PATIENCE = 120
children = []


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
    children.append(child)
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
size = 16
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


def delivered(read_all):
    """The packets of all connections, after everything about the delivered objects was checked. `read_all`: name -> bytes."""
    objects = read_all()
    listed = {}
    batches = set()
    for name, content in objects.items():
        if "_manifests/" not in name:
            continue
        manifest = json.loads(content)
        assert manifest["batch"] not in batches, f"{manifest['batch']} has two manifests"
        batches.add(manifest["batch"])
        for file in manifest["files"]:
            listed[file["name"]] = file
    tables = {name: content for name, content in objects.items() if "_manifests/" not in name}
    assert set(listed) == set(tables), f"not the files of the manifests: {set(listed) ^ set(tables)}"
    packets = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, content) in enumerate(tables.items()):
            assert hashlib.sha256(content).hexdigest() == listed[name]["sha256"], name
            path = f"{folder}/{number}.parquet"
            pathlib.Path(path).write_bytes(content)
            rows = duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall()[0][0]
            assert rows == listed[name]["rows"], name
            if name.startswith("connections/") or "/connections/" in name:
                packets += duckdb.sql(f"SELECT sum(packets_in + packets_out) FROM '{path}'").fetchall()[0][0] or 0
    return packets, batches


def in_folder(folder):
    folder = pathlib.Path(folder)
    found = [path for path in folder.rglob("*") if path.is_file()]
    return lambda: {str(path.relative_to(folder)): path.read_bytes() for path in found}


class S3:
    """An S3 server, and a connection to its bucket through a proxy that can fail."""

    def __init__(self, folder, tls=False):
        self.port = free_port()
        options = []
        if tls:
            certificate(folder)
            options = ["-c", f"{folder}/server.pem", "-k", f"{folder}/server.key"]
        self.scheme = "https" if tls else "http"
        self.folder = folder
        self.server = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port), *options]
        self.begin()

    def begin(self):
        with open(f"{self.folder}/moto.log", "ab") as log:
            self.child = start(self.server, stdout=log, stderr=log)
        wait_for("the S3 server", lambda: self.request("PUT", "/fleet") in (200, 409))

    def end(self):
        self.child.kill()
        self.child.wait()

    def connection(self):
        if self.scheme == "https":
            import ssl

            return http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=20, context=ssl._create_unverified_context()
            )
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def request(self, method, path):
        try:
            connection = self.connection()
            connection.request(method, path, headers={"Authorization": "AWS4-HMAC-SHA256 Credential=a/b/us-east-1/s3/x"})
            answer = connection.getresponse()
            self.body = answer.read()
            return answer.status
        except OSError:
            return None

    def read_all(self):
        import re
        import urllib.parse

        assert self.request("GET", "/fleet?list-type=2&max-keys=1000") == 200
        objects = {}
        for name in re.findall(r"<Key>([^<]*)</Key>", self.body.decode()):
            assert self.request("GET", "/fleet/" + urllib.parse.quote(name, safe="/")) == 200, name
            objects[name] = self.body
        assert len(objects) < 1000
        return {name.removeprefix("hone/"): content for name, content in objects.items()}

    def destination(self, port=None, extra=""):
        return f"""
[destination.options]
endpoint = "{self.scheme}://127.0.0.1:{port or self.port}"
region = "us-east-1"
allow_http = "true"
access_key_id = "key"
secret_access_key = "secret"
{extra}
"""


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
                if is_answer and self.lose and data.startswith(b"HTTP/1.1 200"):
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


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def certificate(folder):
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    for name in "ca", "other":
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.pem")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr")
    pathlib.Path(folder, "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", "server.pem")


# The tests. Each gets an empty folder.


def a_directory_gets_every_batch_once_though_hone_ship_is_killed_again_and_again(folder):
    ship = Ship(folder, f"file://{folder}/out")
    packets = ship.segments(20)
    kills = 0
    while not ship.is_empty():
        ship.start()
        time.sleep(random.uniform(0.01, 0.4))
        ship.kill()
        kills += 1
        assert kills < 500
    assert kills >= 2, "it was too quick to be killed"
    found, batches = delivered(in_folder(f"{folder}/out"))
    assert (found, len(batches)) == (packets, 20), (found, packets, len(batches), kills)


def a_store_gets_every_batch_once_though_it_is_down_away_slow_and_loses_answers(folder):
    store = S3(folder)
    proxy = Proxy(store.port)
    store.end()
    ship = Ship(folder, "s3://fleet/hone", destination=store.destination(proxy.port))
    packets = ship.segments(4)
    ship.start()
    ship.problem("destination", "cannot deliver")
    ship.wait("spool_batches", lambda count: count == 4)
    status, text = ship.status()
    assert status == 1 and "4 batches" in text and "problem:" in text, text
    proxy.lose = True
    store.begin()
    wait_for("answers that are lost", lambda: proxy.lost >= 2)
    proxy.lose, proxy.delay = False, 0.05
    ship.deliver_all()
    ship.wait("delivered_batches_total", lambda count: count == 4)
    ship.stop()
    found, batches = delivered(store.read_all)
    assert (found, len(batches)) == (packets, 4), (found, packets, len(batches))
    # The whole spool once more, as from a backup: the store has it already.
    shutil.rmtree(ship.spool / "segments")
    (ship.spool / "segments").mkdir()
    ship.segments(4)
    ship.start()
    ship.deliver_all()
    ship.stop()
    again, more = delivered(store.read_all)
    assert (again, more) == (found, batches), "what is delivered again is the same"
    store.end()


def a_store_that_has_something_else_under_a_name_gets_another_name(folder):
    ship = Ship(folder, f"file://{folder}/out")
    ship.segments(1)
    ship.start()
    ship.deliver_all()
    ship.stop()
    before = {name: content for name, content in in_folder(f"{folder}/out")().items()}
    # The host is set back, and records something else under the same number.
    recorded = RECORDINGS[1 % len(RECORDINGS)].read_bytes()
    (ship.spool / "segments" / "0000000001.pcapng").write_bytes(recorded[: len(recorded) * 3 // 4])
    ship.start()
    ship.deliver_all()
    ship.stop()
    after = in_folder(f"{folder}/out")()
    assert all(after[name] == content for name, content in before.items()), "nothing was changed"
    manifests = [name for name in after if name.startswith("_manifests/")]
    assert len(manifests) == 2 and "copied or set back" in ship.log.read_text(), manifests


def certificates_and_credentials_that_are_wrong_are_named(folder):
    store = S3(folder, tls=True)
    ship = Ship(folder, "s3://fleet/hone", destination=f'ca_certificates = "{folder}/other.pem"' + store.destination())
    packets = ship.segments(2)
    ship.start()
    ship.problem("destination", "certificate")
    ship.stop()
    ship.configure("s3://fleet/hone", destination=f'ca_certificates = "{folder}/ca.pem"' + store.destination())
    ship.start()
    ship.deliver_all()
    ship.stop()
    found, batches = delivered(store.read_all)
    assert (found, len(batches)) == (packets, 2)
    store.end()
    # A server that refuses the credentials, until they are replaced.
    refuser = Refuser()
    secrets = pathlib.Path(folder, "secrets")
    secrets.write_text('access_key_id = "old"\nsecret_access_key = "s3cret-word"\n')
    secrets.chmod(0o644)
    destination = f'credentials = "{secrets}"\n[destination.options]\nallow_http = "true"\nregion = "x"\n'
    destination += f'endpoint = "http://127.0.0.1:{refuser.port}"\n'
    ship.configure("s3://fleet/hone", destination=destination)
    refused = subprocess.run(
        [PROGRAMS / "hone-ship", "--config", ship.config, "check-config"], capture_output=True, text=True
    )
    assert refused.returncode == 1 and "chmod 600" in refused.stderr, refused.stderr
    secrets.chmod(0o600)
    ship.segments(1)
    ship.start()
    ship.problem("destination", "403")
    secrets.write_text('access_key_id = "new"\nsecret_access_key = "s3cret-word"\n')
    ship.deliver_all()
    ship.stop()
    assert "s3cret-word" not in ship.log.read_text()


class Refuser:
    """Takes requests with the new key only."""

    def __init__(self):
        import http.server

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                is_new = "Credential=new/" in self.headers.get("Authorization", "")
                self.send_response(200 if is_new else 403)
                self.send_header("ETag", '"1"')
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()


def a_disk_that_is_full_loses_nothing_that_the_spool_has(folder):
    if os.geteuid() != 0:
        print("skipped: a full disk: mounting one needs root")
        return
    disk = pathlib.Path(folder, "disk")
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=True)
    try:
        ship = Ship(folder, f"file://{disk}/out")
        packets = ship.segments(3)
        filler = disk / "filler"
        with open(filler, "wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 14))
                    file.flush()
            except OSError:
                pass
        ship.start()
        ship.problem("destination", "No space left")
        filler.unlink()
        ship.deliver_all()
        ship.stop()
        found, batches = delivered(in_folder(disk / "out"))
        assert (found, len(batches)) == (packets, 3)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def what_honed_sends_arrives_once_and_a_restart_of_it_is_survived(folder):
    if os.geteuid() != 0:
        print("skipped: from a honed: it needs root")
        return
    socket_path = f"{folder}/hone.sock"
    pathlib.Path(folder, "hone.toml").write_text(f'socket = "{socket_path}"\nsocket_group = ""\n')
    honed = begin_honed(folder)
    out = f"{folder}/out"
    ship = Ship(folder, f"file://{out}", socket_path=socket_path, tables='["sections"]')
    ship.start()
    ship.wait("attached", lambda value: value == 1)
    sent = send(200)
    ship.wait("delivered_batches_total", lambda count: count >= 2)
    honed.send_signal(signal.SIGTERM)
    honed.wait()
    ship.wait("attached", lambda value: value == 0)
    honed = begin_honed(folder)
    ship.wait("attachments_total", lambda count: count == 2)
    ship.wait("attached", lambda value: value == 1)
    sent_later = send(100)
    before = ship.metric("delivered_batches_total")
    ship.wait("delivered_batches_total", lambda count: count >= before + 2)
    ship.stop()
    delivered(in_folder(out))
    for port, count in (sent, 200), (sent_later, 100):
        found = duckdb.sql(
            f"SELECT process_name, sum(packets_out) FROM '{out}/connections/*/*/*.parquet' "
            f"WHERE remote_port = {port} AND packets_out > 0 GROUP BY ALL"
        ).fetchall()
        assert len(found) == 1 and found[0][1] == count and "python" in found[0][0], found
    # Restated processes are there once, whatever the number of batches.
    twice = duckdb.sql(
        f"SELECT process_uid FROM '{out}/processes/*/*/*.parquet' WHERE ended IS NULL "
        "GROUP BY process_uid, name, args HAVING count(*) > 1"
    ).fetchall()
    assert not twice, twice
    assert not glob.glob(f"{out}/packets") and not glob.glob(f"{out}/names")
    honed.kill()
    honed.wait()


def begin_honed(folder):
    log = open(f"{folder}/honed.log", "wb")
    honed = start([PROGRAMS / "honed", "--config", f"{folder}/hone.toml"], stderr=log)
    wait_for("honed", lambda: b"serving readers" in pathlib.Path(folder, "honed.log").read_bytes() or honed.poll())
    assert honed.poll() is None, pathlib.Path(folder, "honed.log").read_text()
    return honed


def send(count):
    """Sends datagrams on the loopback interface. Returns the port that received them."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(receiver.getsockname())
    for _ in range(count):
        sender.send(b"hone-ship")
        receiver.recv(100)
    return receiver.getsockname()[1]


TESTS = [
    a_directory_gets_every_batch_once_though_hone_ship_is_killed_again_and_again,
    a_store_gets_every_batch_once_though_it_is_down_away_slow_and_loses_answers,
    a_store_that_has_something_else_under_a_name_gets_another_name,
    certificates_and_credentials_that_are_wrong_are_named,
    a_disk_that_is_full_loses_nothing_that_the_spool_has,
    what_honed_sends_arrives_once_and_a_restart_of_it_is_survived,
]

RECORDINGS, PACKETS = [], {}


def main():
    failed = 0
    with tempfile.TemporaryDirectory(prefix="hone-ship-") as work:
        os.chmod(work, 0o755)
        made = pathlib.Path(work, "recordings")
        made.mkdir()
        subprocess.run([PROGRAMS / "examples" / "sample_fleet", made], check=True, stdout=subprocess.DEVNULL)
        RECORDINGS.extend(sorted(made.iterdir()))
        for recording in RECORDINGS:
            tables = pathlib.Path(work, "tables", recording.name)
            subprocess.run(
                [PROGRAMS / "honeutil", "export", "--to", "parquet", "-d", tables, recording],
                check=True, stderr=subprocess.DEVNULL,
            )
            counted = duckdb.sql(
                f"SELECT sum(packets_in + packets_out) FROM '{tables}/connections/*/*/*.parquet'"
            ).fetchall()[0][0]
            PACKETS[recording] = int(counted or 0)
        wanted = sys.argv[2:]
        for number, test in enumerate(TESTS):
            name = test.__name__
            if wanted and not any(word in name for word in wanted):
                continue
            folder = pathlib.Path(work, str(number))
            folder.mkdir()
            began = time.monotonic()
            try:
                test(str(folder))
                print(f"test {name} ... ok ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception as error:
                failed += 1
                print(f"test {name} ... FAILED\nnot right: {type(error).__name__}: {error}", flush=True)
                for log in "log", "moto.log":
                    if (folder / log).exists():
                        print((folder / log).read_text()[-2000:])
            finally:
                for child in children:
                    if child.poll() is None:
                        child.kill()
                        child.wait()
                children.clear()
    sys.exit(1 if failed else 0)


main()
