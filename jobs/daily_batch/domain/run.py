"""What the driver hands to the kernel and gets back: plain values, safe to pickle."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Layout = Literal["messages", "export"]
InputLayout = Literal["auto", "messages", "export"]
TableFormat = Literal["delta", "parquet"]
Discovery = Literal["listing", "metadata"]
RunnerChoice = Literal["auto", "local", "spark"]
Compression = Literal["gzip", "zstd", "none", "mixed"]  # of a generated day's export files


class SourceObject(NamedTuple):
    """One object of the manifest.

    `key` is relative to the input root and begins with the tenant; `size` is bytes as stored;
    `modified_us` is the store's last-modified time, microseconds since 1970 UTC. One that cannot be read is listed
    with a `reason` and its `detail`; nothing then asks the store for it.
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
    """One tenant-day as the kernel sees it. Times are microseconds since 1970 UTC, ends are exclusive."""

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
    # What each task may spill to the temporary disk, in bytes; 0: nine tenths of what is free.
    spill_bytes: int = 0
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True)
class ColumnStatistics:
    """Bounds of one column in one file, as JSON values in Delta's text forms; None where there is none."""

    minimum: str | int | float | bool | None
    maximum: str | int | float | bool | None
    nulls: int


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One Parquet file that no commit names yet; `path` is relative to the table's folder, with the partition's."""

    path: str
    rows: int
    bytes: int
    statistics: dict[str, ColumnStatistics]
