-- The tables that `honeutil export --to parquet -d DIR` writes, as views for DuckDB. In DIR: duckdb -init hone.sql
SET TimeZone = 'UTC';

CREATE OR REPLACE VIEW connections AS
SELECT * FROM read_parquet('connections/*/*/*.parquet', hive_partitioning = true, union_by_name = true);

CREATE OR REPLACE VIEW sections AS
SELECT * FROM read_parquet('sections/*/*/*.parquet', hive_partitioning = true, union_by_name = true);

-- A process that goes on in a later section or file has a row in each: one row each here, with its end once that is known.
CREATE OR REPLACE VIEW processes AS
SELECT * EXCLUDE (place)
FROM (
    SELECT *, row_number() OVER (PARTITION BY process_uid ORDER BY ended_ns DESC NULLS LAST, seen_ns DESC) AS place
    FROM read_parquet('processes/*/*/*.parquet', hive_partitioning = true, union_by_name = true)
)
WHERE place = 1;
