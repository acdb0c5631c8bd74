"""The specification and the output files of a run: plain values, safe to pickle, which driver and tasks exchange."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Layout = Literal["messages", "export"]
TableFormat = Literal["delta", "parquet"]


class SourceObject(NamedTuple):
    """One object of the manifest.

    `key` is relative to the input root and begins with the tenant. `size` is the stored size in bytes. `modified_us` is
    the store's last-modified time, microseconds since 1970-01-01 UTC. An object that cannot be read has a `reason` and
    a `detail`, and is never fetched.
    """

    key: str
    size: int
    etag: str
    modified_us: int
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on input and memory, in bytes unless named otherwise; each is a setting of the same name."""

    max_record_bytes: int = 16 * 2**20
    max_object_bytes: int = 64 * 2**30
    max_expansion_ratio: int = 200
    max_depth: int = 512
    max_raw_bytes: int = 2**20
    fetch_concurrency: int = 64
    memory_bytes: int = 2**30


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """The specification of one run of a tenant-day. Times are microseconds since 1970-01-01 UTC; ends are exclusive."""

    tenant: str
    date: str
    zone: str
    naive_zone: str
    start_us: int
    end_us: int
    slack_us: int
    layout: Layout
    table_format: TableFormat
    buckets: int
    run_id: str
    processed_us: int
    # Limit on what each task spills to the temporary disk, bytes; 0: nine tenths of the free space.
    spill_bytes: int = 0
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True)
class ColumnStatistics:
    """Minimum, maximum and null count of one column in one file, as JSON values in Delta's text forms."""

    minimum: str | int | float | bool | None
    maximum: str | int | float | bool | None
    nulls: int


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A Parquet file that no commit references yet; `path` is relative to the table's folder, partition included."""

    path: str
    rows: int
    bytes: int
    statistics: dict[str, ColumnStatistics]
