"""Names that are data: deployments, stored items, queries and alarms depend on them, so they never change."""

import re
from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest

from daily_batch import errors
from daily_batch.domain.metrics import METRICS
from daily_batch.domain.receipt import Objects, Receipt, Records, TableCounts
from daily_batch.ledger import Entry
from daily_batch.pipeline.publish.delta_log import app_id
from daily_batch.settings import Settings
from daily_batch.telemetry import STEPS
from tests.support.day_runs import ROOT

SETTINGS = """
    tenants date target_date_offset timezone naive_timezone input output layout export_template table_format
    discovery slack_seconds buckets target_file_bytes max_record_bytes max_object_bytes max_expansion_ratio
    max_depth max_raw_bytes fetch_concurrency memory_bytes max_reject_ratio max_unreadable_ratio min_rows_ratio
    quality runner small_messages large_messages function_memory_mb time_limit_seconds spark job_wait_minutes
    job_timeout_minutes look_first max_attempts max_usd emr_application_id emr_job_role_arn emr_package emr_python
    emr_log_group emr_vcpus kms_key_arn databricks_host databricks_job databricks_auth databricks_client_id
    catalog look_back max_range_days queue_url ledger lease_seconds due drift_minutes unusual_factor
    unusual_floor notify_url notify_secret_arn notify_format report_url
    retention_days maintain_spark_bytes dynamodb_table cosmos_endpoint cosmos_key storage_options
"""
LEDGER_ATTRIBUTES = """
    tenant day status message_count output_path processed_at token taken_over attempts owner lease_until run_id runner
    handed_over job_token job_id executors disk_gb rejected unreadable objects quality unknown_fields new_fields
    fingerprint receipt seconds billed cost_usd error retryable asked_at upkeep started_at updated_at
"""
RECEIPT = """
    tenant date run_id processed_at status runner format layout objects records rejects flags tables seconds input
    output fingerprint unknown_fields other_unknown_fields quality erased overflows shrink
"""
COUNTS = {
    Objects: "listed read unreadable ignored erased bytes",
    Records: "seen written duplicates superseded rejected other_day empty erased",
    TableCounts: "rows files bytes version",
}
METRIC_NAMES = """
    DaysRefused DaysSubmitted DaysCompleted DaysFailed DaysRepeated DaysLate DaysDrifted TenantsInTrouble TasksGivenUp
    DaySeconds MessagesWritten RecordsRejected RejectPercent ObjectsUnreadable QualityWarnings DaysUnusual
    NewFields
"""
STEP_NAMES = "lease manifest intake clean publish receipt ledger submit settle"
EXIT_CODES = {
    "RetryableError": 1,
    "InterruptedRunError": 130,
    "InputChangedError": 1,
    "HandOverError": 1,
    "UsageError": 2,
    "TerminalError": 3,
    "LeaseHeldError": 4,
}
# Queries and operators find log lines by these words.
LOG_MESSAGES = (
    "step",
    "queued",
    "published",
    "submitted",
    "unchanged",
    "elsewhere",
    "given up",
    "the day",
    "the night",
)


def field_names(kind: type) -> list[str]:
    return [each.name for each in fields(kind)]  # type: ignore[arg-type]


def test_settings_keep_their_names() -> None:
    assert sorted(set(field_names(Settings)) - {"origins"}) == sorted(SETTINGS.split())


def test_ledgers_item_keeps_its_attributes() -> None:
    assert sorted(field_names(Entry)) == sorted(LEDGER_ATTRIBUTES.split())


def test_receipts_keep_their_fields() -> None:
    assert sorted(field_names(Receipt)) == sorted(RECEIPT.split())
    for kind, expected in COUNTS.items():
        assert sorted(field_names(kind)) == sorted(expected.split())


def test_metrics_keep_their_names() -> None:
    assert sorted(metric.name for metric in METRICS) == sorted(METRIC_NAMES.split())


def test_steps_keep_their_names() -> None:
    assert list(STEPS) == STEP_NAMES.split()


def test_errors_keep_their_exit_codes() -> None:
    found = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.BatchError) and kind is not errors.BatchError
    }
    assert found == EXIT_CODES


def test_delta_transactions_keep_their_application_id() -> None:
    assert app_id(date(2025, 8, 12)) == "makoto-daily-batch/2025-08-12"


@pytest.mark.parametrize("message", LOG_MESSAGES)
def test_log_messages_keep_their_words(message: str) -> None:
    sources = "".join(path.read_text() for path in Path(ROOT, "jobs/daily_batch").rglob("*.py"))
    assert f'"{message}"' in sources


def test_queries_use_existing_log_messages() -> None:
    queries = "".join(path.read_text() for path in Path(ROOT, "docs/queries").glob("*.*"))
    used = set(re.findall(r'message == "([^"]+)"', queries)) | set(re.findall(r"message = '([^']+)'", queries))
    assert used
    assert used <= {*LOG_MESSAGES, "metric"}
