"""Progress as lines: few of them, complete at the end, and without unknown totals."""

import io

import pytest

from daily_batch.cli import progress as progress_module
from daily_batch.cli.progress import LineProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list whose only element is the time that the console reads."""
    now = [1000.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def test_stage_prints_its_first_and_last_progress(clock: list[float]) -> None:
    stream = io.StringIO()
    progress = LineProgress("tenant=acme day=2025-08-12", stream=stream)
    for done in range(1, 1001):
        progress("intake", done, 1000, "chunks")
    assert stream.getvalue().splitlines() == [
        "tenant=acme day=2025-08-12 intake: 1/1,000 chunks",
        "tenant=acme day=2025-08-12 intake: 1,000/1,000 chunks",
    ]


def test_long_stage_prints_progress_and_rate_every_few_seconds(clock: list[float]) -> None:
    stream = io.StringIO()
    progress = LineProgress("job", stream=stream)
    for second in range(7):
        progress("intake", 100 * second, 0, "objects")
        clock[0] += 1
    assert stream.getvalue().splitlines() == [
        "job intake: 0 objects",
        "job intake: 200 objects, 100 a second",
        "job intake: 400 objects, 100 a second",
        "job intake: 600 objects, 100 a second",
    ]


def test_slow_stage_prints_a_fractional_rate(clock: list[float]) -> None:
    stream = io.StringIO()
    progress = LineProgress("job", stream=stream)
    progress("clean", 0, 3, "buckets")
    clock[0] += 4
    progress("clean", 1, 3, "buckets")
    assert stream.getvalue().splitlines()[1] == "job clean: 1/3 buckets, 0.2 a second"


def test_repeated_progress_is_printed_once(clock: list[float]) -> None:
    stream = io.StringIO()
    progress = LineProgress("job", stream=stream)
    for _ in range(3):
        progress("clean", 2, 2, "buckets")
    assert stream.getvalue().splitlines() == ["job clean: 2/2 buckets"]


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    LineProgress("job")("manifest", 3, 0, "objects")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "job manifest: 3 objects\n")
