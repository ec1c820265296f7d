"""Delivers with hone-ship through faults. Called by scripts/test-ship: DIRECTORY-OF-PROGRAMS [NAME OF A TEST].
The tests run at the same time: most of what each does is to wait."""

import glob
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import duckdb

from program import OF_TEST, PACKETS, PROGRAMS, RECORDINGS, Ship, begin_honed, send, wait_for
from stores import S3, Azure, Gcs, Proxy, Refuser


def ask(sql):
    """The rows of an answer of DuckDB."""
    with duckdb.connect() as connection:
        return connection.execute(sql).fetchall()


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
            rows = ask(f"SELECT count(*) FROM '{path}'")[0][0]
            assert rows == listed[name]["rows"], name
            if name.startswith("connections/") or "/connections/" in name:
                packets += ask(f"SELECT sum(packets_in + packets_out) FROM '{path}'")[0][0] or 0
    return packets, batches


def in_folder(folder):
    folder = pathlib.Path(folder)
    found = [path for path in folder.rglob("*") if path.is_file()]
    return lambda: {str(path.relative_to(folder)): path.read_bytes() for path in found}


# The tests. Each gets an empty folder.


def a_directory_gets_every_batch_once_though_hone_ship_is_killed_again_and_again(folder):
    ship = Ship(folder, f"file://{folder}/out")
    packets = ship.segments(20)
    kills = 0
    while not ship.is_empty():
        ship.start()
        # On a machine that is busy it needs longer to come to anything.
        time.sleep(random.uniform(0.01, 0.4) * 1.03**kills)
        ship.kill()
        kills += 1
        assert kills < 500
    assert kills >= 2, "it was too quick to be killed"
    found, batches = delivered(in_folder(f"{folder}/out"))
    assert (found, len(batches)) == (packets, 20), (found, packets, len(batches), kills)


def every_batch_is_there_once(folder, Store):
    """Through a store that is down at first, then away, slow, and loses answers."""
    store = Store(folder)
    proxy = Proxy(store.port)
    store.end()
    ship = Ship(folder, store.url, destination=store.destination(proxy.port))
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
    ship.segments(4)
    ship.start()
    ship.deliver_all()
    ship.stop()
    before = store.read_all()
    assert delivered(lambda: before) == (found, batches), "what is delivered again is the same"
    something_else_gets_another_name(ship, store.read_all)
    return store, ship


def an_s3_store_gets_every_batch_once_though_it_is_down_away_slow_and_loses_answers(folder):
    every_batch_is_there_once(folder, S3)


def an_azure_store_gets_every_batch_once_though_it_is_down_away_slow_and_loses_answers(folder):
    if not Azure.program:
        print("skipped: Azure: Azurite takes most of a minute to install (scripts/test-ship --all)")
        return
    store, ship = every_batch_is_there_once(folder, Azure)
    # Another account's key, and a container that is not there.
    ship.segments(1)
    ship.configure(store.url, destination=store.destination(access_key="AAAA"))
    ship.start()
    ship.problem("destination", "403", "AuthorizationFailure")
    ship.stop()
    ship.configure("az://none/hone", destination=store.destination())
    ship.start()
    ship.problem("destination", "404", "ContainerNotFound")
    ship.stop()


def a_gcs_store_gets_every_batch_once_though_it_is_down_away_slow_and_loses_answers(folder):
    if not Gcs.program:
        print("skipped: GCS: no server of a package registry has its conditions; one that has is Google's storage-testbench "
              "(HONE_STORAGE_TESTBENCH=CHECKOUT scripts/test-ship --all)")
        return
    every_batch_is_there_once(folder, Gcs)


def a_directory_that_has_something_else_under_a_name_gets_another_name(folder):
    ship = Ship(folder, f"file://{folder}/out")
    ship.segments(1)
    ship.start()
    ship.deliver_all()
    ship.stop()
    something_else_gets_another_name(ship, lambda: in_folder(f"{folder}/out")())


