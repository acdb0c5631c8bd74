"""Generate the DDL that makes tenants' tables known to a query engine. Pure: it calls no engine."""

from collections.abc import Callable, Mapping, Sequence

from daily_batch.catalog import Engine
from daily_batch.catalog.athena import athena_statements
from daily_batch.catalog.databricks import databricks_statements
from daily_batch.catalog.receipts import receipts_statements
from daily_batch.catalog.synapse import synapse_statements
from daily_batch.catalog.target import Target
from daily_batch.catalog.views import all_tenants_statements, without_content_statements

_STATEMENTS: Mapping[Engine, Callable[[Target], list[str]]] = {
    "athena": athena_statements,
    "databricks": databricks_statements,
    "synapse": synapse_statements,
}
# Synapse requires CREATE VIEW to be the first statement of a batch.
_ENDS = {"athena": ";\n", "databricks": ";\n", "synapse": "\nGO\n"}
_NOTES = {
    "athena": "Athena engine version 3; one statement at a time",
    "databricks": "Databricks SQL, with a Unity Catalog external location above the tables",
    "synapse": "A serverless pool's own database, whose collation is Latin1_General_100_BIN2_UTF8. Readers need"
    " Storage Blob Data Reader,\n-- or the data source a CREDENTIAL",
}
_ALL_TENANTS = """\
-- The aggregates of {count:,} tenants in one view each, for {engine}. Messages and rejects are in none.
-- First run each tenant's own statements, and run these again for a new tenant.
-- Readers see every tenant's room ids, user ids and counts: grant them this schema as you would all tenants' tables.
"""
_WITHOUT_CONTENT = """\
-- Views of tenant {tenant}'s tables without content, extras, attachments, images, sources and raw bytes, for {engine}.
-- First run the tenant's own statements. Grant this schema, not that of the tables.
-- The views do not hide ids of users, rooms and messages, object keys (which hold these ids), times, lengths, roles,
-- agent modes, token counts, and reasons and details of rejects. Who wrote when, and how much, can be told from them.
-- {reach}
"""
_REACH = {
    "athena": "Athena reads with the reader's own rights: a reader of these views can read the tables' files in S3\n"
    "-- too, with all content, unless Lake Formation grants the columns.",
    "databricks": "Whoever can read the tables, or their files in the storage, still reads all content.",
    "synapse": "Without a CREDENTIAL of the data source, Synapse reads with the reader's own rights: a reader of\n"
    "-- these views can read the tables' files too, with all content.",
}


def make_statements(engine: Engine, target: Target, *, without_content: bool = False) -> list[str]:
    """Return the statements of tables and run history, or of views without content, in order, without terminators.

    Raises:
        UsageError: the engine cannot read the location of the tables.
    """
    target.check(engine)
    if without_content:
        return without_content_statements(engine, target)
    return [*_STATEMENTS[engine](target), *receipts_statements(engine, target)]


def make_script(engine: Engine, target: Target, *, without_content: bool = False) -> str:
    """Return the statements as a script; see `make_statements`."""
    statements = make_statements(engine, target, without_content=without_content)
    if without_content:
        return _join(
            engine, _WITHOUT_CONTENT.format(tenant=target.tenant, engine=engine, reach=_REACH[engine]), statements
        )
    head = f"-- Tables of tenant {target.tenant} for readers: {target.table_format}. {_NOTES[engine]}.\n"
    return _join(engine, head, statements)


def make_shared_statements(engine: Engine, targets: Sequence[Target]) -> list[str]:
    """Return the statements of the views over all tenants' aggregates.

    Raises:
        UsageError: the engine cannot read the location of the tables, or there are too many tenants for it.
    """
    for target in targets:
        target.check(engine)
    return all_tenants_statements(engine, targets)


def make_shared_script(engine: Engine, targets: Sequence[Target]) -> str:
    """Return the statements as a script; see `make_shared_statements`."""
    head = _ALL_TENANTS.format(count=len(targets), engine=engine)
    return _join(engine, head, make_shared_statements(engine, targets))


def _join(engine: Engine, head: str, statements: Sequence[str]) -> str:
    return "\n".join([head, *(f"{statement}{_ENDS[engine]}" for statement in statements)])
