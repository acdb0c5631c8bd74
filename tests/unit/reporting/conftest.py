"""Shared by the tests of the report: ledger and receipts of a synthetic fortnight, not to be changed."""

import pytest

from bench.report_range import write_range
from tests.support.report_days import DATES, TENANTS, Fortnight


@pytest.fixture(scope="session")
def fortnight(tmp_path_factory: pytest.TempPathFactory) -> Fortnight:
    """Return the output and the receipts of a fortnight of twelve tenants."""
    output = tmp_path_factory.mktemp("fortnight")
    return output, write_range(output, TENANTS, DATES, seed=7)
