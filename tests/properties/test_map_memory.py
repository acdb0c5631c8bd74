"""Whatever stands in an object, the map takes no more memory than its settings say, and accounts for every byte."""

import json
import subprocess
import sys

import pytest

from tests.support.day_runs import ROOT
from tests.support.recovery_shapes import BUILD, MANY

# Each record or reject of these is a few bytes: their number is bounded here, so that the suite stays affordable.
SMALL, LARGE = 2**19, 16 * 2**20
MOST_MIB = 1_024
# The commas and brackets of an array of records are in no record.
WITH_COMMAS = ("pieces of arrays", "numbers in an array", "blank lines in an array")


@pytest.mark.parametrize("shape", list(BUILD))
def test_a_hostile_object_is_read_in_bounded_memory_and_accounted_for(shape: str) -> None:
    size = SMALL if shape in MANY else LARGE
    command = [sys.executable, "-m", "tests.support.adversarial_map", str(size), shape]
    paths = {"PYTHONPATH": str(ROOT / "jobs")}
    answer = subprocess.run(command, cwd=ROOT, env=paths, capture_output=True, text=True, check=True)
    told = json.loads(answer.stdout)
    counts = told["counts"]
    assert told["peak_mib"] < MOST_MIB
    assert told["checks"] > 0
    assert counts["objects_read"] + counts["objects_unreadable"] == 1
    assert told["rejects"] == counts["rejected"] + counts["objects_unreadable"]
    published = counts["seen"] - counts["rejected"] - counts["empty"]
    assert published == 0
    if told["rejects"] == told["whole"] and not counts["empty"] and shape not in WITH_COMMAS:
        assert told["kept"] == told["text"], "bytes that are no white space are in no reject, or in two"
