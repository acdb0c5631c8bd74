"""The job end to end on an S3 server: both runners, every reader, races, trouble, and tenants apart."""

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
    """A day of 80 messages, one object each, under names of every kind."""
    out = tmp_path_factory.mktemp("s3-day")
    generate(messages=80, layout="messages", seed=6, out=out, rates=FaultRates.rich())
    return out


@pytest.fixture(scope="module")
def expected(day: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tables of the same day in local folders."""
    out = tmp_path_factory.mktemp("s3-expected")
    run_local(input=day, output=out)
    return read_tables(out)


@pytest.fixture
def filled(bucket: Bucket, day: Path) -> Bucket:
    bucket.upload(day, "in/")
    return bucket


def on(bucket: Bucket, **more: Any) -> dict[str, Any]:
    return {"input": f"{bucket.url}/in", "output": f"{bucket.url}/out", "options": bucket.options, **more}


@pytest.mark.parametrize("runner", ["local", "spark"])
def test_day_on_s3_equals_the_same_day_in_local_folders(
    request: pytest.FixtureRequest, filled: Bucket, expected: dict[str, Any], runner: str
) -> None:
    if runner == "spark":
        receipt = run_day_with(SparkRunner(request.getfixturevalue("spark")), **on(filled, buckets=2))
    else:
        receipt = run_local(**on(filled))
    assert read_tables(f"{filled.url}/out", options=filled.options) == expected
    (stored,) = filled.keys("out/acme/analytics/_receipts/")
    assert json.loads(filled.read(stored))["run_id"] == receipt.run_id
    assert not [key for key in filled.keys("out/") if "_staging" in key]


@pytest.mark.parametrize("runner", ["local", "spark"])
def test_unreadable_keys_are_one_reject_each_and_markers_are_ignored(
    request: pytest.FixtureRequest, bucket: Bucket, runner: str
) -> None:
    folder, good = "acme/exports/messages/2025/08/12", adversarial_day.line()
    bad = ["a//b.jsonl", "/c.jsonl", "d/./e.jsonl", "d/../f.jsonl", "g\x01.jsonl", "h.jsonl/"]
    for name in ["good.jsonl", "_SUCCESS", "sub/", "_temporary/0//x.json", *bad]:
        body = b"" if name in ("_SUCCESS", "sub/") else good
        bucket.client().put_object(Bucket=bucket.name, Key=f"in/{folder}/{name}", Body=body)
    chosen = SparkRunner(request.getfixturevalue("spark")) if runner == "spark" else LocalRunner()
    receipt = run_day_with(chosen, **on(bucket, buckets=1))
    objects = receipt.objects
    assert (receipt.status, receipt.records.written) == ("COMPLETED_WITH_REJECTS", 1)
    assert (objects.listed, objects.read, objects.unreadable, objects.ignored) == (9, 1, 6, 2)
    rejects = read_tables(f"{bucket.url}/out", options=bucket.options)[REJECTS.name]
    # Its slash is lost once an object store's client has listed it; beside the others S3 itself lists it.
    assert {row["source_key"] for row in rejects} == {f"{folder}/{name}" for name in bad}
    assert {(row["reason"], row["source_line"], row["raw"]) for row in rejects} == {("invalid_name", 0, b"")}


def test_key_with_a_trailing_slash_and_content_is_one_reject(bucket: Bucket) -> None:
    key = "in/acme/chat/u1/r1/messages/2025/08/12/01-02-03.500Z-m1.json"
    for name, body in ((key, adversarial_day.line()), (f"{key}/", b"other"), (f"{key[:-6]}2.json/", b"x")):
        bucket.client().put_object(Bucket=bucket.name, Key=name, Body=body)
    receipt = run_local(**on(bucket))
    assert (receipt.records.written, receipt.objects.unreadable, receipt.objects.listed) == (1, 2, 3)


def test_parquet_day_on_s3_equals_the_local_day(filled: Bucket, expected: dict[str, Any], tmp_path: Path) -> None:
    for _ in range(2):
        run_local(**on(filled, table_format="parquet"))
    for table in TABLES:
        (key,) = filled.keys(f"out/acme/analytics/{table.name}/")
        assert f"/{table.name}/year=2025/month=08/day=12/" in key
        (tmp_path / "one.parquet").write_bytes(filled.read(key))
        rows = pyarrow.parquet.read_table(tmp_path / "one.parquet", partitioning=None).to_pylist()
        assert comparable(rows, table.names) == expected[table.name]


def test_polars_and_duckdb_read_the_published_tables(filled: Bucket, expected: dict[str, Any], tmp_path: Path) -> None:
    run_local(**on(filled))
    run_local(**on(filled))
    location = f"{filled.url}/out/acme/analytics/messages"
    read = polars.read_delta(location, storage_options=filled.reader_options)
    wanted = [(row["room_id"], row["message_id"], row["content"]) for row in expected[MESSAGES.name]]
    found = read.select("room_id", "message_id", "content").rows()
    assert sorted(found, key=repr) == sorted(wanted, key=repr)
    # DuckDB without extensions reads files: the ones that the log names.
    folder = f"out/acme/analytics/{MESSAGES.name}"
    paths = []
    for number, uri in enumerate(DeltaTable(location, storage_options=filled.reader_options).file_uris()):
        paths.append(str(tmp_path / f"{number}.parquet"))
        Path(paths[-1]).write_bytes(filled.read(f"{folder}/{uri.partition(f'{folder}/')[2]}"))
    rows = duckdb.read_parquet(paths).select("room_id", "message_id", "content").fetchall()
    assert sorted(rows, key=repr) == sorted(wanted, key=repr)
    total, tokens = duckdb.read_parquet(paths).aggregate("count(*), sum(tokens_used)").fetchall()[0]
    (summary,) = expected["summary_daily"]
    assert (total, tokens) == (summary["messages"], summary["tokens_used"])


@pytest.mark.long
def test_spark_cluster_publishes_to_s3_and_reads_over_s3a(
    filled: Bucket, expected: dict[str, Any], tmp_path: Path
) -> None:
    run_local(**on(filled))
    answer = subprocess.run(
        [sys.executable, "-m", "tests.support.s3a_cluster_run", filled.name, str(tmp_path), "by-spark", "out"],
        cwd=ROOT,
        env=child_environment(**filled.environment),
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr[-4000:]
    for prefix in ("by-spark", "out"):
        for table in (REJECTS, MESSAGES, SUMMARY_DAILY):
            rows = pyarrow.parquet.read_table(tmp_path / prefix / f"{table.name}.parquet").to_pylist()
            assert comparable(rows, table.names) == expected[table.name], (prefix, table.name)
    assert read_tables(f"{filled.url}/by-spark", options=filled.options) == expected
    assert not [key for key in filled.keys("by-spark/") if "_staging" in key]


@pytest.mark.parametrize("published_before", [False, True])
def test_one_of_two_concurrent_drivers_publishes_and_the_other_fails(
    filled: Bucket, expected: dict[str, Any], tmp_path: Path, published_before: bool
) -> None:
    if published_before:
        run_local(**on(filled))
    flags = run_arguments(input=f"{filled.url}/in", output=f"{filled.url}/out")
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    racers = [
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
            # Two machines that know nothing of each other: only the log is between them.
            env=child_environment(**filled.environment, MAKOTO_LEDGER=str(tmp_path / f"{name}.sqlite")),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    told = [racer.communicate() for racer in racers]
    by_status = dict(zip((racer.returncode for racer in racers), told, strict=True))
    # A log is read in several requests: the loser may see the winner's commit before it sees the winner's token.
    assert set(by_status) in ({0, 1}, {0, 4}), told
    winner = json.loads(by_status[0][0])
    (loser,) = set(by_status) - {0}
    loser_out, loser_said = by_status[loser]
    assert loser_out == ""
    overtaken = f"run {winner['run_id']} published rejects while this run was running"
    fenced = "the lease is lost: rejects is held under token 1, ours is 1"
    assert (overtaken if loser == 1 else fenced) in loser_said
    assert "tenant=acme day=2025-08-12" in loser_said
    assert read_tables(f"{filled.url}/out", options=filled.options) == expected
    for table in TABLES:
        location = f"{filled.url}/out/acme/analytics/{table.name}"
        told = DeltaTable(location, storage_options=filled.reader_options).history()
        # Both may have made the table, one after the other; what holds rows was committed by the winner alone.
        written = [commit for commit in told if commit["operation"] == "WRITE"]
        assert written[0]["run_id"] == winner["run_id"]
        assert written[0]["version"] == winner["tables"][table.name]["version"]
        assert len(written) == 1 + published_before, told


def test_tenants_with_a_common_prefix_are_isolated(
    filled: Bucket, expected: dict[str, Any], tmp_path: Path
) -> None:
    generate(messages=40, layout="messages", seed=9, out=tmp_path, tenant="acme-2")
    filled.upload(tmp_path, "in/")
    run_local(**on(filled, tenant="acme-2"))
    before = filled.keys("out/acme-2/")
    run_local(**on(filled))
    assert read_tables(f"{filled.url}/out", options=filled.options) == expected
    assert filled.keys("out/acme-2/") == before
    other = read_tables(f"{filled.url}/out", tenant="acme-2", options=filled.options)
    assert {row["source_key"].split("/")[0] for row in other[MESSAGES.name]} == {"acme-2"}
    assert {key.split("/")[1] for key in filled.keys("out/")} == {"acme", "acme-2"}


def test_throttling_and_truncated_responses_do_not_change_the_tables(filled: Bucket, expected: dict[str, Any]) -> None:
    rules = [Rule("slow down", "^(GET|PUT|HEAD) ", every=5), Rule("cut short", "^GET .*[.]json$", every=7)]
    with failing_proxy(filled.endpoint, *rules) as endpoint:
        run_local(**on(filled._replace(endpoint=endpoint)))
    assert read_tables(f"{filled.url}/out", options=filled.options) == expected


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
    filled: Bucket, rule: Rule, error: type[Exception]
) -> None:
    with failing_proxy(filled.endpoint, rule) as endpoint:
        troubled = filled._replace(endpoint=endpoint)
        hasty = {**troubled.options, "retry_timeout": "2s", "max_retries": "1"}
        with pytest.raises(error, match="tenant=acme day=2025-08-12"):
            run_local(**{**on(troubled), "options": hasty})
    tables = read_tables(f"{filled.url}/out", options=filled.options)
    assert not any(tables.values())


@pytest.mark.parametrize("side", ["input", "output"])
def test_missing_bucket_is_an_error_not_an_empty_day(filled: Bucket, side: str) -> None:
    asked = {**on(filled), side: "s3://no-such-bucket-here/x"}
    with pytest.raises(TerminalError, match="tenant=acme day=2025-08-12"):
        run_local(**asked)
    assert not filled.keys("out/")
