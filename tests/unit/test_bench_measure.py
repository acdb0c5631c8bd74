"""The benchmarks measure CPU and memory of every descendant, by kind, also of those that outlive a parent."""

import sys
from pathlib import Path

import pytest

from bench.measure import Run, measure, median
from bench.processes import find_kind

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux has smaps_rollup")

# Holds memory and uses CPU until its own clock says that it has used enough: the machine's load does not matter.
WORK = """
import sys, time
held = bytes(range(256)) * (4096 * {mib})
while time.process_time() < {seconds}:
    sum(held[::4096])
"""
# The second child has the command line of PySpark's daemon.
PARENT = """
import json, subprocess, sys
kinds = {{"python": [], "workers": ["-m", "pyspark.daemon"]}}
children = [subprocess.Popen([sys.executable, "-c", {work!r}, *words]) for words in kinds.values()]
{end}
print(json.dumps({{"children": len(children)}}))
"""


def run_parent(tmp_path: Path, *, end: str, mib: int = 64, seconds: float = 1.0) -> Run:
    code = PARENT.format(work=WORK.format(mib=mib, seconds=seconds), end=end)
    return measure([sys.executable, "-c", code], env={}, log=tmp_path / "log")


def test_memory_and_cpu_of_children_are_counted_by_kind(tmp_path: Path) -> None:
    run = run_parent(tmp_path, end="for child in children: child.wait()")
    assert run.report == {"children": 2}
    assert run.cpu_seconds >= 2.0
    assert {*run.peak_mib_by_kind} == {"python", "workers"}
    assert run.peak_mib_by_kind["workers"] >= 64
    assert run.peak_mib_by_kind["python"] >= 64
    assert run.peak_mib <= sum(run.peak_mib_by_kind.values())


def test_cpu_of_a_child_that_its_parent_killed_and_never_waited_for_is_counted(tmp_path: Path) -> None:
    # The children end by themselves but are no one's: the parent leaves without waiting, as a JVM leaves its daemon.
    end = "import os\nwhile any(open(f'/proc/{c.pid}/stat').read().split()[2] != 'Z' for c in children): pass"
    run = run_parent(tmp_path, end=end, mib=1)
    assert run.cpu_seconds >= 1.5


@pytest.mark.parametrize(
    ("name", "command", "kind"),
    [
        (
            "java",
            b"/usr/bin/java\0-cp\0pyspark/jars\0org.apache.spark.deploy.SparkSubmit\0jobs/daily_messages.py",
            "jvm",
        ),
        ("python", b".venv/bin/python\0jobs/daily_messages.py\0--json", "python"),
        ("python", b".venv/bin/python\0-m\0pyspark.daemon\0pyspark.worker", "workers"),
        ("python3 (x)", b"python\0-m\0daily_batch\0run", "python"),
    ],
)
def test_kind_follows_from_name_and_command(name: str, command: bytes, kind: str) -> None:
    assert find_kind(name, command) == kind


def test_median_takes_each_figure_by_itself() -> None:
    runs = [
        Run(3.0, 10.0, {"run": 1}, 5.0, {"python": 1.0}),
        Run(1.0, 30.0, {"run": 2}, 4.0, {"python": 3.0, "jvm": 9.0}),
        Run(2.0, 20.0, {"run": 3}, 6.0, {"python": 2.0, "jvm": 8.0}),
    ]
    assert median(runs) == Run(2.0, 20.0, {"run": 3}, 5.0, {"python": 2.0, "jvm": 8.0})
