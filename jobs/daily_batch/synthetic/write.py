"""Write a generated day, block by block, as objects of single messages or as the files of an export."""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import IO, BinaryIO, cast

from backports import zstd
from isal import igzip

from daily_batch.domain.keys import EXPORT_TEMPLATE, check_tenant, export_folder
from daily_batch.domain.run import Compression, Layout
from daily_batch.errors import UsageError
from daily_batch.synthetic.corruption import apply_corruption
from daily_batch.synthetic.day import Day, count_messages, make_columns, plan_day
from daily_batch.synthetic.duplicates import deliver_twice
from daily_batch.synthetic.expected_counts import ExpectedCounts, Tally
from daily_batch.synthetic.noise import add_bystanders, add_empty_records, cross_midnight
from daily_batch.synthetic.object_keys import Arrival, make_arrivals
from daily_batch.synthetic.rooms import rooms_between, turns_between
from daily_batch.synthetic.schema_drift import apply_drift
from daily_batch.synthetic.spec import BLOCK_MESSAGES, DaySpec, FaultRates

FILE_MESSAGES = 100_000  # per file of an export, where no number of files is given
SAMPLE_DAY = date(2025, 8, 12)
SUFFIXES = {"none": ".jsonl", "gzip": ".jsonl.gz", "zstd": ".jsonl.zst"}
_DEFAULT_RATES = FaultRates()


def generate(
    *,
    messages: int,
    layout: Layout,
    seed: int,
    out: Path,
    tenant: str = "acme",
    day: date = SAMPLE_DAY,
    zone: str = "Asia/Tokyo",
    rates: FaultRates = _DEFAULT_RATES,
    files: int = 0,
    compression: Compression = "gzip",
    workers: int = 1,
) -> ExpectedCounts:
    """Write a day below `out`, and its expected counts to `{out}/{tenant}-truth.json`.

    The same arguments write the same bytes, for any number of processes (`workers`). With several workers, a
    script must guard its entry point (`if __name__ == "__main__"`).

    Args:
        messages: distinct messages. Other records of the rates (duplicates, empty records, objects of other days)
            are in addition.
        files: files of an export; 0 derives them from its size.
        compression: of an export's files; `mixed` takes each in turn.

    Raises:
        UsageError: the tenant, the zone or a number is out of bounds, or the tenant's folder exists.
    """
    if messages < 0 or files < 0 or workers < 1:
        raise UsageError("a negative number, or no worker", next_step="give --messages from 0 and --workers from 1")
    if (out / check_tenant(tenant)).exists():
        raise UsageError(f"{out / tenant} exists", next_step="give an empty folder", tenant=tenant, day=str(day))
    spec = partial(DaySpec, messages=messages, layout=layout, seed=seed, tenant=tenant, day=day, zone=zone, rates=rates)
    if layout == "messages":
        whole = spec(blocks=_divide_up(messages, BLOCK_MESSAGES))
        tally = _run([partial(write_objects, whole, block, out) for block in range(whole.blocks)], workers)
    else:
        count = files or _divide_up(messages, FILE_MESSAGES)
        truncated = min(count - 1, int(count * rates.unreadable + 0.5))
        readable = count - truncated
        per_file = _divide_up(_divide_up(messages, readable), BLOCK_MESSAGES)
        whole = spec(blocks=per_file * readable)
        folder = out / export_folder(EXPORT_TEMPLATE, tenant, day)
        folder.mkdir(parents=True)
        parts = [ExportFile(number, range(number * per_file, (number + 1) * per_file)) for number in range(readable)]
        parts += [
            ExportFile(readable + number, parts[number % readable].blocks, truncated=True)
            for number in range(truncated)
        ]
        tally = _run([partial(write_export_file, whole, part, folder, compression) for part in parts], workers)
    expected = tally.expected_counts()
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{tenant}-truth.json").write_text(json.dumps(expected._asdict(), indent=2) + "\n")
    return expected


def iterate_objects(
    *,
    messages: int,
    seed: int,
    tally: Tally,
    tenant: str = "acme",
    day: date = SAMPLE_DAY,
    zone: str = "Asia/Tokyo",
    rates: FaultRates = _DEFAULT_RATES,
) -> Iterator[tuple[str, bytes]]:
    """Yield the keys and bytes of the messages layout as `generate` would write them, and count them in `tally`.

    `tally.expected_counts()` is complete once the iterator is exhausted.
    """
    spec = DaySpec(
        messages=messages,
        layout="messages",
        seed=seed,
        tenant=check_tenant(tenant),
        day=day,
        zone=zone,
        rates=rates,
        blocks=_divide_up(messages, BLOCK_MESSAGES),
    )
    for block in range(spec.blocks):
        arrivals, counted = _cached_block(spec, block, range(block, block + 1))
        tally.add(counted)
        for _, key, record in arrivals:
            yield key.decode(), record


