"""Random days match the oracle, an independent implementation of the rules, row by row on both runners."""

import os
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daily_batch.domain.contract import ROOMS_DAILY
from daily_batch.pipeline.runners.base import Runner
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.pipeline.transform import map_chunk
from tests.oracle.compare import assert_agrees
from tests.oracle.day import Oracle, Stored
from tests.support.adversarial_day import EXPORT, packed
from tests.support.adversarial_json import records
from tests.support.assert_days_equal import assert_equal_receipts, assert_equal_tables
from tests.support.day_runs import DAY, find_nulls, read_tables, run_day_with

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "", " ", "\n\n", ","])
ARRAYS = st.sampled_from(["", "", "", "", "[", "[\n"])


@st.composite
def texts(draw: st.DrawFn, max_records: int) -> bytes:
    """Return a sequence of records, sometimes in an array that may not be closed."""
    opening = draw(ARRAYS)
    between = st.just(",\n") if opening else ENDS
    found = draw(st.lists(records(), max_size=max_records))
    text = opening + "".join(record + draw(between) for record in found)
    if opening:
        text = text.removesuffix(",\n") + draw(st.sampled_from(["]", "\n]", "", "}"]))
    return text.encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn, max_records: int) -> bytes:
    """Return a text that sometimes has a changed byte, a byte order mark, or compression."""
    body = draw(texts(max_records))
    choice = draw(st.integers(0, 19))
    if choice == 0 and body:
        at = draw(st.integers(0, len(body) - 1))
        body = body[:at] + draw(st.binary(max_size=2)) + body[at + 1 :]
    if choice == 1:
        body = b"\xef\xbb\xbf" + body
    if choice == 2:
        body = body.decode("utf-8", "replace").encode("utf-16")
    if choice in (3, 4):
        return packed(body)[: None if choice == 3 else -3]
    return body


def assert_matches_oracle(
    objects: dict[str, Stored],
    layout: str,
    *,
    batch_bytes: int = map_chunk.BATCH_BYTES,
    other_runner: Runner | None = None,
) -> None:
    """Assert that the local runner agrees with the oracle, and `other_runner` (as Delta) with the local runner."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_objects(folder / "in", objects)
        arguments = {"input": folder / "in", "layout": layout, "buckets": 2}
        with patch.object(map_chunk, "BATCH_BYTES", batch_bytes):
            receipt = run_day_with(LocalRunner(), output=folder / "out", table_format="parquet", **arguments)
        tables = read_tables(folder / "out", table_format="parquet")
        assert_agrees(Oracle(day=DAY).expect(objects, layout), tables, receipt, day=DAY)
        if other_runner is not None:
            other_receipt = run_day_with(other_runner, output=folder / "other", **arguments)
            assert_equal_tables(read_tables(folder / "other"), tables)
            assert_equal_receipts(other_receipt, receipt)


def write_objects(source: Path, objects: dict[str, Stored]) -> None:
    source.mkdir()
    for key, item in objects.items():
        path = source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item.body)
        os.utime(path, (item.modified, item.modified))


def test_a_null_in_a_column_that_is_never_null_is_found() -> None:
    row = dict.fromkeys(ROOMS_DAILY.names, 0)
    assert find_nulls([row | {"tokens_used": None, "first_at": None, "last_at": None}], ROOMS_DAILY) == []
    assert find_nulls([row, row | {"tenant_id": None, "messages": None}], ROOMS_DAILY) == ["tenant_id", "messages"]


STORED = st.builds(Stored, damaged(12), st.integers(1, 3))


@settings(PATIENT, max_examples=25)
@given(st.lists(STORED, min_size=1, max_size=4), st.sampled_from([64, 700, 32 * 2**20]))
def test_export_matches_the_oracle_in_batches_of_any_size(files: list[Stored], batch_bytes: int) -> None:
    assert_matches_oracle(as_parts(files), "export", batch_bytes=batch_bytes)


def as_parts(files: list[Stored]) -> dict[str, Stored]:
    return {f"{EXPORT}/part-{number}": item for number, item in enumerate(files)}


NAMES = st.builds(
    lambda folder, time, name, end: f"{folder}/{time}-{name}{end}",
    st.sampled_from(["2025/08/11", "2025/08/12", "2025/08/12", "2025/08/12"]),
    st.sampled_from(
        [
            *("14-50-00.000Z", "14-44-59.999Z", "15-00-00Z", "14-59-59.999999Z", "15-14-59.999Z", "15-15-00.000Z"),
            *("01-02-03.500Z", "05-00-00.000Z", "25-00-00Z", "x"),
        ]
    ),
    st.sampled_from(["m1", "m2", "m3", "x"]),
    st.sampled_from([".json", ".json", ".json", ".txt"]),
)
KEYS = st.builds(lambda user, room, name: f"acme/chat/{user}/{room}/messages/{name}",
                   st.sampled_from(["u1", "u2"]), st.sampled_from(["r1", "r2"]), NAMES)  # fmt: skip


@settings(PATIENT, max_examples=25)
@given(st.dictionaries(KEYS, st.builds(Stored, damaged(2), st.integers(1, 3)), min_size=1, max_size=12))
def test_message_objects_match_the_oracle(objects: dict[str, Stored]) -> None:
    assert_matches_oracle(objects, "messages")


@pytest.mark.long
@settings(PATIENT, max_examples=8)
@given(st.lists(STORED, min_size=2, max_size=4))
def test_spark_reads_an_export_like_the_local_runner(spark: Any, files: list[Stored]) -> None:
    assert_matches_oracle(as_parts(files), "export", other_runner=SparkRunner(spark))


@pytest.mark.long
@settings(PATIENT, max_examples=8)
@given(st.dictionaries(KEYS, st.builds(Stored, damaged(2), st.integers(1, 3)), min_size=10, max_size=24))
def test_spark_reads_message_objects_like_the_local_runner(spark: Any, objects: dict[str, Stored]) -> None:
    assert_matches_oracle(objects, "messages", other_runner=SparkRunner(spark))
