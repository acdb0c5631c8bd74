"""What quality rules measure beyond a run's counts: from its manifest, and from its summary, not published yet."""

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
    rules: Mapping[str, Rule], *, manifest: Manifest, outcome: RunResult, plan: RunSpec, storage: Storage, scratch: Path
) -> dict[str, float | None]:
    """What each of the rules measures; the dearer ones only if they are asked for."""
    measured = measure_counts(outcome.counts)
    if late := rules.get("max_late"):
        # An export's objects hold many messages, and their names say nothing of when those were sent.
        messages = manifest.layout == "messages"
        measured["max_late"] = share_late(manifest.files, minutes=late.minutes or 0) if messages else None
    if roles := rules.get("max_other_roles"):
        summary = fetch_summary(outcome, plan=plan, storage=storage, scratch=scratch)
        with connect(scratch=scratch, plan=plan) as connection:
            measured["max_other_roles"] = share_other_roles(connection, summary, allowed=roles.allowed or ())
    return measured


def share_late(files: Iterable[Path], *, minutes: int) -> float | None:
    """The share of a manifest's objects that were stored more than `minutes` after their names say they were sent.

    Objects whose names tell no time are left out; None if no name does. One chunk is in memory at a time.
    """
    timed = late = 0
    for _, objects in read_manifest(files):
        for item in objects:
            name = parse_message_key(item.key)
            if name is not None:
                timed += 1
                late += item.modified_us - name.sent_us > minutes * _MINUTE_US
    return share(late, timed)


def fetch_summary(outcome: RunResult, *, plan: RunSpec, storage: Storage, scratch: Path) -> Path:
    """A local copy of the day's summary, which lies where it was written and is in no table yet."""
    (file,) = outcome.files[SUMMARY_DAILY.name]
    path = file.path if plan.table_format == "delta" else staged_path(file.path, plan.date)
    local = scratch / "summary.parquet"
    stored = storage.open_output().get(f"{analytics_folder(plan.tenant)}/{SUMMARY_DAILY.name}/{path}")
    local.write_bytes(bytes(stored.bytes()))
    return local


def share_other_roles(
    connection: duckdb.DuckDBPyConnection, summary: Path, *, allowed: Collection[str]
) -> float | None:
    """The share of a day's messages whose role is none of these, or absent."""
    query = f"SELECT unnest(messages_by_role, recursive := true) FROM {quote_text(str(summary))}"
    roles = connection.execute(query).fetchall()
    others = sum(messages for role, messages in roles if role not in allowed)
    return share(others, sum(messages for _, messages in roles))


def measure_counts(counts: Counts) -> dict[str, float | None]:
    """Return the value of each rule that a run's counts alone give."""
    seen, written, objects = counts.seen, counts.written, counts.objects_read + counts.objects_unreadable
    return {
        **dict.fromkeys(VOLUMES, written),
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