def something_else_gets_another_name(ship, read_all):
    """The host is set back, and records something else under the first number."""
    before = read_all()
    recorded = RECORDINGS[1 % len(RECORDINGS)].read_bytes()
    (ship.spool / "segments" / "0000000001.pcapng").write_bytes(recorded[: len(recorded) * 3 // 4])
    ship.start()
    ship.deliver_all()
    ship.stop()
    after = read_all()
    assert all(after[name] == content for name, content in before.items()), "nothing was changed"
    manifests = [name for name in after.keys() - before.keys() if name.startswith("_manifests/")]
    assert len(manifests) == 1 and "copied or set back" in ship.log.read_text(), manifests


def a_certificate_that_is_not_trusted_is_named(folder):
    store = S3(folder, tls=True)
    ship = Ship(folder, store.url, destination=f'ca_certificates = "{folder}/other.pem"\n' + store.destination())
    packets = ship.segments(2)
    ship.start()
    ship.problem("destination", "certificate")
    ship.stop()
    ship.configure(store.url, destination=f'ca_certificates = "{folder}/ca.pem"\n' + store.destination())
    ship.start()
    ship.deliver_all()
    ship.stop()
    found, batches = delivered(store.read_all)
    assert (found, len(batches)) == (packets, 2)


def credentials_that_are_refused_are_named_and_read_again_when_they_are_replaced(folder):
    secrets = pathlib.Path(folder, "secrets")
    ship = Ship(folder, "file:///")
    for url, status, options, key, more in (
        ("s3://fleet/hone", 403, 'region = "x"\nendpoint = "ROOT"\n', "access_key_id", 'secret_access_key = "s3cret-word"\n'),
        ("az://fleet/hone", 403, 'account_name = "x"\nendpoint = "ROOT"\n', "token", ""),
        ("gs://fleet/hone", 401, 'base_url = "ROOT"\n', "bearer_token", ""),
    ):
        refuser = Refuser(status)
        options = options.replace("ROOT", f"http://127.0.0.1:{refuser.port}")
        destination = f'credentials = "{secrets}"\n[destination.options]\nallow_http = "true"\n{options}'
        ship.configure(url, destination=destination)
        secrets.write_text(f'{key} = "old"\n{more}')
        secrets.chmod(0o644)
        refused = subprocess.run(
            [PROGRAMS / "hone-ship", "--config", ship.config, "check-config"], capture_output=True, text=True
        )
        assert refused.returncode == 1 and "chmod 600" in refused.stderr, refused.stderr
        secrets.chmod(0o600)
        ship.segments(1)
        ship.start()
        ship.problem("destination", str(status))
        secrets.write_text(f'{key} = "new"\n{more}')
        ship.deliver_all()
        ship.stop()
    assert "s3cret-word" not in ship.log.read_text()


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
    ship.wait("attachments_total", lambda count: count >= 2)
    ship.wait("attached", lambda value: value == 1)
    sent_later = send(100)

    def found(ports):
        # Both ports, and the protocol: TCP gives the same numbers to other programs.
        local, remote = ports
        return ask(
            f"SELECT process_name, sum(packets_out) FROM '{out}/connections/*/*/*.parquet' "
            f"WHERE transport = 'udp' AND local_port = {local} AND remote_port = {remote} AND packets_out > 0 GROUP BY ALL"
        )

    # The batch that has them, however long that takes: when it ends, hone-ship delivers for ten seconds at most.
    wait_for("what was sent last", lambda: sum(count for _, count in found(sent_later)) == 100)
    ship.stop()
    delivered(in_folder(out))
    dropped = ask(f"SELECT sum(dropped) FROM '{out}/sections/*/*/*.parquet'")
    for ports, count in (sent, 200), (sent_later, 100):
        [(process, packets)] = found(ports)
        assert packets == count and "python" in process, (process, packets, count, dropped)
    # Restated processes are there once a day, whatever the number of batches, unless something of them has changed: a parent that ends, for
    # example. `seen` grows with each batch.
    twice = ask(
        f"SELECT * EXCLUDE (seen, seen_ns, started, started_ns), count(*) FROM read_parquet('{out}/processes/*/*/*.parquet', hive_partitioning = true) "
        "GROUP BY ALL HAVING count(*) > 1"
    )
    assert not twice, twice
    assert not glob.glob(f"{out}/packets") and not glob.glob(f"{out}/names")
    honed.kill()
    honed.wait()


# The longest first.
TESTS = [
    what_honed_sends_arrives_once_and_a_restart_of_it_is_survived,
    an_s3_store_gets_every_batch_once_though_it_is_down_away_slow_and_loses_answers,
    credentials_that_are_refused_are_named_and_read_again_when_they_are_replaced,
    an_azure_store_gets_every_batch_once_though_it_is_down_away_slow_and_loses_answers,
    a_gcs_store_gets_every_batch_once_though_it_is_down_away_slow_and_loses_answers,
    a_certificate_that_is_not_trusted_is_named,
    a_disk_that_is_full_loses_nothing_that_the_spool_has,
    a_directory_gets_every_batch_once_though_hone_ship_is_killed_again_and_again,
    a_directory_that_has_something_else_under_a_name_gets_another_name,
]


def main():
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
            counted = ask(f"SELECT sum(packets_in + packets_out) FROM '{tables}/connections/*/*/*.parquet'")[0][0]
            PACKETS[recording] = int(counted or 0)
        wanted = sys.argv[2:]
        tests = [test for test in TESTS if not wanted or any(word in test.__name__ for word in wanted)]
        with ThreadPoolExecutor(len(TESTS)) as threads:
            passed = list(threads.map(is_passed, tests, (pathlib.Path(work, str(number)) for number in range(len(tests)))))
    sys.exit(0 if passed and all(passed) else 1)


def is_passed(test, folder):
    """Runs a test. Says how it went."""
    folder.mkdir()
    OF_TEST.children = []
    began = time.monotonic()
    try:
        test(str(folder))
        print(f"test {test.__name__} ... ok ({time.monotonic() - began:.1f} s)", flush=True)
        return True
    except Exception as error:
        said = "".join(file.read_text()[-2000:] for file in (folder / "log", folder / "server.log") if file.exists())
        where = traceback.extract_tb(error.__traceback__)[-1]
        print(f"test {test.__name__} ... FAILED\nnot right: {type(error).__name__}: {error} (line {where.lineno})\n{said}", flush=True)
        return False
    finally:
        for child in OF_TEST.children:
            if child.poll() is None:
                child.kill()
                child.wait()


main()
