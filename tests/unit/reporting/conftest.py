"""Shared by the tests of the report: ledger and receipts of a synthetic fortnight, read-only."""

import pytest

from bench.report_range import write_range
from tests.support.report_days import DATES, TENANTS, MadeUp


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    """Return the output and the receipts of a fortnight of twelve tenants."""
    output = tmp_path_factory.mktemp("made-up")
    return output, write_range(output, TENANTS, DATES, seed=7)
