-- The tables that `honeutil export --to parquet -d DIR` or hone-ship writes, as views for Spark 3.4 and later, in DIR or with whole paths:
-- spark-sql --conf spark.sql.session.timeZone=UTC --conf spark.sql.sources.partitionColumnTypeInference.enabled=false -i spark.sql
-- The partition host= stays text by that. hone.sql has the same views for DuckDB.

CREATE OR REPLACE TEMPORARY VIEW connections USING parquet OPTIONS (path 'connections', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW sections USING parquet OPTIONS (path 'sections', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW process_rows USING parquet OPTIONS (path 'processes', mergeSchema 'true');

-- A process that goes on in a later section or file has a row in each: one row each here, with its end once that is known.
CREATE OR REPLACE TEMPORARY VIEW processes AS
SELECT *
FROM (
    SELECT *, row_number() OVER (PARTITION BY process_uid ORDER BY ended_ns DESC NULLS LAST, seen_ns DESC) AS place
    FROM process_rows
)
WHERE place = 1;
