"""Writing a generated day: objects of single messages, or the files of an export, and the truth beside them."""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO, Literal

import zstandard
from isal import igzip

from daily_batch.errors import Misuse
from daily_batch.paths import EXPORT_TEMPLATE, check_tenant, export_folder
from daily_batch.plan import Layout
from daily_batch.sample.arrivals import Arrival, make_block
from daily_batch.sample.day import BLOCK_MESSAGES, Day, DaySpec, plan_day
from daily_batch.sample.rates import FaultRates
from daily_batch.sample.tally import Tally, Truth

Compression = Literal["gzip", "zstd", "none", "mixed"]
SUFFIXES = {"none": ".jsonl", "gzip": ".jsonl.gz", "zstd": ".jsonl.zst"}
FILE_MESSAGES = 100_000  # of an export whose number of files was not given
SAMPLE_DAY = date(2025, 8, 12)
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
) -> Truth:
    """Write a day of `messages` distinct messages under `out`, and its truth to `{out}/{tenant}-truth.json`.

    The same arguments write the same bytes, however many processes (`workers`) do it. What else the rates ask for
    (duplicates, empty records, objects of other days) comes on top of `messages`. `files` (0: by size) and
    `compression` are those of an export.

    Raises:
        Misuse: the tenant, the zone or a number is out of bounds, or the tenant's folder exists already.
    """
    if messages < 0 or files < 0 or workers < 1:
        raise Misuse("a negative number, or no worker", next_step="give --messages from 0 and --workers from 1")
    if (out / check_tenant(tenant)).exists():
        raise Misuse(f"{out / tenant} exists", next_step="give an empty folder", tenant=tenant, day=str(day))
    spec = partial(DaySpec, messages=messages, layout=layout, seed=seed, tenant=tenant, day=day, zone=zone, rates=rates)
    if layout == "messages":
        whole = spec(blocks=_ceil(messages, BLOCK_MESSAGES))
        tally = _run([partial(_write_objects, whole, block, out) for block in range(whole.blocks)], workers)
    else:
        count = files or _ceil(messages, FILE_MESSAGES)
        cut = min(count - 1, int(count * rates.unreadable + 0.5))
        per_file = _ceil(_ceil(messages, count - cut), BLOCK_MESSAGES)
        whole = spec(blocks=per_file * (count - cut))
        folder = out / export_folder(EXPORT_TEMPLATE, tenant, day)
        folder.mkdir(parents=True)
        parts = [Part(number, range(number * per_file, (number + 1) * per_file)) for number in range(count - cut)]
        broken = [Part(count - cut + number, parts[number % len(parts)].blocks, cut=True) for number in range(cut)]
        tally = _run([partial(_write_part, whole, part, folder, compression) for part in parts + broken], workers)
    truth = tally.truth()
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{tenant}-truth.json").write_text(json.dumps(truth._asdict(), indent=2) + "\n")
    return truth


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
    """Keys and bytes of the messages layout, as `generate` would write them; `tally` takes the counts in.

    `tally.truth()` is the whole truth once the iterator is exhausted.
    """
    spec = DaySpec(
        messages=messages,
        layout="messages",
        seed=seed,
        tenant=check_tenant(tenant),
        day=day,
        zone=zone,
        rates=rates,
        blocks=_ceil(messages, BLOCK_MESSAGES),
    )
    for block in range(spec.blocks):
        arrivals, counted = _block(spec, block, range(block, block + 1))
        tally.add(counted)
        for arrival in arrivals:
            yield arrival.key.decode(), arrival.record


@dataclass(frozen=True)
class Part:
    """One file of an export: its number and blocks, and whether its writer died halfway through."""

    number: int
    blocks: range
    cut: bool = False


def _ceil(amount: int, size: int) -> int:
    return max(1, -(-amount // size))


@lru_cache(maxsize=1)
def _day(spec: DaySpec) -> Day:
    return plan_day(spec)


@lru_cache(maxsize=1)
def _rooms(spec: DaySpec, blocks: range) -> list[int]:
    return _day(spec).rooms_of(blocks[0], blocks[-1])


def _block(spec: DaySpec, block: int, blocks: range) -> tuple[list[Arrival], Tally]:
    return make_block(_day(spec), block, _rooms(spec, blocks))


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


def _write_objects(spec: DaySpec, block: int, out: Path) -> Tally:
    arrivals, tally = _block(spec, block, range(block, block + 1))
    made: set[str] = set()
    for arrival in arrivals:
        folder, _, name = arrival.key.decode().rpartition("/")
        if folder not in made:
            (out / folder).mkdir(parents=True, exist_ok=True)
            made.add(folder)
        with open(f"{out}/{folder}/{name}", "wb", buffering=0) as file:  # noqa: PTH123  (Path.open costs twice this)
            file.write(arrival.record)
    return tally


def _write_part(spec: DaySpec, part: Part, folder: Path, compression: Compression) -> Tally:
    kind = ("none", "gzip", "zstd")[part.number % 3] if compression == "mixed" else compression
    kind = "gzip" if part.cut else kind
    path = folder / f"part-{part.number:05d}{SUFFIXES[kind]}"
    tally = Tally()
    with path.open("wb") as file, _compress(file, kind) as stream:
        for block in part.blocks:
            arrivals, counted = _block(spec, block, part.blocks)
            tally.add(counted)
            stream.write(b"".join([arrival[2] + b"\n" for arrival in arrivals]))
    if part.cut:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        tally = Tally()
        tally.objects["unreadable"] = 1
    tally.objects["listed"] = 1
    return tally


def _compress(file: BinaryIO, kind: str) -> BinaryIO:
    """A stream that compresses into the file and leaves it open; the same bytes whenever it runs."""
    if kind == "gzip":
        return igzip.IGzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0)  # type: ignore[return-value]  # typed as IOBase
    if kind == "zstd":
        return zstandard.ZstdCompressor(level=1).stream_writer(file, closefd=False)  # type: ignore[return-value]  # a RawIOBase in all but name
    return open(file.fileno(), "wb", closefd=False)  # noqa: PTH123
