"""DDL with which readers know a tenant's tables, made from the contract. Pure: nothing is asked of an engine."""

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
# Synapse wants CREATE VIEW at the beginning of a batch.
_ENDS = {"athena": ";\n", "databricks": ";\n", "synapse": "\nGO\n"}
_NOTES = {
    "athena": "Athena engine version 3; one statement at a time",
    "databricks": "Databricks SQL, with a Unity Catalog external location above the tables",
    "synapse": "A serverless pool's own database, whose collation is Latin1_General_100_BIN2_UTF8. Whoever asks needs"
    " Storage Blob Data Reader,\n-- or the data source a CREDENTIAL",
}


def make_statements(engine: Engine, target: Target) -> list[str]:
    """The statements, in order, without what ends them.

    Raises:
        UsageError: the engine cannot read where the tables lie.
    """
    return _STATEMENTS[engine](target)


def make_script(engine: Engine, target: Target) -> str:
    """The statements as a file."""
    head = f"-- Tables of tenant {target.tenant} for readers: {target.table_format}. {_NOTES[engine]}.\n"
    return "\n".join([head, *(f"{statement}{_ENDS[engine]}" for statement in make_statements(engine, target))])
