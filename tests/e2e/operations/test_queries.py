"""docs/queries: KQL is analysed and run over what our functions told, and Logs Insights is asked for fields of ours."""

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
from tests.support.operations.insights_tables import TABLES, Row, ask
from tests.support.operations.synthetic_night import DeniedRunner, Night
from tests.support.spark_session import ROOT

FOLDER = ROOT / "docs/queries"
KQL, CWLI = sorted(FOLDER.glob("*.kql")), sorted(FOLDER.glob("*.cwli"))
SERVICE = ROOT / "tests/support/operations/kusto_service"
DUE = datetime(2025, 8, 12, 21, 0, tzinfo=UTC)  # 06:00 JST
# The rest of `rejects` is whole objects and records that others have replaced.
OF_RECORDS = set(Reason) - {
    *(Reason.CORRUPT_COMPRESSION, Reason.DECOMPRESSION_BOMB, Reason.UNSUPPORTED_ENCODING, Reason.FOREIGN_FORMAT),
    *(Reason.INVALID_NAME, Reason.INVALID_LINK, Reason.SUPERSEDED),
}
# What Logs Insights itself finds in the lines of Lambda, and what we use of its language.
OF_INSIGHTS = {"@timestamp", "@message", "@log", "@type", "@duration"}
COMMANDS = {"fields", "filter", "limit", "sort", "stats"}
CALLS = {"avg", "bin", "coalesce", "count", "earliest", "latest", "max", "min", "sum"}
FUNCTIONS = {"night", "watch", "worker"}
WORDS = {"and", "as", "asc", "by", "desc", "like", "or"}


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a night's functions told: rows of Application Insights or lines of CloudWatch."""

    rows: Mapping[str, list[Row]]
    lines: list[dict[str, Any]]
    run_id: str
    now: datetime

    def query(self, name: str, *, run_id: str | None = None) -> list[Row]:
        """What docs/queries/{name}.kql gives at the end of the night."""
        text = (FOLDER / f"{name}.kql").read_text(encoding="utf-8")
        with ask(self.rows, now=self.now) as run:
            return run(re.sub('let run = ".*?"', f'let run = "{run_id}"', text) if run_id else text)


