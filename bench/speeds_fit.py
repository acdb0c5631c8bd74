"""Fit the constants of conf/predictions.toml to measured days by least squares, and render the file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy

from daily_batch.orchestration.routing.prices import Predictions, parse_constants

CORES = 2  # cores of the runs: the local runner uses two threads, Spark local[2]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A day and the figures of its run; `bytes` is the stored size."""

    objects: int
    messages: int
    bytes: int
    seconds: float
    memory_bytes: int
    temp_bytes: int
    files: int
    tables: int


def fit_stored(
    exports: Sequence[Measured],
    objects: Sequence[Measured],
    *,
    objects_per_list: float,
    manifest_object_bytes: float,
) -> dict[str, float]:
    """Return how a day is stored; files written are the data files, one commit per table, and the receipt."""
    largest = max(exports, key=lambda day: day.messages)
    return {
        "export_message_bytes": round(sum(day.bytes for day in exports) / sum(day.messages for day in exports), 1),
        "object_message_bytes": round(sum(day.bytes for day in objects) / sum(day.objects for day in objects), 1),
        "objects_per_list": round(objects_per_list, 1),
        "manifest_object_bytes": round(manifest_object_bytes, 1),
        "files_written": largest.files + largest.tables + 1,
    }


def fit_local(days: Sequence[Measured]) -> dict[str, float]:
    """Fit the seconds, start + objects x a + messages x b, and the memory.

    Memory is the lowest line above all days, up to their maximum.
    """
    start, per_object, per_message = fit_seconds("local", days, lambda day: (1, day.objects, day.messages))
    base = min(day.memory_bytes for day in days)
    return {
        "cores": CORES,
        "start_seconds": round(start, 2),
        "object_core_seconds": _round(per_object * CORES),
        "message_core_seconds": _round(per_message * CORES),
        "memory_base_bytes": base,
        "memory_message_bytes": round(max((day.memory_bytes - base) / day.messages for day in days), 1),
        "memory_most_bytes": max(day.memory_bytes for day in days),
        "temp_message_bytes": round(max(day.temp_bytes / day.messages for day in days), 1),
    }


def fit_spark(days: Sequence[Measured]) -> dict[str, float]:
    """Fit seconds = start + messages x b."""
    start, per_message = fit_seconds("spark", days, lambda day: (1, day.messages))
    return {"start_seconds": round(start, 2), "message_core_seconds": _round(per_message * CORES)}


def fit_seconds(name: str, days: Sequence[Measured], terms: Callable[[Measured], tuple[int, ...]]) -> tuple[float, ...]:
    """Return the coefficients of a day's terms and print each day's deviation; exit if one is not above 0."""
    found, *_ = numpy.linalg.lstsq([terms(day) for day in days], [day.seconds for day in days], rcond=None)
    for day in days:
        fitted = float(numpy.dot(terms(day), found))
        print(
            f"  {name} {day.objects:,} objects, {day.messages:,} messages: {day.seconds:.2f} s, fitted {fitted:.2f} s"
        )
    if min(found) <= 0:
        sys.exit(f"{name}: no fit has all costs above 0 ({found}); use a quiet machine or larger days")
    return tuple(map(float, found))


HEAD = """\
# The constants of routing's predictions (docs/routing.md). bench/speeds.py writes this file and overwrites it:
# change the assumptions of [s3], [emr], [blob] and [databricks] in bench/speeds_fit.py, not here.
# Measured {date}, {machine}
#   {command}
"""
# Table -> its comment, in the order of the file.
TABLES = {
    "stored": "how a day is stored",
    "local": "makoto-batch run --runner local, against an S3 server with {latency_ms} ms before each answer",
    "spark": "spark-submit on local[2], from a folder to a folder",
    "s3": "what S3 answers for each partitioned prefix; sources in docs/scale.md",
    "emr": "assumptions, not measured: no account was available",
    "blob": "what a storage account of Azure answers; sources in docs/scale.md",
    "databricks": "also assumptions; nodes and workers as in databricks.yml",
}
DESCRIPTIONS = {
    "export_message_bytes": "of gzip files, for each message",
    "object_message_bytes": "of an object that holds one message",
    "objects_per_list": "in a generated day in which each room has messages",
    "manifest_object_bytes": "of the manifest, which the driver and a function keep on their disks, for each object",
    "files_written": "data files, commits and the receipt of a day",
    "list_object_seconds": "of the driver alone, for each listed object: P2 of docs/project/benchmarks.md",
    "partitions": "assumed to hold a tenant",
    "cores": "in use; more cores gave no measured gain",
    "object_core_seconds": "of one core, for each object, in addition to its messages",
    "message_core_seconds": "of one core, for each message",
    "memory_base_bytes": "of the smallest day",
    "memory_message_bytes": "additional for each message, …",
    "memory_most_bytes": "… up to this, in a function of 256 MB",
    "temp_message_bytes": "in the temporary folder, for each message",
    "executor_seconds": "of work for all its cores before another executor is added",
    "worker_seconds": "of work for all its cores before another worker is added; the driver is one more node",
}
STARTS = {
    "local": "until it computes, including listing and commits",
    "spark": "until tasks compute, including commits",
    "emr": "from the request until the driver runs, in a stopped application",
    "databricks": "from the request until the cluster is up; the nodes are paid for meanwhile",
}
LIST_OBJECT_SECONDS = 3e-05
# S3 splits a prefix that stays busy within 30 to 60 minutes; a job must not count on it.
S3 = {"gets_per_second": 5_500, "puts_per_second": 3_500, "partitions": 1}
BLOB = {"gets_per_second": 20_000, "puts_per_second": 20_000, "partitions": 1}
EMR = {
    "start_seconds": 120.0,
    "driver_vcpu": 2,
    "driver_gb": 8,
    "executor_vcpu": 4,
    "executor_gb": 16,
    "executor_seconds": 300.0,
}
DATABRICKS = {
    "start_seconds": 300.0,
    "node_vcpu": 4,
    "node_gb": 32,
    "worker_seconds": 300.0,
    "max_workers": 8,
}


def render(
    *,
    stored: Mapping[str, float],
    local: Mapping[str, float],
    spark: Mapping[str, float],
    latency_ms: int,
    date: str,
    machine: str,
    command: str,
) -> str:
    """Return the text of conf/predictions.toml, parsed once to make sure that routing accepts it."""
    text = HEAD.format(date=date, machine=machine, command=command)
    tables = {
        "stored": stored,
        "local": local,
        "spark": {**spark, "list_object_seconds": LIST_OBJECT_SECONDS},
        "s3": S3,
        "emr": EMR,
        "blob": BLOB,
        "databricks": DATABRICKS,
    }
    for table, values in tables.items():
        text += "\n" + _format_line(f"[{table}]", TABLES[table].format(latency_ms=latency_ms))
        for name, value in values.items():
            description = STARTS[table] if name == "start_seconds" else DESCRIPTIONS.get(name, "")
            text += _format_line(f"{name} = {value}", description)
    parse_constants(text, Predictions, origin="predictions.toml")
    return text


def _format_line(text: str, comment: str) -> str:
    return f"{text:<40} # {comment}\n" if comment else f"{text}\n"


def _round(value: float) -> float:
    return float(f"{value:.3g}")
