-- The table of names as a view for Spark, after spark.sql. A file of its own: where no names were recorded or delivered, there is no such
-- table, and Spark ends at an error.
CREATE OR REPLACE TEMPORARY VIEW names USING parquet OPTIONS (path 'names', mergeSchema 'true');
