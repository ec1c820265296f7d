"""Measures the views of packaging/sql/fleet.sql over the tables of a fleet that does not exist, for the table in docs/fleet.md:

    target/tables-venv/bin/python bench/fleet.py [--connections 10000000] [--hosts 200] [--engine duckdb|spark] [--keep FOLDER]

`scripts/test-fleet` makes the environment and the programs that this needs. The rows have the columns that honeutil exports, and are of one
day. Of each ten connections, six have their other end in the fleet: both ends are rows, up to 2 ms apart. The others are with addresses
elsewhere, some of them rare. For each question: seconds, and seconds of processor, for each million rows of connections.
"""
import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "fleet"))
sys.dont_write_bytecode = True

from engines import ENGINES  # noqa: E402

PROGRAMS = ["nginx", "postgres", "sshd", "redis-server", "curl", "python3.13", "agent", "worker"]
QUESTIONS = {
    "bytes by host and program": "SELECT host, process_name, sum(bytes_out + bytes_in) AS bytes FROM connections GROUP BY host, process_name "
    "ORDER BY bytes DESC LIMIT 10",
    "the other end of one connection": "SELECT other_host, other_process_name FROM both_ends WHERE local_address = '{address}' "
    "AND local_port = {port} AND remote_address = '{remote}'",
    "the other ends of one host": "SELECT other_host, other_process_name, count(*) FROM both_ends WHERE host = '{host}' "
    "GROUP BY other_host, other_process_name",
    "all pairs of the fleet": "SELECT count(*), count(DISTINCT other_host) FROM both_ends WHERE initiated = 'local'",
    "which hosts ran what talked to an address": "SELECT host, path FROM programs WHERE program IN (SELECT program FROM contacts "
    "WHERE remote_address = '198.18.0.7')",
    "programs first seen": "SELECT program, first_host FROM first_seen_programs ORDER BY first_started LIMIT 10",
    "rare destinations": "SELECT destination, server_port, hosts FROM destinations WHERE hosts <= 2 ORDER BY hosts, destination LIMIT 10",
}


