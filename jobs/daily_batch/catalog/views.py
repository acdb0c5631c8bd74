"""Views for readers: one over all tenants' aggregates, and a tenant's tables without content. Pure.

Views are in schemas of their own, because privileges are granted by schema.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from daily_batch.catalog import Engine
from daily_batch.catalog.columns import PARTITIONS
from daily_batch.catalog.dialects import DIALECTS, Dialect
from daily_batch.catalog.names import schema_prefix
from daily_batch.catalog.target import Target
from daily_batch.domain.contract import AGGREGATES, TABLES, TENANT, Column, Table
from daily_batch.errors import UsageError

WITHOUT_CONTENT = "without_content"


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A tenant's table in a view. `literal` selects the tenant as a literal, which prunes other tenants' tables."""

    target: Target
    table: Table
    columns: tuple[Column, ...]
    literal: bool = False


def all_tenants_statements(engine: Engine, targets: Sequence[Target]) -> list[str]:
    """Return the statements of a schema and its views, each over one aggregate of all tenants.

    Messages and rejects are in no such view, and no row lacks its tenant.

    Raises:
        UsageError: there are too many tenants for the engine.
    """
    dialect = DIALECTS[engine]
    # No tenant's schema has this name, because no tenant id begins with `_`.
    schema = f"{schema_prefix(targets[0].catalog)}__all_tenants"
    statements = [dialect.create_schema(targets[0].catalog, schema)]
    for table in AGGREGATES:
        named = any(column.name == TENANT.name for column in table.columns)
        columns = table.columns if named else (TENANT, *table.columns)
        sources = [_Source(target=target, table=table, columns=columns, literal=True) for target in targets]
        statements.append(_create_view(dialect, schema, sources))
    longest = max(len(statement.encode()) for statement in statements)
    if dialect.max_bytes and longest > dialect.max_bytes:
        what = (
            f"{len(targets):,} tenants need a statement of {longest:,} bytes, and {engine} takes {dialect.max_bytes:,}"
        )
        raise UsageError(what, next_step="give fewer tenants with --tenant")
    return statements


def without_content_statements(engine: Engine, target: Target) -> list[str]:
    """Return the statements of a tenant's schema of views, without the columns that hold what was said or sent."""
    dialect, schema = DIALECTS[engine], target.in_schema(WITHOUT_CONTENT)
    views = []
    for table in TABLES:
        columns = tuple(column for column in table.columns if not column.shows_content)
        views.append(_create_view(dialect, schema, [_Source(target=target, table=table, columns=columns)]))
    return [dialect.create_schema(target.catalog, schema), *views]


def _create_view(dialect: Dialect, schema: str, sources: Sequence[_Source]) -> str:
    first = sources[0]
    name = f"{dialect.qualify(first.target.catalog, schema)}.{dialect.quote(first.table.name)}"
    return f"{dialect.create_view} {name} AS\n" + "\nUNION ALL\n".join(_select(dialect, each) for each in sources)


def _select(dialect: Dialect, source: _Source) -> str:
    target = source.target
    expressions = ",\n".join(f"    {each}" for each in _list_expressions(dialect, source))
    name = f"{dialect.qualify(target.catalog, target.schema)}.{dialect.quote(source.table.name)}"
    return f"SELECT\n{expressions}\nFROM {name}"


def _list_expressions(dialect: Dialect, source: _Source) -> Iterator[str]:
    for column in source.columns:
        quoted = dialect.quote(column.name)
        if source.literal and column.name == TENANT.name:
            yield f"{dialect.tenant(source.target.tenant)} AS {quoted}"
        elif column.type == "TIMESTAMPTZ" and dialect.moment:
            yield f"{dialect.moment.format(quoted)} AS {quoted}"
        else:
            yield quoted
    if source.target.table_format == "parquet":  # readers of plain Parquet skip other days by these
        yield from (dialect.quote(name) for name, *_ in PARTITIONS)
