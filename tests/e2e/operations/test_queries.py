"""Run the KQL of docs/queries over our functions' telemetry, and match Logs Insights queries with logged fields."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from daily_batch.domain.codes import Reason
from daily_batch.domain.metrics import METRICS
from daily_batch.orchestration import Task
from daily_batch.pipeline.runners.local import LocalRunner
from tests.local_cloud.azure.application_insights import Ingestion
from tests.local_cloud.common.node import NODE, install_packages
from tests.support.operations.alarm_definitions import read_azure_alarms
from tests.support.operations.aws_functions import AwsFunctions
from tests.support.operations.azure_functions import AzureFunctions
from tests.support.operations.insights_tables import TABLES, Row, open_engine
from tests.support.operations.synthetic_night import DeniedRunner, Night
from tests.support.spark_session import ROOT

FOLDER = ROOT / "docs/queries"
KQL, CWLI = sorted(FOLDER.glob("*.kql")), sorted(FOLDER.glob("*.cwli"))
SERVICE = ROOT / "tests/support/operations/kusto_service"
DUE = datetime(2025, 8, 12, 21, 0, tzinfo=UTC)  # 06:00 JST
NIGHT = DUE.date()  # the night's UTC day, by which the queries group
# Reasons that reject records; the others reject objects or replaced records.
RECORD_REASONS = set(Reason) - {
    *(Reason.CORRUPT_COMPRESSION, Reason.DECOMPRESSION_BOMB, Reason.UNSUPPORTED_ENCODING, Reason.FOREIGN_FORMAT),
    *(Reason.INVALID_NAME, Reason.INVALID_LINK, Reason.SUPERSEDED),
}
# Fields that Logs Insights finds in log lines of Lambda, and the part of its language that we use.
INSIGHTS_FIELDS = {"@timestamp", "@message", "@log", "@type", "@duration"}
COMMANDS = {"fields", "filter", "limit", "sort", "stats"}
CALLS = {"avg", "bin", "coalesce", "count", "earliest", "latest", "max", "min", "sum"}
FUNCTIONS = {"night", "watch", "worker"}
KEYWORDS = {"and", "as", "asc", "by", "desc", "like", "or"}


@dataclass(frozen=True, kw_only=True)
class NightTelemetry:
    """Telemetry of a night's functions: rows of Application Insights and lines of CloudWatch."""

    rows: Mapping[str, list[Row]]
    lines: list[dict[str, Any]]
    run_id: str
    now: datetime

    def query(self, name: str, *, run_id: str | None = None) -> list[Row]:
        """Run docs/queries/{name}.kql as of the end of the night."""
        text = (FOLDER / f"{name}.kql").read_text(encoding="utf-8")
        with open_engine(self.rows, now=self.now) as run_query:
            return run_query(re.sub('let run = ".*?"', f'let run = "{run_id}"', text) if run_id else text)


def run_night(night: Night, functions: AwsFunctions | AzureFunctions) -> None:
    """Run a night: acme has rejects, globex runs as a job, initech is denied, and umbrella's message is lost."""
    night.set_env(TENANT_ID="acme,globex,initech,umbrella,../x")
    functions.dispatch()
    night.write_export(60, invalid=3)
    night.write_truncated_object()
    functions.deliver(task("acme"))
    night.write_export(30, tenant="initech")
    night.local_runner = DeniedRunner
    functions.deliver(task("initech"))
    night.local_runner = LocalRunner
    night.write_export(20, tenant="globex")
    night.set_env(MAKOTO_RUNNER="spark")
    functions.deliver(task("globex"))
    night.clock.now += timedelta(minutes=30)
    night.end_job(functions.settings())
    functions.watch()
    night.clock.now = DUE
    functions.watch()
    night.clock.now += timedelta(minutes=15)
    functions.watch()


def task(tenant: str) -> Task:
    return Task(tenant=tenant, date="2025-08-12")


