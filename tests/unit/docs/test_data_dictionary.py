"""docs/data-dictionary.md matches the contract, and a test covers each of the contract's codes."""

import subprocess
import sys
from pathlib import Path

from daily_batch.domain.codes import Flag, Reason
from daily_batch.domain.contract import TABLES

ROOT = Path(__file__).parents[3]


def test_page_is_generated_from_the_contract() -> None:
    generated = subprocess.run(
        [sys.executable, ROOT / "tools" / "data-dictionary"], check=True, capture_output=True, text=True
    )
    assert generated.stdout == (ROOT / "docs" / "data-dictionary.md").read_text(encoding="utf-8")


def test_every_code_and_column_is_explained() -> None:
    assert all(code.meaning and code.example for codes in (Reason, Flag) for code in codes)
    assert all(column.doc for table in TABLES for column in table.columns)


def test_every_code_is_expected_by_a_fault_test() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests/integration/faults").glob("test_*.py")
    )
    assert [code for codes in (Reason, Flag) for code in codes if f'"{code}"' not in sources] == []
