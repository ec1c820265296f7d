-- The table of names as a view for DuckDB, after hone.sql. A file of its own: where no names were recorded or delivered, there is no such
-- table, and DuckDB ends at an error.
CREATE OR REPLACE VIEW names AS
SELECT * FROM read_parquet('names/*/*/*.parquet', hive_partitioning = true, union_by_name = true);
