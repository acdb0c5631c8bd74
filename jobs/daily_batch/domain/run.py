"""The specification and the output files of a run: plain values, safe to pickle, which driver and tasks exchange."""

from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

from daily_batch.domain.erased import ErasedIds
from daily_batch.domain.setting import Setting

Layout = Literal["messages", "export"]
InputLayout = Literal["auto", "messages", "export"]
TableFormat = Literal["delta", "parquet"]
Discovery = Literal["listing", "metadata"]
RunnerChoice = Literal["auto", "local", "spark"]
Compression = Literal["gzip", "zstd", "none", "mixed"]  # of a generated day's export files


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
    """Limits on input and memory."""

    max_record_bytes: Annotated[
        int, Setting("Longest record, bytes. A longer one is rejected (`record_too_large`).", job=True, ge=1)
    ] = 16 * 2**20
    max_object_bytes: Annotated[
        int,
        Setting(
            "Largest decompressed object, bytes. A larger one is unreadable (`decompression_bomb`).", job=True, ge=1
        ),
    ] = 64 * 2**30
    max_expansion_ratio: Annotated[
        int,
        Setting("Largest ratio of decompressed to stored size, from 16 MiB on (`decompression_bomb`).", job=True, ge=1),
    ] = 200
    max_depth: Annotated[
        int, Setting("Deepest nesting of objects and arrays; deeper is rejected (`too_deep`).", job=True, ge=1)
    ] = 512
    max_raw_bytes: Annotated[
        int, Setting("Original bytes kept with a reject; `raw_truncated` says that there were more.", job=True, ge=0)
    ] = 2**20
    fetch_concurrency: Annotated[int, Setting("Objects fetched at once.", job=True, ge=1)] = 128
    memory_bytes: Annotated[int, Setting("Memory of one task, bytes.", job=True, ge=1)] = 2**30


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
    # Number of parts in which the day's aggregates are merged; more than 1 only for a large day on Spark.
    merges: int = 1
    # Limit on what each task spills to the temporary disk, bytes; 0: nine tenths of the free space.
    spill_bytes: int = 0
    limits: Limits = field(default_factory=Limits)
    erased: ErasedIds = field(default_factory=ErasedIds)


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
