"""FAULT 19: jobs of spark-submit on this machine."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest import MonkeyPatch

from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.spark_jobs import SparkJob
from daily_batch.orchestration.spark_jobs.spark_submit import SparkSubmit
from tests.support.day_runs import ROOT, read_tables, run_local
from tests.support.dispatch_runs import find_entry, make_dispatch, make_request, run
from tests.support.job_service import Clock
from tests.support.spark_session import LOCAL_CONF


@pytest.fixture
def service(tmp_path: Path) -> SparkSubmit:
    return SparkSubmit(
        folder=tmp_path / "jobs",
        script=ROOT / "jobs/daily_messages.py",
        options=("--properties-file", str(LOCAL_CONF)),
    )


def wait_for(condition: Callable[[], bool], *, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.2)


def test_a_day_submitted_to_spark_has_the_tables_of_a_local_run(
    source: Path, tmp_path: Path, clock: Clock, service: SparkSubmit, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    dispatch = make_dispatch(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    result = run(dispatch, source, tmp_path)
    assert service.submit(find_job(dispatch, source, tmp_path)) == result.job_id
    wait_for(lambda: service.get_status(str(result.job_id)).state not in ("WAITING", "RUNNING"))
    dispatch.reconcile(make_request(source, tmp_path / "out"))
    entry = find_entry(dispatch)
    assert entry.is_complete, (service.folder / str(result.job_id) / "log").read_text()[-2000:]
    run_local(input=source, output=tmp_path / "expected")
    assert read_tables(tmp_path / "out") == read_tables(tmp_path / "expected")


def find_job(dispatch: Dispatch, source: Path, tmp_path: Path) -> SparkJob:
    """Return the job of the ledger's entry."""
    entry = find_entry(dispatch)
    return SparkJob(request=make_request(source, tmp_path / "out"), run_id=str(entry.run_id), token=entry.token)


def test_19_a_killed_job_is_lost_and_the_next_run_publishes(
    source: Path, tmp_path: Path, clock: Clock, service: SparkSubmit, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    dispatch = make_dispatch(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    job_id = str(run(dispatch, source, tmp_path).job_id)
    wait_for(lambda: service.get_status(job_id).state == "RUNNING")
    group = service.process_group(job_id)
    assert group is not None
    os.killpg(group, signal.SIGKILL)
    wait_for(lambda: service.get_status(job_id).state == "LOST")
    dispatch.reconcile(make_request(source, tmp_path / "out"))
    entry = find_entry(dispatch)
    assert entry.status == "FAILED"
    again = run(make_dispatch(tmp_path, clock, settings={"runner": "local"}), source, tmp_path)
    assert again.kind == "published"
    assert find_entry(dispatch).token == 2
