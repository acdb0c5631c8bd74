"""The files of a generated day: each block or part is written by itself, in whatever process."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, BinaryIO, cast

from backports import zstd
from isal import igzip

from daily_batch.domain.run import Compression
from daily_batch.synthetic.block import make_block
from daily_batch.synthetic.day import Day, DaySpec, plan_day
from daily_batch.synthetic.expected_counts import Tally
from daily_batch.synthetic.object_keys import Arrival

SUFFIXES = {"none": ".jsonl", "gzip": ".jsonl.gz", "zstd": ".jsonl.zst"}


@dataclass(frozen=True)
class Part:
    """One file of an export: its number and blocks, and whether its writer died halfway through."""

    number: int
    blocks: range
    cut: bool = False


@lru_cache(maxsize=1)
def _day(spec: DaySpec) -> Day:
    return plan_day(spec)


@lru_cache(maxsize=1)
def _rooms(spec: DaySpec, blocks: range) -> list[int]:
    return _day(spec).rooms_of(blocks[0], blocks[-1])


def cached_block(spec: DaySpec, block: int, blocks: range) -> tuple[list[Arrival], Tally]:
    """The block with its truth; `blocks` are those that the same process goes on with."""
    return make_block(_day(spec), block, _rooms(spec, blocks))


def write_objects(spec: DaySpec, block: int, out: Path) -> Tally:
    """Write a block of the messages layout, an object a file."""
    arrivals, tally = cached_block(spec, block, range(block, block + 1))
    made: set[str] = set()
    for _, key, record in arrivals:
        folder, _, name = key.decode().rpartition("/")
        if folder not in made:
            (out / folder).mkdir(parents=True, exist_ok=True)
            made.add(folder)
        with open(f"{out}/{folder}/{name}", "wb", buffering=0) as file:  # noqa: PTH123  (Path.open costs twice this)
            file.write(record)
    return tally


def write_part(spec: DaySpec, part: Part, folder: Path, compression: Compression) -> Tally:
    """Write one file of an export; of one that was cut short nothing counts."""
    kind = ("none", "gzip", "zstd")[part.number % 3] if compression == "mixed" else compression
    kind = "gzip" if part.cut else kind
    path = folder / f"part-{part.number:05d}{SUFFIXES[kind]}"
    tally, size = Tally(), 0
    with path.open("wb") as file, _compress(file, kind) as stream:
        for block in part.blocks:
            arrivals, counted = cached_block(spec, block, part.blocks)
            tally.add(counted)
            lines = b"".join([record + b"\n" for _, _, record in arrivals])
            stream.write(lines)
            size += len(lines)
    if size == 0:  # a slice of the day without a message: an exporter writes no file for it
        path.unlink()
        return tally
    if part.cut:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        tally = Tally()
        tally.objects["unreadable"] = 1
    tally.objects["listed"] = 1
    return tally


def _compress(file: BinaryIO, kind: str) -> AbstractContextManager[IO[bytes]]:
    """A stream that compresses into the file and leaves it open; the same bytes whenever it runs."""
    if kind == "gzip":
        stream = igzip.IGzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0)  # type: ignore[no-untyped-call]  # isal leaves it so
        return cast("IO[bytes]", stream)
    if kind == "zstd":
        return cast("AbstractContextManager[IO[bytes]]", zstd.ZstdFile(file, mode="wb", level=1))
    return nullcontext(file)
