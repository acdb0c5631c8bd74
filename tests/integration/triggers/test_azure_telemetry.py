"""The metrics of the Azure Functions, exported by the real exporter to a local Application Insights."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from azure_trigger.log import open_log
from azure_trigger.metrics_export import find_meter
from daily_batch.domain import metrics
from tests.local_cloud.azure.application_insights import CustomMetric, Ingestion, serve_ingestion
from tests.support.day_runs import ROOT, child_environment

CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"


@pytest.fixture
def insights(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ingestion]:
    with serve_ingestion() as ingestion:
        monkeypatch.setenv(CONNECTION, ingestion.connection_string)
        find_meter.cache_clear()
        yield ingestion
        find_meter.cache_clear()


def row(
    name: str, total: float, count: int = 1, minimum: float | None = None, maximum: float | None = None
) -> CustomMetric:
    return CustomMetric(name=name, role="makoto-daily-batch", sum=total, count=count, min=minimum, max=maximum)


def test_a_call_exports_its_metrics_by_name_when_it_ends(insights: Ingestion) -> None:
    with open_log() as log:
        log.measure(metrics.DAYS_COMPLETED)
        log.measure(metrics.DAYS_COMPLETED)
        log.measure(metrics.DAYS_LATE, 0)
        log.measure(metrics.REJECT_PERCENT, 3.5)
        log.measure(metrics.REJECT_PERCENT, 7.0)
        assert insights.rows() == []
    rows = {each.name: each for each in insights.rows()}
    assert rows == {
        "DaysCompleted": row("DaysCompleted", 2),
        "DaysLate": row("DaysLate", 0),
        "RejectPercent": row("RejectPercent", 10.5, 2, 3.5, 7.0),
    }
    assert [path for path, _ in insights.requests] == ["/v2.1/track"]


def test_each_call_exports_only_its_own_metrics(insights: Ingestion) -> None:
    for times in (1, 0, 2):
        with open_log() as log:
            for _ in range(times):
                log.measure(metrics.DAYS_FAILED)
    assert insights.rows() == [row("DaysFailed", 1), row("DaysFailed", 2)]


def test_every_metric_keeps_the_case_of_its_name(insights: Ingestion) -> None:
    with open_log() as log:
        for metric in metrics.METRICS:
            log.measure(metric, 2)
    assert insights.sums() == {metric.name: 2 for metric in metrics.METRICS}


def test_a_failed_call_exports_its_metrics(insights: Ingestion) -> None:
    with pytest.raises(ValueError, match="broken"), open_log() as log:
        log.measure(metrics.DAYS_FAILED)
        raise ValueError("broken")
    assert insights.sums() == {"DaysFailed": 1}


def test_the_role_name_is_the_host_s(insights: Ingestion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBSITE_CLOUD_ROLENAME", "makoto-staging")
    with open_log() as log:
        log.measure(metrics.DAYS_FAILED)
    assert {each.role for each in insights.rows()} == {"makoto-staging"}


def test_the_exporter_starts_no_threads_for_its_own_telemetry(insights: Ingestion) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with open_log() as log:
        log.measure(metrics.DAYS_FAILED)
    started = {thread.name for thread in threading.enumerate()} - before
    assert not [name for name in started if "Otel" in name or "Storage" in name or "Configuration" in name]


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_a_refusing_service_fails_no_call(insights: Ingestion, status: int) -> None:
    insights.refuse = status
    with open_log() as log:
        log.measure(metrics.DAYS_COMPLETED)
    insights.refuse = None
    with open_log() as log:
        log.measure(metrics.DAYS_LATE, 3)
    assert insights.sums() == {"DaysLate": 3}


def test_an_unreachable_service_fails_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_ingestion() as stopped:
        monkeypatch.setenv(CONNECTION, stopped.connection_string)
    find_meter.cache_clear()
    with open_log() as log:
        log.measure(metrics.DAYS_COMPLETED)
    assert find_meter() is not None
    find_meter.cache_clear()


def test_an_invalid_connection_string_is_logged_and_fails_no_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(CONNECTION, "InstrumentationKey=secret")
    find_meter.cache_clear()
    caplog.set_level(logging.INFO, logger="makoto-daily-batch")
    with open_log() as log:
        log.measure(metrics.DAYS_COMPLETED)
    find_meter.cache_clear()
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ["no metrics are exported: the exporter cannot be created (ValueError)"]


def test_nothing_is_sent_without_the_identity_s_token(insights: Ingestion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "Authorization=AAD;ClientId=1")
    with open_log() as log:
        log.measure(metrics.DAYS_COMPLETED)
    # The identity library gives no token to a connection without TLS.
    assert insights.requests == []


def test_no_telemetry_library_loads_without_a_connection_string() -> None:
    program = (
        "import json, sys\nfrom azure_trigger.log import open_log\nfrom daily_batch.domain.metrics import DAYS_LATE\n"
        "with open_log() as log:\n    log.measure(DAYS_LATE, 2)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    environment = {**child_environment(), "PYTHONPATH": str(ROOT)}
    environment.pop(CONNECTION, None)
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert "opentelemetry" not in json.loads(result.stdout)
