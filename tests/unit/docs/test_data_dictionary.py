"""The dictionary is the contract's, and the contract's codes are all in use."""

import subprocess
import sys
from pathlib import Path

from daily_batch.domain.codes import Flag, Reason
from daily_batch.domain.contract import TABLES

ROOT = Path(__file__).parents[3]


def test_the_page_is_what_the_contract_gives() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "tools" / "data-dictionary"], check=True, capture_output=True, text=True
    )
    assert made.stdout == (ROOT / "docs" / "data-dictionary.md").read_text(encoding="utf-8")


def test_every_code_and_column_is_explained() -> None:
    assert all(code.meaning and code.example for codes in (Reason, Flag) for code in codes)
    assert all(column.doc for table in TABLES for column in table.columns)


def test_every_code_is_expected_by_a_test_of_a_fault() -> None:
    written = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests/integration/faults").glob("test_*.py")
    )
    assert [code for codes in (Reason, Flag) for code in codes if f'"{code}"' not in written] == []
