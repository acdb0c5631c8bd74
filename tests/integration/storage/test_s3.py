"""Test the job on an S3 server: both runners, every reader, races, faults and the isolation of tenants."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow.parquet
import pytest
from deltalake import DeltaTable

from daily_batch.domain.contract import MESSAGES, REJECTS, SUMMARY_DAILY, TABLES
from daily_batch.errors import RetryableError, TerminalError
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.synthetic import FaultRates, generate
from tests.support import adversarial_day
from tests.support.day_runs import (
    ROOT,
    child_environment,
    comparable,
    read_tables,
    run_arguments,
    run_day_with,
    run_local,
)
from tests.support.failing_proxy import Rule, failing_proxy
from tests.support.s3_bucket import Bucket


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate a day of 80 messages, one object each, with names of every kind."""
    out = tmp_path_factory.mktemp("s3-day")
    generate(messages=80, layout="messages", seed=6, out=out, rates=FaultRates.rich())
    return out


@pytest.fixture(scope="module")
def expected(day: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Publish the same day to a local folder; return its tables."""
    out = tmp_path_factory.mktemp("s3-expected")
    run_local(input=day, output=out)
    return read_tables(out)


@pytest.fixture
def input_bucket(bucket: Bucket, day: Path) -> Bucket:
    bucket.upload(day, "in/")
    return bucket


def run_options(bucket: Bucket, **more: Any) -> dict[str, Any]:
    """Return the arguments of a run that reads from and writes to the bucket."""
    return {"input": f"{bucket.url}/in", "output": f"{bucket.url}/out", "options": bucket.options, **more}


@pytest.mark.parametrize("runner", ["local", pytest.param("spark", marks=pytest.mark.long)])
def test_day_on_s3_equals_the_same_day_in_local_folders(
    request: pytest.FixtureRequest, input_bucket: Bucket, expected: dict[str, Any], runner: str
) -> None:
    if runner == "spark":
        receipt = run_day_with(SparkRunner(request.getfixturevalue("spark")), **run_options(input_bucket, buckets=2))
    else:
        receipt = run_local(**run_options(input_bucket))
    assert read_tables(f"{input_bucket.url}/out", options=input_bucket.options) == expected
    (stored,) = input_bucket.keys("out/acme/analytics/_receipts/")
    assert json.loads(input_bucket.read(stored))["run_id"] == receipt.run_id
    assert not [key for key in input_bucket.keys("out/") if "_staging" in key]


@pytest.mark.parametrize("runner", ["local", pytest.param("spark", marks=pytest.mark.long)])
def test_unreadable_keys_are_one_reject_each_and_markers_are_ignored(
    request: pytest.FixtureRequest, bucket: Bucket, runner: str
) -> None:
    folder, good = "acme/exports/messages/2025/08/12", adversarial_day.line()
    bad = ["a//b.jsonl", "/c.jsonl", "d/./e.jsonl", "d/../f.jsonl", "g\x01.jsonl", "h.jsonl/"]
    for name in ["good.jsonl", "_SUCCESS", "sub/", "_temporary/0//x.json", *bad]:
        body = b"" if name in ("_SUCCESS", "sub/") else good
        bucket.client().put_object(Bucket=bucket.name, Key=f"in/{folder}/{name}", Body=body)
    chosen = SparkRunner(request.getfixturevalue("spark")) if runner == "spark" else LocalRunner()
    receipt = run_day_with(chosen, **run_options(bucket, buckets=1))
    objects = receipt.objects
    assert (receipt.status, receipt.records.written) == ("COMPLETED_WITH_REJECTS", 1)
    assert (objects.listed, objects.read, objects.unreadable, objects.ignored) == (9, 1, 6, 2)
    rejects = read_tables(f"{bucket.url}/out", options=bucket.options)[REJECTS.name]
    # object_store drops the trailing slash of `h.jsonl/`, but the other keys force a listing by boto3, which keeps it.
    assert {row["source_key"] for row in rejects} == {f"{folder}/{name}" for name in bad}
    assert {(row["reason"], row["source_line"], row["raw"]) for row in rejects} == {("invalid_name", 0, b"")}


def test_key_with_a_trailing_slash_and_content_is_one_reject(bucket: Bucket) -> None:
    key = "in/acme/chat/u1/r1/messages/2025/08/12/01-02-03.500Z-m1.json"
    for name, body in ((key, adversarial_day.line()), (f"{key}/", b"other"), (f"{key[:-6]}2.json/", b"x")):
        bucket.client().put_object(Bucket=bucket.name, Key=name, Body=body)
    receipt = run_local(**run_options(bucket))
    assert (receipt.records.written, receipt.objects.unreadable, receipt.objects.listed) == (1, 2, 3)


def test_parquet_day_on_s3_equals_the_local_day(input_bucket: Bucket, expected: dict[str, Any], tmp_path: Path) -> None:
    for _ in range(2):
        run_local(**run_options(input_bucket, table_format="parquet"))
    for table in TABLES:
        (key,) = input_bucket.keys(f"out/acme/analytics/{table.name}/")
        assert f"/{table.name}/year=2025/month=08/day=12/" in key
        (tmp_path / "one.parquet").write_bytes(input_bucket.read(key))
        rows = pyarrow.parquet.read_table(tmp_path / "one.parquet", partitioning=None).to_pylist()
        assert comparable(rows, table.names) == expected[table.name]


def test_polars_and_duckdb_read_the_published_tables(
    input_bucket: Bucket, expected: dict[str, Any], tmp_path: Path
) -> None:
    run_local(**run_options(input_bucket))
    run_local(**run_options(input_bucket))
    location = f"{input_bucket.url}/out/acme/analytics/messages"
    frame = polars.read_delta(location, storage_options=input_bucket.reader_options)
    expected_rows = [(row["room_id"], row["message_id"], row["content"]) for row in expected[MESSAGES.name]]
    rows = frame.select("room_id", "message_id", "content").rows()
    assert sorted(rows, key=repr) == sorted(expected_rows, key=repr)
    # DuckDB without extensions cannot read Delta or S3, so it reads copies of the files that the log names.
    folder = f"out/acme/analytics/{MESSAGES.name}"
    paths = []
    for number, uri in enumerate(DeltaTable(location, storage_options=input_bucket.reader_options).file_uris()):
        paths.append(str(tmp_path / f"{number}.parquet"))
        Path(paths[-1]).write_bytes(input_bucket.read(f"{folder}/{uri.partition(f'{folder}/')[2]}"))
    rows = duckdb.read_parquet(paths).select("room_id", "message_id", "content").fetchall()
    assert sorted(rows, key=repr) == sorted(expected_rows, key=repr)
    total, tokens = duckdb.read_parquet(paths).aggregate("count(*), sum(tokens_used)").fetchall()[0]
    (summary,) = expected["summary_daily"]
    assert (total, tokens) == (summary["messages"], summary["tokens_used"])


@pytest.mark.long
def test_spark_cluster_publishes_to_s3_and_reads_over_s3a(
    input_bucket: Bucket, expected: dict[str, Any], tmp_path: Path
) -> None:
    run_local(**run_options(input_bucket))
    completed = subprocess.run(
        [sys.executable, "-m", "tests.support.s3a_cluster_run", input_bucket.name, str(tmp_path), "by-spark", "out"],
        cwd=ROOT,
        env=child_environment(**input_bucket.environment),
        capture_output=True,
        text=True,
    )
    assert completed.returncode == 0, completed.stderr[-4000:]
    for prefix in ("by-spark", "out"):
        for table in (REJECTS, MESSAGES, SUMMARY_DAILY):
            rows = pyarrow.parquet.read_table(tmp_path / prefix / f"{table.name}.parquet").to_pylist()
            assert comparable(rows, table.names) == expected[table.name], (prefix, table.name)
    assert read_tables(f"{input_bucket.url}/by-spark", options=input_bucket.options) == expected
    assert not [key for key in input_bucket.keys("by-spark/") if "_staging" in key]


@pytest.mark.parametrize("published_before", [False, True])
def test_one_of_two_concurrent_drivers_publishes_and_the_other_fails(
    input_bucket: Bucket, expected: dict[str, Any], tmp_path: Path, published_before: bool
) -> None:
    if published_before:
        run_local(**run_options(input_bucket))
    flags = run_arguments(input=f"{input_bucket.url}/in", output=f"{input_bucket.url}/out")
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    drivers = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.support.racing_run",
                str(meeting),
                name,
                "2",
                *flags,
                "--json",
            ],
            cwd=ROOT,
            # Two machines with separate ledgers, which share only the log.
            env=child_environment(**input_bucket.environment, MAKOTO_LEDGER=str(tmp_path / f"{name}.sqlite")),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    outputs = [driver.communicate() for driver in drivers]
    by_status = dict(zip((driver.returncode for driver in drivers), outputs, strict=True))
    # A log is read in several requests: the loser may read the winner's commit before the winner's token.
    assert set(by_status) in ({0, 1}, {0, 4}), outputs
    (winner,) = json.loads(by_status[0][0])["receipts"]
    (loser,) = set(by_status) - {0}
    loser_stdout, loser_stderr = by_status[loser]
    assert loser_stdout == ""
    overtaken = f"run {winner['run_id']} published rejects while this run was running"
    fenced = "the lease is lost: rejects is held under token 1, ours is 1"
    assert (overtaken if loser == 1 else fenced) in loser_stderr
    error = json.loads(loser_stderr.splitlines()[-1])
    assert (error["tenant"], error["date"]) == ("acme", "2025-08-12")
    assert read_tables(f"{input_bucket.url}/out", options=input_bucket.options) == expected
    for table in TABLES:
        location = f"{input_bucket.url}/out/acme/analytics/{table.name}"
        history = DeltaTable(location, storage_options=input_bucket.reader_options).history()
        # Both may have created the table, but only the winner committed rows.
        written = [commit for commit in history if commit["operation"] == "WRITE"]
        assert written[0]["run_id"] == winner["run_id"]
        assert written[0]["version"] == winner["tables"][table.name]["version"]
        assert len(written) == 1 + published_before, history


def test_tenants_with_a_common_prefix_are_isolated(
    input_bucket: Bucket, expected: dict[str, Any], tmp_path: Path
) -> None:
    generate(messages=40, layout="messages", seed=9, out=tmp_path, tenant="acme-2")
    input_bucket.upload(tmp_path, "in/")
    run_local(**run_options(input_bucket, tenant="acme-2"))
    before = input_bucket.keys("out/acme-2/")
    run_local(**run_options(input_bucket))
    assert read_tables(f"{input_bucket.url}/out", options=input_bucket.options) == expected
    assert input_bucket.keys("out/acme-2/") == before
    other = read_tables(f"{input_bucket.url}/out", tenant="acme-2", options=input_bucket.options)
    assert {row["source_key"].split("/")[0] for row in other[MESSAGES.name]} == {"acme-2"}
    assert {key.split("/")[1] for key in input_bucket.keys("out/")} == {"acme", "acme-2"}


def test_throttling_and_truncated_responses_do_not_change_the_tables(
    input_bucket: Bucket, expected: dict[str, Any]
) -> None:
    rules = [Rule("slow down", "^(GET|PUT|HEAD) ", every=5), Rule("cut short", "^GET .*[.]json$", every=7)]
    with failing_proxy(input_bucket.endpoint, *rules) as endpoint:
        run_local(**run_options(input_bucket._replace(endpoint=endpoint)))
    assert read_tables(f"{input_bucket.url}/out", options=input_bucket.options) == expected


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (Rule("slow down", "GET .*list-type.*chat"), RetryableError),
        (Rule("cut short", "GET .*list-type.*messages"), RetryableError),
        (Rule("slow down", "GET .*/in/.*[.]json$"), RetryableError),
        (Rule("slow down", "PUT .*/rejects/"), RetryableError),
        (Rule("denied", "GET .*list-type.*chat"), TerminalError),
        (Rule("denied", "GET .*/in/.*[.]json$"), TerminalError),
        (Rule("denied", "PUT .*/rejects/.*[.]parquet"), TerminalError),
        (Rule("denied", "PUT .*_delta_log"), TerminalError),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, Rule) else None,
)
def test_permanent_fault_fails_the_run_and_publishes_nothing(
    input_bucket: Bucket, rule: Rule, error: type[Exception]
) -> None:
    with failing_proxy(input_bucket.endpoint, rule) as endpoint:
        faulty = input_bucket._replace(endpoint=endpoint)
        few_retries = {**faulty.options, "retry_timeout": "2s", "max_retries": "1"}
        with pytest.raises(error, match="tenant=acme day=2025-08-12"):
            run_local(**{**run_options(faulty), "options": few_retries})
    tables = read_tables(f"{input_bucket.url}/out", options=input_bucket.options)
    assert not any(tables.values())


@pytest.mark.parametrize("side", ["input", "output"])
def test_missing_bucket_is_an_error_not_an_empty_day(input_bucket: Bucket, side: str) -> None:
    arguments = {**run_options(input_bucket), side: "s3://no-such-bucket-here/x"}
    with pytest.raises(TerminalError, match="tenant=acme day=2025-08-12"):
        run_local(**arguments)
    assert not input_bucket.keys("out/")
