"""Assert that two runs of a day agree in every value of every table and in every count of the receipt."""

from dataclasses import replace

from daily_batch.domain.contract import TABLES
from daily_batch.domain.receipt import Receipt
from tests.oracle.compare import as_text
from tests.support.day_runs import Tables


def assert_equal_tables(found: Tables, wanted: Tables) -> None:
    """Assert equal rows with equal multiplicity and value types; `Tables` omit the columns that differ between runs."""
    for table in TABLES:
        assert sorted(map(as_text, found[table.name])) == sorted(map(as_text, wanted[table.name])), table.name


def assert_equal_receipts(found: Receipt, wanted: Receipt) -> None:
    """Assert equal counts of listed, read and processed objects and records."""
    assert what_it_counts(found) == what_it_counts(wanted)


def what_it_counts(receipt: Receipt) -> Receipt:
    """Return the receipt without the fields that depend on the run, runner, format, files or an earlier run."""
    tables = {name: replace(each, files=0, bytes=0, version=None) for name, each in receipt.tables.items()}
    alike = replace(receipt, run_id="", runner="", format="delta", seconds={}, input="", output="", tables=tables)
    return replace(alike, shrink=None)
