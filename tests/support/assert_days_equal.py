"""Assert that two runs of a day agree in every value of every table and in every count of the receipt."""

from dataclasses import replace

from daily_batch.domain.contract import TABLES
from daily_batch.domain.receipt import Receipt
from tests.oracle.compare import as_text
from tests.support.day_runs import Tables


def assert_equal_tables(actual: Tables, expected: Tables) -> None:
    """Assert equal rows, multiplicities and value types; `Tables` omit the columns that differ between runs."""
    for table in TABLES:
        assert sorted(map(as_text, actual[table.name])) == sorted(map(as_text, expected[table.name])), table.name


def assert_equal_receipts(actual: Receipt, expected: Receipt) -> None:
    """Assert equal counts of listed, read and processed objects and records."""
    assert comparable_receipt(actual) == comparable_receipt(expected)


def comparable_receipt(receipt: Receipt) -> Receipt:
    """Return the receipt without the fields that depend on the run, the runner, the format, files or an earlier run."""
    tables = {name: replace(each, files=0, bytes=0, version=None) for name, each in receipt.tables.items()}
    comparable = replace(receipt, run_id="", processed_at="", runner="", format="delta", seconds={}, tables=tables)
    return replace(comparable, input="", output="", shrink=None)
