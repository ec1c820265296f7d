"""The engines that answer: the same queries and the same fleet.sql, over tables in a folder."""
import os
import pathlib
import re

SQL = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "sql"


def statements(name):
    """The statements of a file of views."""
    text = re.sub(r"--.*", "", (SQL / name).read_text())
    return filter(None, map(str.strip, text.split(";")))


def plain(value):
    """A value as it is the same in all engines: times without a zone are in UTC."""
    return value.replace(tzinfo=None) if hasattr(value, "tzinfo") else value


class DuckDB:
    """DuckDB, in this process."""

    def __init__(self, folder):
        import duckdb

        os.chdir(folder)
        self.connection = duckdb.connect()
        for name in ("hone.sql", "fleet.sql"):
            for statement in statements(name):
                self.connection.execute(statement)

    def query(self, sql):
        """Names of columns, and rows."""
        result = self.connection.execute(sql)
        return [column[0] for column in result.description], [tuple(map(plain, row)) for row in result.fetchall()]

    def close(self):
        """Ends it."""
        self.connection.close()


class Spark:
    """Spark, with all processors of this machine."""

    def __init__(self, folder):
        import tempfile

        from pyspark.sql import SparkSession

        os.environ["TZ"] = "UTC"
        os.chdir(folder)
        self.scratch = tempfile.TemporaryDirectory()
        # The interface is not needed, and few partitions are faster on one machine.
        settings = {
            "spark.ui.enabled": "false",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": os.environ.get("SPARK_MEMORY", "4g"),
            "spark.local.dir": self.scratch.name,
            "spark.log.level": "ERROR",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.warehouse.dir": f"{self.scratch.name}/warehouse",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": "16",
            "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        }
        builder = SparkSession.builder.master("local[*]")
        for name, value in settings.items():
            builder = builder.config(name, value)
        self.session = builder.getOrCreate()
        for name in ("spark.sql", "fleet.sql"):
            for statement in statements(name):
                # Whole paths: the process of Java stays in the folder in which the first session began.
                self.session.sql(statement.replace("path '", f"path '{folder}/"))

    def query(self, sql):
        """Names of columns, and rows."""
        result = self.session.sql(sql)
        return result.columns, [tuple(map(plain, row)) for row in result.collect()]

    def close(self):
        """Ends it."""
        self.session.stop()
        self.scratch.cleanup()


ENGINES = {"duckdb": DuckDB, "spark": Spark}
