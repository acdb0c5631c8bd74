"""docs/day-ready.md: the receipt is the event, its examples match receipts alone, and its code gives the right rows."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
import duckdb
import polars
import pytest
from deltalake import DeltaTable

from daily_batch.maintenance.evidence import evidence_key
from tests.support import day_runs
from tests.support.adversarial_day import line
from tests.support.day_runs import DAY, NOW, ROOT, SAMPLES, run_local
from tests.support.s3_bucket import KEY, REGION, Bucket

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PAGE = (ROOT / "docs/day-ready.md").read_text(encoding="utf-8")
PATTERN = (ROOT / "docs/examples/day_ready.json").read_text(encoding="utf-8")
NEXT = DAY + timedelta(days=1)


def read_code(after: str) -> str:
    """Return the first block of code after some words of the page."""
    return PAGE.split(after, 1)[1].split("```python\n", 1)[1].split("```", 1)[0]


# The event


@pytest.fixture
def receive(bucket: Bucket) -> Callable[[], list[str]]:
    """Install the page's rule for the bucket, with a queue as its target; return a reader of the events' keys."""
    commands = [shlex.split(each) for each in re.findall(r"^    aws (.+)$", PAGE, re.MULTILINE)]
    options = {command[1]: dict(zip(command[2::2], command[3::2], strict=True)) for command in commands}
    access = {"region_name": REGION, "aws_access_key_id": KEY, "aws_secret_access_key": KEY}
    clients = {name: boto3.client(name, endpoint_url=bucket.endpoint, **access) for name in ("events", "sqs")}
    notifications = json.loads(options["put-bucket-notification-configuration"]["--notification-configuration"])
    bucket.client().put_bucket_notification_configuration(Bucket=bucket.name, NotificationConfiguration=notifications)
    rule = f"day-ready-{bucket.name}"
    assert options["put-rule"]["--event-pattern"] == "file://docs/examples/day_ready.json"
    clients["events"].put_rule(Name=rule, EventPattern=PATTERN.replace("my-bucket", bucket.name))
    queue = clients["sqs"].create_queue(QueueName=bucket.name)["QueueUrl"]
    attributes = clients["sqs"].get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    clients["events"].put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": attributes["QueueArn"]}])

    def read() -> list[str]:
        found = clients["sqs"].receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            clients["sqs"].delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"])["detail"]["object"]["key"] for message in found]

    return read


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
@pytest.mark.parametrize("prefix", ["", "/prod/tables"])
def test_rule_on_a_bucket_sends_one_event_for_each_run(
    bucket: Bucket, receive: Callable[[], list[str]], prefix: str, table_format: str
) -> None:
    bucket.upload(SAMPLES / "globex", "in/globex/")
    arguments = {"input": f"{bucket.url}/in", "output": f"{bucket.url}{prefix}", "options": bucket.options}
    for _ in range(2):
        receipt = run_local(tenant="globex", table_format=table_format, **arguments)
        expected = f"{prefix}/globex/analytics/_receipts/{DAY}/{receipt.run_id}.json".lstrip("/")
        assert receive() == [expected]
    others = [key for key in bucket.keys(prefix.lstrip("/")) if "/_receipts/" not in key]
    assert len(others) > 3


def test_receipt_is_the_last_object_that_a_run_writes(tmp_path: Path) -> None:
    run_local(input=SAMPLES, output=tmp_path)
    *others, last = sorted((path for path in tmp_path.rglob("*") if path.is_file()), key=lambda p: p.stat().st_mtime_ns)
    assert last.parent.parent.name == "_receipts"
    # Of the tables' commits, the last are those that the page's trigger on Databricks watches.
    commits = [path.parts[-3] for path in others if path.parent.name == "_delta_log" and path.suffix == ".json"]
    last_commits = list(dict.fromkeys(reversed(commits)))[::-1]
    (watched,) = re.findall(r"table_names: \[([^]]+)\], condition: ALL_UPDATED", PAGE)
    assert last_commits[:2] == ["rejects", "messages"]
    assert {f"main.chat_acme.{name}" for name in last_commits[2:]} == set(watched.split(", "))


def subject_filter(subject: str) -> bool:
    """Return whether the page's Event Grid subscription delivers an event; its operators ignore case."""
    (command,) = re.findall(r"^    (az eventgrid .+)$", PAGE.replace("\\\n", " "), re.MULTILINE)
    words = shlex.split(command)
    options = {word: words[at + 1] for at, word in enumerate(words) if word.startswith("--")}
    at = words.index("--advanced-filter")
    assert words[at + 1 : at + 3] == ["subject", "StringContains"]
    assert options["--included-event-types"] == "Microsoft.Storage.BlobCreated"
    begin, end, inside = options["--subject-begins-with"], options["--subject-ends-with"], words[at + 3]
    found = subject.lower()
    return found.startswith(begin.lower()) and found.endswith(end) and inside in found