def write_objects(spec: DaySpec, block: int, out: Path) -> Tally:
    """Write a block of the messages layout, one object per file."""
    arrivals, tally = _cached_block(spec, block, range(block, block + 1))
    made: set[str] = set()
    for _, key, record in arrivals:
        folder, _, name = key.decode().rpartition("/")
        if folder not in made:
            (out / folder).mkdir(parents=True, exist_ok=True)
            made.add(folder)
        with open(f"{out}/{folder}/{name}", "wb", buffering=0) as file:  # noqa: PTH123  (Path.open costs twice this)
            file.write(record)
    return tally


@dataclass(frozen=True)
class ExportFile:
    """One file of an export: its number and blocks, and whether it is truncated, as by a writer that crashed."""

    number: int
    blocks: range
    truncated: bool = False


def write_export_file(spec: DaySpec, part: ExportFile, folder: Path, compression: Compression) -> Tally:
    """Write one file of an export; no record of a truncated file counts."""
    kind = ("none", "gzip", "zstd")[part.number % 3] if compression == "mixed" else compression
    kind = "gzip" if part.truncated else kind
    path = folder / f"part-{part.number:05d}{SUFFIXES[kind]}"
    tally, size = Tally(), 0
    with path.open("wb") as file, _compress(file, kind) as stream:
        for block in part.blocks:
            arrivals, counted = _cached_block(spec, block, part.blocks)
            tally.add(counted)
            lines = b"".join([record + b"\n" for _, _, record in arrivals])
            stream.write(lines)
            size += len(lines)
    if size == 0:  # an exporter writes no file for a slice of the day without messages
        path.unlink()
        return tally
    if part.truncated:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        tally = Tally()
        tally.objects["unreadable"] = 1
    tally.objects["listed"] = 1
    return tally


def make_block(day: Day, block: int, candidates: Sequence[int]) -> tuple[list[Arrival], Tally]:
    """Return the block's records in order of arrival, and their counts.

    Args:
        candidates: rooms that include all those of the block.
    """
    begin, end = day.edges[block], day.edges[block + 1]
    rng = day.spec.random("talk", block)
    active = rooms_between(day.rooms, candidates, begin, end)
    columns = make_columns(turns_between(day.rooms, active, begin, end), rng, day)
    apply_drift(columns, rng, day.spec.rates)
    apply_corruption(columns, rng, day.spec.rates)
    tally = count_messages(columns)
    arrivals = make_arrivals(day, columns)
    if day.rooms.sizes:
        arrivals += deliver_twice(day, block, tally) + add_empty_records(day, block, tally)
        if day.spec.layout == "messages":
            arrivals += cross_midnight(day, block, tally)
    if day.spec.layout == "messages":
        tally.objects["listed"] += len(arrivals)
        arrivals += add_bystanders(day, block)
    arrivals.sort(key=_arrival_time)  # cheap, as most runs are sorted
    return arrivals, tally


def _arrival_time(arrival: Arrival) -> int:
    return arrival[0]


@lru_cache(maxsize=1)
def _cached_day(spec: DaySpec) -> Day:
    return plan_day(spec)


@lru_cache(maxsize=1)
def _cached_rooms(spec: DaySpec, blocks: range) -> list[int]:
    return _cached_day(spec).active_rooms(blocks[0], blocks[-1])


def _cached_block(spec: DaySpec, block: int, blocks: range) -> tuple[list[Arrival], Tally]:
    """Return the block and its counts; `blocks` are those that the same process goes on with."""
    return make_block(_cached_day(spec), block, _cached_rooms(spec, blocks))


def _compress(file: BinaryIO, kind: str) -> AbstractContextManager[IO[bytes]]:
    """Return a stream that compresses into the file and leaves it open; its bytes do not depend on the time."""
    if kind == "gzip":
        stream = igzip.IGzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0)  # type: ignore[no-untyped-call]  # isal leaves it so
        return cast("IO[bytes]", stream)
    if kind == "zstd":
        return cast("AbstractContextManager[IO[bytes]]", zstd.ZstdFile(file, mode="wb", level=1))
    return nullcontext(file)


def _divide_up(amount: int, size: int) -> int:
    return max(1, -(-amount // size))


def _run(tasks: Iterable["partial[Tally]"], workers: int) -> Tally:
    total = Tally()
    if workers == 1:
        for task in tasks:
            total.add(task())
        return total
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for tally in pool.map(_call, tasks):
            total.add(tally)
    return total


def _call(task: "partial[Tally]") -> Tally:
    return task()
