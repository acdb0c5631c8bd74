"""Measure what the quality rules need beyond a run's counts: from its manifest and from its unpublished summary."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import duckdb

from daily_batch.domain.contract import SUMMARY_DAILY
from daily_batch.domain.keys import analytics_folder, parse_message_key, staged_path
from daily_batch.domain.quality_rules import OF_FLAGS, VOLUMES, Rule
from daily_batch.domain.run import RunSpec
from daily_batch.pipeline.discover.chunks import read_manifest
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.runners.base import RunResult
from daily_batch.pipeline.transform.duckdb_session import connect, quote_text
from daily_batch.pipeline.transform.outcomes import Counts
from daily_batch.storage.stores import Storage

_MINUTE_US = 60_000_000


def measure_day(
    rules: Mapping[str, Rule], *, manifest: Manifest, result: RunResult, spec: RunSpec, storage: Storage, scratch: Path
) -> dict[str, float | None]:
    """Return the measured value of each rule; the expensive ones are measured only if a rule needs them."""
    measured = measure_counts(result.counts)
    if late := rules.get("max_late"):
        # An export object holds many messages, and its name does not say when they were sent.
        messages = manifest.layout == "messages"
        measured["max_late"] = share_late(manifest.files, minutes=late.minutes or 0) if messages else None
    if roles := rules.get("max_other_roles"):
        summary = fetch_summary(result, spec=spec, storage=storage, scratch=scratch)
        with connect(scratch=scratch, spec=spec) as connection:
            measured["max_other_roles"] = share_other_roles(connection, summary, allowed=roles.allowed or ())
    return measured


def share_late(files: Iterable[Path], *, minutes: int) -> float | None:
    """Return the share of objects that were stored more than `minutes` after the time in their names.

    Objects without a time in their names do not count; returns None if none has one. One chunk is in memory at a time.
    """
    timed = late = 0
    for _, objects in read_manifest(files):
        for item in objects:
            name = parse_message_key(item.key)
            if name is not None:
                timed += 1
                late += item.modified_us - name.sent_us > minutes * _MINUTE_US
    return share(late, timed)


def fetch_summary(result: RunResult, *, spec: RunSpec, storage: Storage, scratch: Path) -> Path:
    """Return a local copy of the day's summary, which is written but in no table yet."""
    (file,) = result.files[SUMMARY_DAILY.name]
    path = file.path if spec.table_format == "delta" else staged_path(file.path, spec.date)
    local = scratch / "summary.parquet"
    stored = storage.open_output().get(f"{analytics_folder(spec.tenant)}/{SUMMARY_DAILY.name}/{path}")
    local.write_bytes(bytes(stored.bytes()))
    return local


def share_other_roles(
    connection: duckdb.DuckDBPyConnection, summary: Path, *, allowed: Collection[str]
) -> float | None:
    """Return the share of a day's messages whose role is not in `allowed`, or is absent."""
    query = f"SELECT unnest(messages_by_role, recursive := true) FROM {quote_text(str(summary))}"
    roles = connection.execute(query).fetchall()
    others = sum(messages for role, messages in roles if role not in allowed)
    return share(others, sum(messages for _, messages in roles))


def measure_counts(counts: Counts) -> dict[str, float | None]:
    """Return the value of each rule that a run's counts alone give."""
    seen, written, objects = counts.seen, counts.written, counts.objects_read + counts.objects_unreadable
    return {
        **dict.fromkeys(VOLUMES, written),
        # Names that are not counted by themselves are one.
        "max_unknown_fields": len(counts.unknown_fields) + (counts.other_unknown_fields > 0),
        # The number of records in an unreadable object is unknown: it counts for `max_unreadable` only. If no object
        # could be read, the ratio is 1.
        "max_rejected": 1.0 if objects and not counts.objects_read else share(counts.rejected, seen),
        "max_unreadable": share(counts.objects_unreadable, objects),
        "max_duplicates": share(counts.duplicates, seen),
        "max_superseded": share(counts.superseded, seen),
        **{rule: share(counts.flags.get(flag, 0), written) for rule, flag in OF_FLAGS.items()},
    }


def share(part: int, whole: int) -> float | None:
    """Return the part as a ratio of the whole; None if the whole is 0."""
    return part / whole if whole else None