def generate(folder, connections, hosts):
    """Writes the tables. All is made of the row's number, so it is always the same."""
    import duckdb

    sample = pathlib.Path(tempfile.mkdtemp(dir=folder.parent))
    (sample / "recordings").mkdir()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
    subprocess.run([target / "examples" / "sample_fleet", sample / "recordings"], check=True)
    recordings = sorted((sample / "recordings").iterdir())
    subprocess.run([target / "honeutil", "export", "--to", "parquet", "-d", sample / "tables", *recordings], check=True,
                   stderr=subprocess.DEVNULL)
    db = duckdb.connect(str(sample / "all.db"))
    db.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false; SET partitioned_write_max_open_files = 1000")
    exchanges = connections * 10 // 16
    db.execute(f"""
        CREATE MACRO host_of(n) AS '00000000-0000-8000-8000-' || lpad(to_hex(n), 12, '0');
        CREATE MACRO boot_of(n) AS '00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0');
        CREATE MACRO address_of(n) AS '10.0.' || n // 256 || '.' || n % 256;
        CREATE MACRO uid(text) AS left(sha256(text), 32);
        CREATE MACRO process_of(host, program) AS uid('process|' || host_of(host) || '|' || boot_of(host) || '|' || 500 + program || '|1|1');
        CREATE VIEW exchanges AS
        SELECT
            n, (hash(n) % {hosts})::BIGINT AS client, hash(n + 1000000007) % 10 < 6 AS is_inside,
            (client + 1 + (hash(n + 2000000011) % ({hosts} - 1))::BIGINT) % {hosts} AS server,
            (CASE WHEN hash(n + 7) % 1000 = 0 THEN hash(n + 9) % 50000 ELSE hash(n + 9) % 500 END)::BIGINT AS outside,
            (4 + hash(n + 3) % 4)::BIGINT AS client_program, (hash(n + 5) % 4)::BIGINT AS server_program,
            1024 + (n // {hosts}) % 64000 AS port,
            1785456000000000000 + n * (86400000000000 // {exchanges}) AS first,
            (hash(n + 11) % 60000000000)::BIGINT AS length, (20000 + hash(n + 13) % 1980000)::BIGINT AS delay,
            (200 + hash(n + 17) % 10000)::BIGINT AS asked, (200 + hash(n + 19) % 1000000)::BIGINT AS answered
        FROM (SELECT unnest(range({exchanges})) AS n)
    """)
    ends = """
        SELECT n, client AS host_number, client_program AS program, true AS is_local, first, first + length AS last, asked AS sent, answered AS got,
            address_of(client) AS here, port AS here_port, CASE WHEN is_inside THEN address_of(server)
            ELSE '198.18.' || outside // 256 || '.' || outside % 256 END AS there,
            ([443, 5432, 22, 6379])[server_program + 1] AS there_port FROM exchanges
        UNION ALL
        SELECT n, server, server_program, false, first + delay, first + length + delay, answered, asked, address_of(server),
            ([443, 5432, 22, 6379])[server_program + 1], address_of(client), port FROM exchanges WHERE is_inside
    """
    like = lambda name: f"(SELECT * FROM read_parquet('{sample}/tables/{name}/*/*/*.parquet', hive_partitioning = false) LIMIT 0)"  # noqa: E731
    names = ", ".join(f"'{name}'" for name in PROGRAMS)
    rows = {
        "connections": f"""SELECT host_of(host_number) AS host, boot_of(host_number) AS boot,
            uid('connection|' || host_of(host_number) || '|' || n || is_local) AS connection_uid, n AS connection_id,
            process_of(host_number, program) AS process_uid, 500 + program AS pid, ([{names}])[program + 1] AS process_name,
            make_timestamptz(first // 1000) AS opened, first AS opened_ns, make_timestamptz(last // 1000) AS closed, last AS closed_ns,
            opened AS first_packet, first AS first_packet_ns, closed AS last_packet, last AS last_packet_ns, 6 AS protocol, 'tcp' AS transport,
            here AS local_address, here_port AS local_port, there AS remote_address, there_port AS remote_port,
            CASE WHEN is_local THEN 'local' ELSE 'remote' END AS initiated, 'syn' AS initiated_by,
            sent // 1000 + 3 AS packets_out, got // 1000 + 3 AS packets_in, sent AS bytes_out, got AS bytes_in, 0 AS packets_unowned,
            0 AS bytes_unowned, '1:' || base64(unhex(left(sha256('flow' || n), 40))) AS community_id, 'current task' AS how,
            'closed' AS state, '2026-07-31' AS date FROM ({ends})""",
        "processes": f"""SELECT process_of(host, program) AS process_uid, host_of(host) AS host, boot_of(host) AS boot, 500 + program AS pid,
            TIMESTAMPTZ '2026-07-31 00:00:00Z' AS started, TIMESTAMPTZ '2026-07-31 23:59:59Z' AS seen, 1 AS seen_ns,
            ([{names}])[program + 1] AS name, '/usr/bin/' || name AS path, 1 AS born_ns, 1 AS executions, '2026-07-31' AS date
            FROM (SELECT unnest(range({hosts})) AS host), (SELECT unnest(range({len(PROGRAMS)})) AS program)""",
        "sections": f"""SELECT host_of(host) AS host, boot_of(host) AS boot, 'Linux host-' || host || ' 6.18' AS os, 0 AS dropped,
            1785456000000000000 AS first_packet_ns, 1785542399000000000 AS last_packet_ns, '2026-07-31' AS date
            FROM (SELECT unnest(range({hosts})) AS host)""",
    }
    for name, sql in rows.items():
        # In the order of time on each host, as a recorder writes them.
        db.execute(f"CREATE TABLE part AS SELECT *, NULL::VARCHAR AS date FROM {like(name)}")
        db.execute(f"INSERT INTO part BY NAME {sql}")
        order = "ORDER BY host, last_packet_ns" if name == "connections" else ""
        db.execute(f"COPY (SELECT * FROM part {order}) TO '{folder / name}' (FORMAT parquet, PARTITION_BY (host, date), COMPRESSION zstd, "
                   "WRITE_PARTITION_COLUMNS true)")
        db.execute("DROP TABLE part")
    db.close()
    subprocess.run(["rm", "-r", sample], check=True)


def cpu():
    """Seconds of processor so far, of this process and those that it has started."""
    ticks = os.sysconf("SC_CLK_TCK")
    family, seconds = {os.getpid()}, 0
    for stat in sorted(pathlib.Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parent.name)):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        number = int(stat.parent.name)
        if number in family or int(fields[1]) in family:
            family.add(number)
            seconds += (int(fields[11]) + int(fields[12])) / ticks
    return seconds


def main():
    """Generates, asks, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000_000)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--engine", choices=ENGINES, default="duckdb")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for the tables: used if it is there, made and kept if not")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (args.keep or pathlib.Path(scratch) / "tables").resolve()
        if not folder.exists():
            folder.mkdir(parents=True)
            generate(folder, args.connections, args.hosts)
        size = sum(file.stat().st_size for file in folder.glob("connections/**/*.parquet"))
        engine = ENGINES[args.engine](folder)
        (rows,) = engine.query("SELECT count(*) FROM connections")[1][0]
        one = engine.query("SELECT local_address, local_port, remote_address, host FROM connections WHERE initiated = 'local' "
                           "AND remote_address LIKE '10.%' ORDER BY first_packet_ns LIMIT 1")[1][0]
        words = dict(zip(("address", "port", "remote", "host"), one))
        millions = rows / 1e6
        print(f"{args.engine}: {rows} connections of {args.hosts} hosts, {size / rows:.0f} bytes a row")
        print("| question | s | s a million | processor s a million |\n|---|---|---|---|")
        for name, sql in QUESTIONS.items():
            begin, used = time.monotonic(), cpu()
            found = engine.query(sql.format(**words))[1]
            seconds, used = time.monotonic() - begin, cpu() - used
            if not found:
                sys.exit(f"no answer: {name}")
            print(f"| {name} | {seconds:.1f} | {seconds / millions:.2f} | {used / millions:.2f} |", flush=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"most memory: {peak:.0f} MiB" if args.engine == "duckdb" else "")
        engine.close()


main()