def test_event_grid_subscription_matches_receipts_alone(tmp_path: Path) -> None:
    run_local(input=SAMPLES, output=tmp_path)
    evidence = tmp_path / evidence_key("acme", "20250812T170000Z-0123abcd-4567")
    evidence.parent.mkdir()
    evidence.write_text("{}")
    found = {}
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        key = str(path.relative_to(tmp_path))
        found[key] = subject_filter(f"/blobServices/default/containers/tables/blobs/{key}")
    assert [key for key, matches in found.items() if matches] == [
        str(path.relative_to(tmp_path)) for path in tmp_path.glob("acme/analytics/_receipts/*/*.json")
    ]
    assert len(found) > 10
    receipt = f"acme/analytics/_receipts/{DAY}/run.json"
    assert not subject_filter(f"/blobServices/default/containers/other/blobs/{receipt}")


# The run history


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[tuple[Any, ...]]]:
    """Publish two days, of which one ran twice; return the tenant's folder and the last run of each."""
    folder = tmp_path_factory.mktemp("history")
    write_days(folder / "in")
    last = {}
    for minutes, day in enumerate((DAY, NEXT, DAY)):
        with patch.object(day_runs, "NOW", NOW + timedelta(minutes=minutes)):
            receipt = run_local(input=folder / "in", output=folder / "out", day=day)
        last[day.isoformat()] = (day.isoformat(), receipt.run_id, receipt.status, receipt.records.written)
    return f"{folder}/out/acme/analytics", [last[day] for day in sorted(last)]


def write_days(source: Path, *, messages: int = 5) -> None:
    """Write two days as exports."""
    for day in (DAY, NEXT):
        folder = source / f"acme/exports/messages/{day:%Y/%m/%d}"
        folder.mkdir(parents=True, exist_ok=True)
        sent = [line(message_id=f"m{n}", timestamp=f"{day}T01:02:0{n}Z") for n in range(messages)]
        (folder / "part").write_bytes(b"\n".join(sent))


@pytest.mark.parametrize("engine", ["DuckDB", "polars", pytest.param("Spark", marks=pytest.mark.long)])
def test_page_reads_the_last_run_of_each_day(
    engine: str, history: tuple[str, list[tuple[Any, ...]]], request: pytest.FixtureRequest
) -> None:
    names: dict[str, Any] = {"analytics": history[0], "duckdb": duckdb, "pl": polars}
    if engine == "Spark":
        from pyspark.sql.functions import expr

        names |= {"spark": request.getfixturevalue("spark"), "expr": expr}
    exec(read_code(f"**{engine}**"), names)
    assert [tuple(row) for row in names["runs"]] == history[1]


# Streams


def copy_rows(copy: str) -> list[tuple[Any, ...]]:
    table = DeltaTable(copy).to_pyarrow_table().to_pylist()
    return sorted((row["date"], row["message_id"], row["run_id"]) for row in table)


@pytest.mark.long
def test_stream_of_the_page_follows_a_day_that_runs_again(spark: "SparkSession", tmp_path: Path) -> None:
    source, analytics = tmp_path / "in", f"{tmp_path}/out/acme/analytics"
    write_days(source)
    code = read_code("## Streams on the Delta tables")

    def stream(name: str, options: str = '"ignoreChanges", "true"') -> list[tuple[Any, ...]]:
        """Run the page's stream into a copy, with other options; return the copy's rows."""
        names = {"spark": spark, "analytics": analytics, "copy": f"{tmp_path}/{name}"}
        assert code.count('"ignoreChanges", "true"') == 1
        exec(code.replace('"ignoreChanges", "true"', options), names | {"checkpoint": f"{tmp_path}/{name}-state"})
        return copy_rows(f"{tmp_path}/{name}")

    for day in (DAY, NEXT):
        run_local(input=source, output=tmp_path / "out", day=day)
    before = copy_rows(f"{analytics}/messages")
    assert stream("copy") == stream("strict", '"maxFilesPerTrigger", "1"') == stream("skipping") == before
    write_days(source, messages=7)
    run_local(input=source, output=tmp_path / "out", day=DAY)
    after = copy_rows(f"{analytics}/messages")
    assert len(after) == len(before) + 2
    assert stream("copy") == after
    assert stream("skipping", '"skipChangeCommits", "true"') == before
    with pytest.raises(Exception, match="DELTA_SOURCE_TABLE_IGNORE_CHANGES"):
        stream("strict", '"maxFilesPerTrigger", "1"')
    # A commit that only removes files, as of a day without messages, stops no stream.
    shutil.rmtree(source / f"acme/exports/messages/{NEXT:%Y/%m/%d}")
    run_local(input=source, output=tmp_path / "out", day=NEXT, allow_shrink="tests")
    assert stream("copy") == after
    assert copy_rows(f"{analytics}/messages") != after
