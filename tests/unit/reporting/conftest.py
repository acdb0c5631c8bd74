"""What the tests of the report share: ledger and receipts of a made-up fortnight, to read only."""

import pytest

from bench.report_range import write_range
from tests.support.report_days import DATES, TENANTS, MadeUp


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    """Twelve tenants' fortnight."""
    output = tmp_path_factory.mktemp("made-up")
    return output, write_range(output, TENANTS, DATES, seed=7)
