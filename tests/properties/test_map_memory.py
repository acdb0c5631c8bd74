"""The map accounts for every byte of any object within the memory that its settings allow."""

import json
import subprocess
import sys

import pytest

from tests.support.day_runs import ROOT
from tests.support.recovery_shapes import BUILD, MANY

pytestmark = pytest.mark.long  # a process for each shape

# Objects of MANY shapes are small, because each of their records or rejects has only a few bytes.
SMALL, LARGE = 2**19, 16 * 2**20
MAX_MIB = 1_024
# The commas and brackets of an array belong to no record.
WITH_COMMAS = ("pieces of arrays", "numbers in an array", "blank lines in an array")


@pytest.mark.parametrize("shape", list(BUILD))
def test_adversarial_object_is_mapped_in_bounded_memory(shape: str) -> None:
    size = SMALL if shape in MANY else LARGE
    command = [sys.executable, "-m", "tests.support.adversarial_map", str(size), shape]
    paths = {"PYTHONPATH": str(ROOT / "jobs")}
    process = subprocess.run(command, cwd=ROOT, env=paths, capture_output=True, text=True, check=True)
    report = json.loads(process.stdout)
    counts = report["counts"]
    assert report["peak_mib"] < MAX_MIB
    assert report["checks"] > 0
    assert counts["objects_read"] + counts["objects_unreadable"] == 1
    assert report["rejects"] == counts["rejected"] + counts["objects_unreadable"]
    published = counts["seen"] - counts["rejected"] - counts["empty"]
    assert published == 0
    if report["rejects"] == report["whole"] and not counts["empty"] and shape not in WITH_COMMAS:
        assert report["kept"] == report["text"], "some bytes other than white space are in no reject, or in two"
