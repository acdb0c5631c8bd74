"""Generate the DDL that registers a tenant's tables with a query engine. Pure: it calls no engine."""

from collections.abc import Callable, Mapping

from daily_batch.catalog import Engine
from daily_batch.catalog.athena import athena_statements
from daily_batch.catalog.databricks import databricks_statements
from daily_batch.catalog.synapse import synapse_statements
from daily_batch.catalog.target import Target

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


def make_statements(engine: Engine, target: Target) -> list[str]:
    """Return the statements in order, without their terminators.

    Raises:
        UsageError: the engine cannot read the location of the tables.
    """
    return _STATEMENTS[engine](target)


def make_script(engine: Engine, target: Target) -> str:
    """Return the statements as a script."""
    head = f"-- Tables of tenant {target.tenant} for readers: {target.table_format}. {_NOTES[engine]}.\n"
    return "\n".join([head, *(f"{statement}{_ENDS[engine]}" for statement in make_statements(engine, target))])
