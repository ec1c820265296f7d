"""Queries on a page of the documents, each with its answer."""
import re

QUERY = re.compile(r"(?P<before>[^\n]*\n\n)?```sql\n(?P<sql>.*?)```\n(\n```\n(?P<answer>.*?)```\n)?", re.S)


def text(value):
    """A value as it stands on the page."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return "[" + ", ".join(map(text, value)) + "]"
    return str(value)


def table(names, rows):
    """Rows as aligned text."""
    lines = [names] + [[text(value) for value in row] for row in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(names))]
    return "".join("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths)).rstrip() + "\n" for line in lines)


def written(page, sql, answer):
    """A query and its answer, with what stands before it."""
    return f"{page or ''}```sql\n{sql}```\n\n```\n{answer}```\n"
