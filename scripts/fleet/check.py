"""Runs the queries of docs/fleet.md, and compares what the views of fleet.sql say of the recordings of hosts.py with the truth; a part
of scripts/test-fleet: check.py ENGINE SAMPLE LIVE [--write]. SAMPLE: tables of sample_fleet. LIVE: the folder of hosts.py, with its
tables in `tables`; - if there are none."""
import collections
import hashlib
import json
import pathlib
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tables"))

from engines import ENGINES  # noqa: E402
from page import QUERY, table, written  # noqa: E402

PAGE = pathlib.Path("docs/fleet.md").resolve()
ENGINE, SAMPLE, LIVE = sys.argv[1], *(pathlib.Path(path).resolve() for path in sys.argv[2:4])
# As in hosts.py.
MACHINES = {"laptop": 0xA1, "web": 0xA2, "db": 0xA3, "copy": 0xA2}
failed = []


def expect(what, found, expected):
    """Notes a difference."""
    if found != expected:
        failed.append(what)
        print(f"{ENGINE}: {what}:\n  found    {found}\n  expected {expected}", file=sys.stderr)


def page(engine):
    """Runs the queries of the page."""
    count = 0

    def answered(match):
        nonlocal count
        count += 1
        names, rows = engine.query(match["sql"])
        answer = table(names, rows)
        if not rows:
            failed.append("no answer")
            print(f"no answer:\n{match['sql']}", file=sys.stderr)
        if "--write" not in sys.argv:
            expect(f"the answer to\n{match['sql']}", answer, match["answer"])
        return written(match["before"], match["sql"], answer)

    text = QUERY.sub(answered, PAGE.read_text())
    if "--write" in sys.argv:
        PAGE.write_text(text)
    if count < 6:
        failed.append("queries")
        print(f"only {count} queries were found in {PAGE}", file=sys.stderr)
    return count


def host_id(number):
    """The id that Hone derives from a machine id, and not from a name."""
    digest = bytearray(hashlib.sha256(b"hone host id\0" + f"{number:032x}".encode()).digest()[:16])
    digest[6], digest[8] = digest[6] & 0x0F | 0x80, digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def live(engine):
    """Compares with what happened."""
    ids = {name: host_id(number) for name, number in MACHINES.items()}
    names = {ids[name]: name for name in ("laptop", "web", "db")}
    exchanges = collections.defaultdict(dict)
    for line in (LIVE / "log").read_text().splitlines():
        entry = json.loads(line)
        exchanges[entry["tag"]][entry["role"]] = (ids[entry["host"]], entry["pid"])
    translated = exchanges.pop("translated")

    # Who was at the other end: of each exchange both ends, and no other pair. A server that forks has two processes at its end: the one
    # that accepted, which is no end of an exchange, and its child.
    servers = {end["server"] for end in exchanges.values()}
    found = engine.query(
        "SELECT DISTINCT host, pid, other_host, other_pid, other_connection_uid FROM both_ends WHERE process_name IN "
        "('browser', 'updater', 'webapp', 'agent', 'sync', 'stranger')"
    )[1]
    ends = {(host, pid, other, other_pid) for host, pid, other, other_pid, _ in found if (other, other_pid) in servers}
    expect("both ends", sorted(ends), sorted({end["client"] + end["server"] for end in exchanges.values()}))
    of_client = collections.defaultdict(set)
    for host, pid, *_, uid in found:
        of_client[host, pid].add(uid)
    expect("clients with more than one connection at the other end", {c: u for c, u in of_client.items() if len(u) > 1}, {})
    back = engine.query("SELECT DISTINCT other_host, other_pid, host, pid FROM both_ends")[1]
    expect("ends that are not seen from the other side", sorted(ends - set(back)), [])

    # The process that accepts has a part of the connection, too: the handshake, or only the end of it.
    found = engine.query("SELECT process_name FROM both_ends WHERE initiated = 'local' AND process_name IN "
                         "('webserver', 'database', 'resolver', 'metrics')")[1]
    expect("servers that began a connection", found, [])

    # Behind a translator there is only a guess, and it is right.
    expect("pairs through a translator", engine.query("SELECT * FROM both_ends WHERE process_name = 'backup'")[1], [])
    guessed = engine.query("SELECT DISTINCT client_host, client_pid, host, pid, candidates FROM behind_nat")[1]
    expect("the guess", translated["client"] + translated["server"] + (1,) in guessed, True)
    expect("other guesses", {row[:2] for row in guessed} | {row[4] for row in guessed}, {translated["client"], 1})

    # One host with two names is one host, and its process is one, whatever recorded it.
    found = {names.get(host): (name, systems, boots) for host, name, systems, boots in engine.query(
        "SELECT host, host_name, systems, boots FROM hosts")[1]}
    expect("the hosts", {name: found.get(name) for name in ("laptop", "db")}, {"laptop": ("renamed", 2, 1), "db": ("db-1", 1, 1)})
    expect("how many hosts", len(found), 3)
    found = engine.query(
        "SELECT count(*), count(DISTINCT connection_uid), count(DISTINCT process_uid) FROM connections WHERE process_name = 'sync'"
    )[1]
    expect("rows, connections and processes of two recordings", found, [(2, 1, 1)])
    expect("host ids in use twice", engine.query("SELECT DISTINCT host FROM shared_host_ids")[1], [(ids["web"],)])

    # Each row has its process, and the ids of the tables are those that fleet.sql joins by.
    lost = engine.query("SELECT count(*) FROM flows ANTI JOIN processes ON flows.process_uid = processes.process_uid")[1]
    expect("flows without their process", lost, [(0,)])
    found = engine.query("SELECT DISTINCT host, process_name FROM contacts WHERE remote_address = '10.77.1.2' AND server_port = 8080")[1]
    expect("who talked to an address", sorted(found), sorted((ids["laptop"], name) for name in ("browser", "sync", "updater")))


engine = ENGINES[ENGINE](SAMPLE)
count = page(engine)
engine.close()
if LIVE.name != "-":
    engine = ENGINES[ENGINE](LIVE / "tables")
    live(engine)
    engine.close()
if failed:
    sys.exit(1)
print(f"{ENGINE}: the answers to {count} queries are right" + ("" if LIVE.name == "-" else ", and those about three hosts"))
