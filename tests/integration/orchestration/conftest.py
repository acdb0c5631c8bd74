"""The input of a day, a clock that tests set, and a night of the worker and the watcher."""

from pathlib import Path

import pytest

from daily_batch.synthetic import FaultRates, generate
from tests.support.job_service import Clock
from tests.support.local_night import LocalNight


@pytest.fixture
def source(tmp_path: Path) -> Path:
    generate(messages=120, layout="export", seed=1, out=tmp_path / "in", rates=FaultRates.rich(), files=2)
    return tmp_path / "in"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalNight:
    generate(messages=60, layout="export", seed=1, out=tmp_path / "in", files=1)
    local_night = LocalNight(tmp_path)
    monkeypatch.setattr(
        "daily_batch.orchestration.worker.make_dispatch", lambda settings, output, **_: local_night.dispatch(settings)
    )
    return local_night
