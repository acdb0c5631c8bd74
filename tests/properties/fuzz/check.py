"""Run a day through the runners, compare it with the oracle, and shrink a failing day."""

import importlib
import os
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from daily_batch.domain.receipt import Receipt
from daily_batch.domain.run import Limits
from daily_batch.pipeline.runners.base import Runner
from daily_batch.pipeline.runners.local import LocalRunner
from tests.oracle.compare import assert_agrees, reject_of
from tests.oracle.day import Oracle, Stored
from tests.oracle.stored import UnreadableError, read_object
from tests.properties.fuzz.days import FuzzDay
from tests.properties.fuzz.tokens import CANARY
from tests.support.assert_days_equal import assert_equal_receipts, assert_equal_tables
from tests.support.day_runs import DAY, read_tables, run_day_with

# Bounds on the CPU seconds of a day, and of each of its records: about twenty times the usual.
DAY_SECONDS, RECORD_SECONDS = 10.0, 0.01
LIMITS = ("max_record_bytes", "max_depth", "max_raw_bytes")
MAX_TRIES, MAX_SHRINK_SECONDS = 600, 40.0


def check_day(day: FuzzDay, other_runners: Sequence[Runner] = ()) -> Receipt:
    """Raise if the local runner differs from the oracle, or a runner of `other_runners` from the local one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_objects(folder / "in", day.objects)
        arguments = {"input": folder / "in", "layout": day.layout, "buckets": 2, **day.settings}
        started = time.process_time()
        with _patched_constants(day.constants):
            receipt = run_day_with(LocalRunner(), output=folder / "out", table_format="parquet", **arguments)
        cpu_seconds = time.process_time() - started
        tables = read_tables(folder / "out", table_format="parquet")
        limits = Limits(**{name: day.settings[name] for name in LIMITS if name in day.settings})
        oracle = Oracle(day=DAY, naive_zone=day.settings.get("naive_timezone", "UTC"), limits=limits)
        assert_agrees(oracle.expect(day.objects, day.layout), tables, receipt, day=DAY)
        # A detail names the list of messages if its name is plain.
        details = [row["detail"].lower().replace(f'under "{CANARY}"', "") for row in tables["rejects"]]
        assert CANARY not in " ".join(details), "a detail names content"
        assert cpu_seconds < DAY_SECONDS + RECORD_SECONDS * day.records, f"{cpu_seconds:.1f} CPU seconds"
        for runner in other_runners:
            other_receipt = run_day_with(runner, output=folder / runner.name, **arguments)
            assert_equal_tables(read_tables(folder / runner.name), tables)
            assert_equal_receipts(other_receipt, receipt)
    return receipt


@contextmanager
def _patched_constants(constants: Mapping[str, Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for name, value in constants.items():
            module, constant = name.split(".")
            stack.enter_context(
                patch.object(importlib.import_module(f"daily_batch.pipeline.transform.{module}"), constant, value)
            )
        yield


def _write_objects(source: Path, objects: Mapping[str, Stored]) -> None:
    for key, item in objects.items():
        path = source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item.body)
        os.utime(path, (item.modified, item.modified))


def find_fault(day: FuzzDay, other_runners: Sequence[Runner] = ()) -> Exception | None:
    """Return what is wrong with a day, or None."""
    try:
        check_day(day, other_runners)
    except Exception as error:  # any error is a finding
        return error
    return None


def fault_kind(error: Exception | None) -> tuple[str, int]:
    """Return what makes two faults alike: the error's type and the line that raised it."""
    found = traceback.extract_tb(error.__traceback__) if error else []
    return type(error).__name__, found[-1].lineno or 0 if found else 0


def shrink(day: FuzzDay, fails: Callable[[FuzzDay], bool]) -> FuzzDay:
    """Return a smaller day that fails too: with fewer objects, lines and bytes, and with default settings."""
    deadline, tries = time.monotonic() + MAX_SHRINK_SECONDS, 0

    def still_fails(objects: dict[str, Stored], **changed: Any) -> bool:
        nonlocal tries
        tries += 1
        return (
            bool(objects)
            and tries < MAX_TRIES
            and time.monotonic() < deadline
            and fails(replace(day, objects=objects, **changed))
        )

    keys = _reduce(list(day.objects), lambda subset: still_fails({key: day.objects[key] for key in subset}))
    objects = {key: day.objects[key] for key in keys}
    for key, item in objects.items():
        expanded = _decompress(key, item)
        if expanded is not item and still_fails({**objects, key: expanded}):
            objects[key] = expanded
    for split in (_lines, _blocks, _bytes):
        for key in keys:
            objects = _remove_parts(objects, key, split(objects[key].body), still_fails)
    for changed in ({"constants": {}}, {"settings": {}}):
        if still_fails(objects, **changed):
            day = replace(day, **changed)
    return replace(day, objects=objects)


def _remove_parts(
    objects: dict[str, Stored], key: str, parts: list[bytes], fails: Callable[[dict[str, Stored]], bool]
) -> dict[str, Stored]:
    def with_parts(subset: list[bytes]) -> dict[str, Stored]:
        return {**objects, key: objects[key]._replace(body=b"".join(subset))}

    return with_parts(_reduce(parts, lambda subset: fails(with_parts(subset))))


def _reduce(parts: list[Any], fails: Callable[[list[Any]], bool]) -> list[Any]:
    """Delta debugging: remove ever smaller runs of parts while the day still fails."""
    size = max(len(parts) // 2, 1)
    while parts:
        at, removed = 0, False
        while at < len(parts):
            fewer = parts[:at] + parts[at + size :]
            if fewer != parts and fails(fewer):
                parts, removed = fewer, True
            else:
                at += size
        if size == 1 and not removed:
            break
        size = max(size // 2, 1)
    return parts


def _decompress(key: str, item: Stored) -> Stored:
    try:
        text = read_object(key, item.body, Limits())
    except UnreadableError:
        return item
    return item._replace(body=text.text.encode("utf-8", "surrogateescape"))


def _lines(body: bytes) -> list[bytes]:
    return body.splitlines(keepends=True)


def _blocks(body: bytes) -> list[bytes]:
    return [body[at : at + 12] for at in range(0, len(body), 12)] if len(body) < 6000 else [body]


def _bytes(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))] if len(body) < 400 else [body]


def describe(day: FuzzDay, error: Exception) -> str:
    """Return a description of a fault: how to reproduce the day, its remaining objects, and the error."""
    lines = [
        f"seed {day.seed}, day {day.number}, layout {day.layout}, {day.records} records",
        f"settings {day.settings}",
    ]
    lines += [f"constants {day.constants!s:.300}"] if day.constants else []
    lines += [f"{key} ({item.modified}): {item.body[:3000]!r}" for key, item in day.objects.items()]
    frames = traceback.extract_tb(error.__traceback__)
    lines.append(f"{type(error).__name__}: {str(error)[:2000]}")
    lines += [f"  {frame.filename}:{frame.lineno} {frame.line}" for frame in frames[-2:]]
    if isinstance(error, AssertionError):
        lines += _differences(error)
    return "\n".join(lines)


def _differences(error: AssertionError) -> list[str]:
    """Return the local variables of the failed check, abbreviated."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    variables = at.tb_frame.f_locals if at else {}
    if "expected" in variables and "tables" in variables:
        found, expected = Counter(map(reject_of, variables["tables"]["rejects"])), variables["expected"].rejects
        variables = {"too_much": found - expected, "missing": expected - found, **variables}
    return [f"  {name} = {each!r:.600}" for name, each in variables.items() if name not in ("day", "folder", "name")]
