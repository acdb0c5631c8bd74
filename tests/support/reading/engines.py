"""Run blocks of docs/reading.md and questions.md: Python as is, SQL on the engine's session; answers are plain rows."""

import ast
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlglot

from tests.support.reading.page import Block, blocks_below

LOCATION = "s3://my-bucket"
# UNNEST of a list of structs gives one column per field in Trino, and in DuckDB only with `recursive` in a subquery.
_UNNEST = re.compile(r"CROSS JOIN UNNEST\((\w+)\) AS (\w+\(.+?\))")
Rows = list[dict[str, Any]]


class Reader:
    """An engine that has opened the tables with the page's code."""

    def __init__(self, engine: str, table_format: str, tables: Path, **names: Any) -> None:
        self.engine = engine
        self._names = dict(names)
        self._location = str(tables)
        # Athena does not run locally, so DuckDB stands in for it.
        self.run(blocks_below(table_format.capitalize())["DuckDB" if engine == "Athena" else engine])

    def answer(self, block: Block) -> Rows:
        """Run a block and return its rows."""
        return as_rows(self._query(block.code) if block.kind == "sql" else self.run(block))

    def run(self, block: Block) -> Any:
        """Run Python code and return the value of its last line if that is an expression."""
        body = ast.parse(block.code.replace(LOCATION, self._location)).body
        last: Any = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), "reading.md", "exec"), self._names)
        return last and eval(compile(ast.Expression(last.value), "reading.md", "eval"), self._names)

    def _query(self, sql: str) -> Any:
        match self.engine:
            case "Athena":
                return self._names["db"].sql(to_duckdb(sql))
            case "DuckDB":
                return self._names["db"].sql(sql)
            case "Spark":
                return self._names["spark"].sql(sql)
            case "delta-rs":
                return self._names["engine"].execute(sql).read_all()
        raise AssertionError(self.engine)


def to_duckdb(sql: str) -> str:
    """Translate Athena's SQL to DuckDB's."""
    (translated,) = sqlglot.transpile(sql, read="athena", write="duckdb")
    return _UNNEST.sub(r"CROSS JOIN (SELECT unnest(\1, recursive := true)) AS \2", translated)


def as_rows(answer: Any) -> Rows:
    """Convert an engine's answer to rows through Arrow, so that timestamps keep their zone."""
    for convert in ("toArrow", "to_arrow_table", "to_arrow"):
        if hasattr(answer, convert):
            return _rows(getattr(answer, convert)())
    return _rows(pa.table(answer))


def _rows(table: pa.Table) -> Rows:
    rows: Rows = table.to_pylist()
    return rows