def play(night: Night, functions: AwsFunctions | AzureFunctions) -> None:
    """acme's day has rejects, globex' is a job's, initech's is denied, and umbrella's message is lost."""
    night.set(TENANT_ID="acme,globex,initech,umbrella,../x")
    functions.ask()
    night.write(60, garbage=3)
    night.cut()
    functions.work(task("acme"))
    night.write(30, tenant="initech")
    night.local = DeniedRunner
    functions.work(task("initech"))
    night.local = LocalRunner
    night.write(20, tenant="globex")
    night.set(MAKOTO_RUNNER="spark")
    functions.work(task("globex"))
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
def told(tmp_path_factory: pytest.TempPathFactory, insights: Ingestion) -> Iterator[Told]:
    """The same night on both clouds."""
    nights: list[Night] = []

    def begin(make: Callable[[Night], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
        nights.append(Night(tmp_path_factory.mktemp("night"), monkeypatch))
        functions = make(nights[-1])
        play(nights[-1], functions)
        return functions

    with pytest.MonkeyPatch.context() as monkeypatch:
        aws = begin(AwsFunctions, monkeypatch)
    with pytest.MonkeyPatch.context() as monkeypatch:
        azure = begin(lambda night: AzureFunctions(night, insights), monkeypatch)
    night = nights[-1]
    yield Told(rows=azure.rows, lines=aws.lines, run_id=str(night.find("acme").run_id), now=night.clock())


# KQL


@cache
def analyse(*queries: str) -> list[list[str]]:
    """What Microsoft's own analysis finds wrong with each query."""
    tables = {name: ", ".join(map(":".join, columns.items())) for name, columns in TABLES.items()}
    package = install_packages("kusto-12.4.1", SERVICE) / "@kusto/language-service-next"
    given = json.dumps({"tables": tables, "queries": queries})
    answer = subprocess.run(
        [NODE, str(SERVICE / "check.js"), str(package)], input=given, capture_output=True, text=True, check=True
    )
    found: list[list[str]] = json.loads(answer.stdout)
    return found


def find_queries() -> list[str]:
    """Those of docs/queries, of the alarms, and of the commands in our pages."""
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*/*.md")]
    in_pages = (
        found for page in pages for found in re.findall(r"(?<!-)\bquery '([^']+)'", page.read_text(encoding="utf-8"))
    )
    return (
        [path.read_text(encoding="utf-8") for path in KQL] + [each.query for each in read_azure_alarms()] + [*in_pages]
    )


def test_kusto_analysis_accepts_our_queries_and_rejects_broken_ones() -> None:
    queries = find_queries()
    changes = {"severityLevel": "severity", "order by": "orderby", "ago(24h)": "24h"}
    wrong = [queries[KQL.index(FOLDER / "errors.kql")].replace(*change) for change in changes.items()]
    found = analyse(*queries, *wrong)
    assert {query: wrong for query, wrong in zip(queries, found, strict=False) if wrong} == {}
    assert all(found[len(queries) :])


def test_errors_name_tenant_and_reason(told: Told) -> None:
    denied = [row for row in told.query("errors") if row["tenant"] == "initech"]
    assert [(row["day"], "denied" in row["said"]) for row in denied] == [("2025-08-12", True)]


def test_durations_are_grouped_by_function_and_day(told: Told) -> None:
    # By UTC day of the engine's own clock, which may turn while the night lasts.
    rows = told.query("durations")
    calls = {name: sum(row["count"] for row in rows if row["operation_Name"] == name) for name in FUNCTIONS}
    assert calls == {"night": 1, "worker": 3, "watch": 3}
    assert {row["operation_Name"] for row in rows} == FUNCTIONS
    assert {row["avg_duration"] for row in rows} == {12.5}
    assert len({(row["operation_Name"], row["timestamp"]) for row in rows}) == len(rows)


def test_night_query_returns_the_last_summary(told: Told) -> None:
    (night,) = told.query("night")
    assert (night["day"], night["tenants"], night["late"], night["ended"]) == ("2025-08-12", 4, 2, False)
    assert json.loads(night["states"]) == {"completed, rejects": 1, "completed": 1, "failed": 1, "missing": 1}
    assert {each["tenant"] for each in json.loads(night["attention"])} == {"initech", "umbrella"}


def test_slowest_days_are_completed_days_by_duration(told: Told) -> None:
    found = told.query("slowest-days")
    assert {(row["tenant"], row["written"]) for row in found} == {("acme", 60), ("globex", 20)}
    assert found == sorted(found, key=lambda row: -row["seconds"])


def test_rejects_are_counted_by_reason(told: Told) -> None:
    (row,) = told.query("rejects-by-reason")
    counts = {name: count for name, count in row.items() if name != "tenant" and count}
    assert (row["tenant"], counts) == ("acme", {"rejected": 3, "invalid_json": 3, "unreadable_objects": 1})


@pytest.mark.parametrize("suffix", ["kql", "cwli"])
def test_rejects_query_covers_every_reason(suffix: str) -> None:
    text = (FOLDER / f"rejects-by-reason.{suffix}").read_text(encoding="utf-8")
    assert set(re.findall(r"\brejects\.(\w+)", text)) == OF_RECORDS


def test_run_query_returns_every_step(told: Told) -> None:
    found = told.query("run", run_id=told.run_id)
    steps = [row["step"] for row in found if row["said"] == "step"]
    assert steps == ["lease", "manifest", "intake", "clean", "publish", "receipt", "ledger"]
    assert {row["said"] for row in found} == {"step", "published", "the day"}
    assert all(row["operation_Name"] == "worker" for row in found)


def test_deadline_misses_name_late_tenants_and_their_delay(told: Told) -> None:
    found = {row["tenant"]: (row["state"], row["until"] - row["since"]) for row in told.query("deadline-misses")}
    assert found == {"initech": ("failed", timedelta(minutes=15)), "umbrella": ("missing", timedelta(minutes=15))}


def test_steps_query_counts_the_runs_of_each_step(told: Told) -> None:
    found = {row["step"]: row["runs"] for row in told.query("steps")}
    assert found["publish"] == 1 and found["submit"] == 1 and found["settle"] == 1


def test_metrics_are_summed_by_day(told: Told) -> None:
    found = {row["name"]: row["total"] for row in told.query("metrics")}
    assert {name: found[name] for name in ("DaysCompleted", "DaysFailed", "DaysRefused", "RecordsRejected")} == {
        "DaysCompleted": 2,
        "DaysFailed": 1,
        "DaysRefused": 1,
        "RecordsRejected": 3,
    }
    assert set(found) <= {metric.name for metric in METRICS}


# CloudWatch Logs Insights


def find_fields(value: Any, name: str = "") -> Iterator[str]:
    """The fields that Logs Insights makes of a line of JSON."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from find_fields(each, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from find_fields(each, f"{name}.{number}")
    else:
        yield name


@pytest.mark.parametrize("path", CWLI, ids=lambda path: path.stem)
def test_logs_insights_queries_use_logged_fields_only(path: Path, told: Told) -> None:
    known = {name for line in told.lines for name in find_fields(line)} | {f"rejects.{each}" for each in OF_RECORDS}
    text = re.sub(r'^#.*$|"[^"]*"|/(?:\\.|[^/\n])+/', " ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    commands = [each.split(maxsplit=1) for each in text.split("|")]
    assert {command for command, _ in commands} <= COMMANDS
    told_of = " ".join(rest for _, rest in commands)
    assert set(re.findall(r"(\w+)\(", told_of)) <= CALLS
    aliases = set(re.findall(r"\bas (\w+)", told_of))
    names = set(re.findall(r"@?\b[A-Za-z_][\w.]*\b(?!\()", told_of)) - aliases - WORDS
    names = {name for name in names if not re.fullmatch(r"\d+\w?", name)}
    assert names - OF_INSIGHTS <= known
    assert names


def test_logs_insights_queries_filter_on_logged_messages(told: Told) -> None:
    messages = {line.get("message") for line in told.lines}
    asked = {found for path in CWLI for found in re.findall(r'message = "([^"]+)"', path.read_text(encoding="utf-8"))}
    assert asked <= messages and len(asked) == 3


def test_both_clouds_have_the_same_queries_and_the_index_lists_them() -> None:
    assert {path.stem for path in KQL} - {path.stem for path in CWLI} == {"metrics"}
    assert {path.stem for path in CWLI} <= {path.stem for path in KQL}
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([\w-]+\.(?:kql|cwli))\)", index)) == {path.name for path in (*KQL, *CWLI)}