@pytest.fixture(scope="module")
def telemetry(tmp_path_factory: pytest.TempPathFactory, insights: Ingestion) -> Iterator[NightTelemetry]:
    """Return the telemetry of the same night on both clouds."""
    nights: list[Night] = []

    def run_on_cloud(create: Callable[[Night], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
        nights.append(Night(tmp_path_factory.mktemp("night"), monkeypatch))
        functions = create(nights[-1])
        run_night(nights[-1], functions)
        return functions

    with pytest.MonkeyPatch.context() as monkeypatch:
        aws = run_on_cloud(AwsFunctions, monkeypatch)
    with pytest.MonkeyPatch.context() as monkeypatch:
        azure = run_on_cloud(lambda night: AzureFunctions(night, insights), monkeypatch)
    night = nights[-1]
    yield NightTelemetry(
        rows=azure.rows, lines=aws.lines, run_id=str(night.find_entry("acme").run_id), now=night.clock()
    )


# KQL


@cache
def analyse(*queries: str) -> list[list[str]]:
    """Return the findings of Microsoft's KQL analysis for each query."""
    tables = {name: ", ".join(map(":".join, columns.items())) for name, columns in TABLES.items()}
    package = install_packages("kusto-12.4.1", SERVICE) / "@kusto/language-service-next"
    request = json.dumps({"tables": tables, "queries": queries})
    completed = subprocess.run(
        [NODE, str(SERVICE / "check.js"), str(package)], input=request, capture_output=True, text=True, check=True
    )
    findings: list[list[str]] = json.loads(completed.stdout)
    return findings


def find_queries() -> list[str]:
    """Return the KQL queries of docs/queries, of the alarms, and of commands in our pages."""
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*/*.md")]
    in_pages = (
        query for page in pages for query in re.findall(r"(?<!-)\bquery '([^']+)'", page.read_text(encoding="utf-8"))
    )
    return (
        [path.read_text(encoding="utf-8") for path in KQL] + [each.query for each in read_azure_alarms()] + [*in_pages]
    )


def test_kusto_analysis_accepts_our_queries_and_rejects_broken_ones() -> None:
    queries = find_queries()
    changes = {"severityLevel": "severity", "order by": "orderby", "ago(24h)": "24h"}
    broken = [queries[KQL.index(FOLDER / "errors.kql")].replace(*change) for change in changes.items()]
    findings = analyse(*queries, *broken)
    assert {query: found for query, found in zip(queries, findings, strict=False) if found} == {}
    assert all(findings[len(queries) :])


def test_errors_name_tenant_and_reason(telemetry: NightTelemetry) -> None:
    denied = [row for row in telemetry.query("errors") if row["tenant"] == "initech"]
    assert [(row["day"], "denied" in row["said"]) for row in denied] == [("2025-08-12", True)]


def test_durations_are_grouped_by_function_and_day(telemetry: NightTelemetry) -> None:
    rows = telemetry.query("durations")
    assert {(row["operation_Name"], row["count"], row["avg_duration"]) for row in rows} == {
        *(("night", 1, 12.5), ("worker", 3, 12.5), ("watch", 3, 12.5)),
    }
    assert {row["timestamp"].date() for row in rows} == {NIGHT}
    assert len(rows) == len(FUNCTIONS)


def test_night_query_returns_the_last_summary(telemetry: NightTelemetry) -> None:
    (night,) = telemetry.query("night")
    assert (night["day"], night["tenants"], night["late"], night["ended"]) == ("2025-08-12", 4, 2, False)
    assert json.loads(night["states"]) == {"COMPLETED_WITH_REJECTS": 1, "COMPLETED": 1, "FAILED": 1, "MISSING": 1}
    assert {each["tenant"] for each in json.loads(night["attention"])} == {"initech", "umbrella"}


def test_slowest_days_are_completed_days_by_duration(telemetry: NightTelemetry) -> None:
    found = telemetry.query("slowest-days")
    assert {(row["tenant"], row["written"]) for row in found} == {("acme", 60), ("globex", 20)}
    assert found == sorted(found, key=lambda row: -row["seconds"])


def test_rejects_are_counted_by_reason(telemetry: NightTelemetry) -> None:
    (row,) = telemetry.query("rejects-by-reason")
    counts = {name: count for name, count in row.items() if name != "tenant" and count}
    assert (row["tenant"], counts) == ("acme", {"rejected": 3, "invalid_json": 3, "unreadable_objects": 1})


@pytest.mark.parametrize("suffix", ["kql", "cwli"])
def test_rejects_query_covers_every_reason(suffix: str) -> None:
    text = (FOLDER / f"rejects-by-reason.{suffix}").read_text(encoding="utf-8")
    assert set(re.findall(r"\brejects\.(\w+)", text)) == RECORD_REASONS


def test_run_query_returns_every_step(telemetry: NightTelemetry) -> None:
    found = telemetry.query("run", run_id=telemetry.run_id)
    steps = [row["step"] for row in found if row["said"] == "step"]
    assert steps == ["lease", "manifest", "intake", "clean", "publish", "receipt", "ledger"]
    assert {row["said"] for row in found} == {"step", "published", "the day"}
    assert all(row["operation_Name"] == "worker" for row in found)


def test_deadline_misses_name_late_tenants_and_their_delay(telemetry: NightTelemetry) -> None:
    found = {row["tenant"]: (row["state"], row["until"] - row["since"]) for row in telemetry.query("deadline-misses")}
    assert found == {"initech": ("FAILED", timedelta(minutes=15)), "umbrella": ("MISSING", timedelta(minutes=15))}


def test_steps_query_counts_the_runs_of_each_step(telemetry: NightTelemetry) -> None:
    found = {row["step"]: row["runs"] for row in telemetry.query("steps")}
    assert found["publish"] == 1 and found["submit"] == 1 and found["settle"] == 1


def test_metrics_are_summed_by_day(telemetry: NightTelemetry) -> None:
    rows = telemetry.query("metrics")
    found = {row["name"]: row["total"] for row in rows}
    assert {name: found[name] for name in ("DaysCompleted", "DaysFailed", "DaysRefused", "RecordsRejected")} == {
        "DaysCompleted": 2,
        "DaysFailed": 1,
        "DaysRefused": 1,
        "RecordsRejected": 3,
    }
    assert {row["timestamp"].date() for row in rows} == {NIGHT}
    assert len(rows) == len(found)
    assert set(found) <= {metric.name for metric in METRICS}


# CloudWatch Logs Insights


def find_fields(value: Any, name: str = "") -> Iterator[str]:
    """Yield the fields that Logs Insights derives from a JSON line."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from find_fields(each, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from find_fields(each, f"{name}.{number}")
    else:
        yield name


@pytest.mark.parametrize("path", CWLI, ids=lambda path: path.stem)
def test_logs_insights_queries_use_logged_fields_only(path: Path, telemetry: NightTelemetry) -> None:
    logged = {name for line in telemetry.lines for name in find_fields(line)} | {
        f"rejects.{each}" for each in RECORD_REASONS
    }
    text = re.sub(r'^#.*$|"[^"]*"|/(?:\\.|[^/\n])+/', " ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    commands = [each.split(maxsplit=1) for each in text.split("|")]
    assert {command for command, _ in commands} <= COMMANDS
    arguments = " ".join(rest for _, rest in commands)
    assert set(re.findall(r"(\w+)\(", arguments)) <= CALLS
    aliases = set(re.findall(r"\bas (\w+)", arguments))
    names = set(re.findall(r"@?\b[A-Za-z_][\w.]*\b(?!\()", arguments)) - aliases - KEYWORDS
    names = {name for name in names if not re.fullmatch(r"\d+\w?", name)}
    assert names - INSIGHTS_FIELDS <= logged
    assert names


def test_logs_insights_queries_filter_on_logged_messages(telemetry: NightTelemetry) -> None:
    messages = {line.get("message") for line in telemetry.lines}
    filtered = {text for path in CWLI for text in re.findall(r'message = "([^"]+)"', path.read_text(encoding="utf-8"))}
    assert filtered <= messages and len(filtered) == 3


def test_both_clouds_have_the_same_queries_and_the_index_lists_them() -> None:
    assert {path.stem for path in KQL} - {path.stem for path in CWLI} == {"metrics"}
    assert {path.stem for path in CWLI} <= {path.stem for path in KQL}
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([\w-]+\.(?:kql|cwli))\)", index)) == {path.name for path in (*KQL, *CWLI)}
