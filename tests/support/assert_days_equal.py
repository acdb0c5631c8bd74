"""What two runs of one day must have in common: every value of every table, and every count of the receipt."""

from dataclasses import replace

from daily_batch.domain.contract import TABLES
from daily_batch.domain.receipt import Receipt
from tests.oracle.compare import as_text
from tests.support.day_runs import Tables


def assert_equal_tables(found: Tables, wanted: Tables) -> None:
    """The same rows as often, by the types of their values, too; `Tables` are without what is the run's."""
    for table in TABLES:
        assert sorted(map(as_text, found[table.name])) == sorted(map(as_text, wanted[table.name])), table.name


def assert_equal_receipts(found: Receipt, wanted: Receipt) -> None:
    """The same of what was listed and read, and of what became of it."""
    assert what_it_counts(found) == what_it_counts(wanted)


def what_it_counts(receipt: Receipt) -> Receipt:
    """The receipt without what is the run's, the runner's, the format's, the files' and of an earlier run."""
    tables = {name: replace(each, files=0, bytes=0, version=None) for name, each in receipt.tables.items()}
    alike = replace(receipt, run_id="", runner="", format="delta", seconds={}, input="", output="", tables=tables)
    return replace(alike, shrink=None)
