"""Runs the queries of docs/analysis.md; a part of scripts/test-tables: queries.py FOLDER [--write]. FOLDER has the tables in the
folders parquet, csv and jsonl."""
import os
import pathlib
import sys

import duckdb
import polars

from page import QUERY, table, written

PAGE = pathlib.Path("docs/analysis.md").resolve()
SQL = pathlib.Path("packaging/sql").resolve()
TABLES = ["connections", "names", "packets", "processes", "sections"]
# Also --write fails if a query has no answer at all.
folder = pathlib.Path(sys.argv[1]).resolve()
page = PAGE.read_text()
os.chdir(folder / "parquet")
duck = duckdb.connect()
for name in ("hone", "names", "ocsf", "ecs"):
    duck.execute((SQL / f"{name}.sql").read_text())
frames = {}
for name in TABLES:
    found = polars.scan_parquet(f"{name}/**/*.parquet", hive_partitioning=True)
    # As the view in hone.sql: one row for each process.
    if name == "processes":
        found = found.sort("ended_ns", "seen_ns", descending=True, nulls_last=True).unique("process_uid", keep="first")
    frames[name] = found
polar = polars.SQLContext(frames)
failed = 0
count = 0


def answered(match):
    """A query with its answer."""
    global failed, count
    count += 1
    sql = match["sql"]
    result = duck.execute(sql)
    rows = result.fetchall()
    answer = table([column[0] for column in result.description], rows)
    if not rows:
        failed += 1
        print(f"no answer:\n{sql}", file=sys.stderr)
    if "also Polars" in (match["before"] or ""):
        frame = polar.execute(sql, eager=True)
        other = table(frame.columns, frame.rows())
        if other != answer:
            failed += 1
            print(f"Polars answers:\n{other}DuckDB answers:\n{answer}{sql}", file=sys.stderr)
    if match["answer"] != answer and "--write" not in sys.argv:
        failed += 1
        print(f"docs/analysis.md has another answer than this (scripts/test-tables --write):\n{answer}{sql}", file=sys.stderr)
    return written(match["before"], sql, answer)


page = QUERY.sub(answered, page)
if "--write" in sys.argv:
    PAGE.write_text(page)
for view in ("ocsf_network_activity", "ocsf_process_activity", "ecs_network", "ecs_process"):
    (rows,) = duck.execute(f"SELECT count(*) FROM {view}").fetchone()
    (expected,) = duck.execute(f"SELECT count(*) FROM {'connections' if 'network' in view else 'processes'}").fetchone()
    if rows != expected or not rows:
        failed += 1
        print(f"{view} has {rows} rows of {expected}", file=sys.stderr)
# The ids are what a database computes; each connection has its process; sums agree over the tables.
for what, sql in {
    "processes with another id": "SELECT count(*) FROM processes WHERE process_uid <> left(sha256(coalesce("
    "'process|' || host || '|' || boot || '|' || pid || '|' || born_ns || '|' || executions, "
    "'process|' || host || '|' || pid || '|' || coalesce(started_ns::VARCHAR, ''))), 32)",
    "connections with another id": "SELECT count(*) FROM connections WHERE connection_id IS NOT NULL AND connection_uid <> "
    "left(sha256('connection|' || host || '|' || boot || '|' || connection_id), 32)",
    "connections without their process": "SELECT count(*) FROM connections ANTI JOIN processes USING (process_uid) "
    "WHERE connections.process_uid IS NOT NULL",
    "bytes that connections and packets do not agree on": "SELECT (SELECT sum(bytes_in + bytes_out) FROM connections) - "
    "(SELECT sum(length) FROM read_parquet('packets/*/*/*.parquet'))",
}.items():
    (wrong,) = duck.execute(sql).fetchone()
    if wrong:
        failed += 1
        print(f"{what}: {wrong}", file=sys.stderr)
# Each format has the same rows.
for name in TABLES:
    counts = [
        duck.execute(f"SELECT count(*), bit_xor(hash(COLUMNS(*)::VARCHAR)) FROM {read}('{folder}/{kind}/{name}/*/*/*.{kind}'{more})")
        .fetchone()
        for kind, read, more in (
            ("parquet", "read_parquet", ", hive_partitioning = false"),
            ("jsonl", "read_json", ", hive_partitioning = false, union_by_name = true"),
        )
    ]
    (csv,) = duck.execute(f"SELECT count(*) FROM read_csv('{folder}/csv/{name}/*/*/*.csv', hive_partitioning = false)").fetchone()
    if counts[0][0] != counts[1][0] or counts[0][0] != csv or not csv:
        failed += 1
        print(f"{name}: {counts[0][0]} rows in Parquet, {counts[1][0]} in JSON, {csv} in CSV", file=sys.stderr)
if count < 8:
    failed += 1
    print(f"only {count} queries were found", file=sys.stderr)
if failed:
    sys.exit(1)
print(f"the answers to {count} queries are right")
