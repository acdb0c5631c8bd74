"""Days of objects, each reproducible from a seed and a number."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from daily_batch.pipeline.transform import fast_parser
from tests.oracle.day import Stored
from tests.properties.fuzz.containers import encode_object
from tests.properties.fuzz.documents import make_document, make_record
from tests.properties.fuzz.records import RecordMaker
from tests.support.adversarial_day import EXPORT

MARKERS = ["_SUCCESS", "_committed_1", ".part.crc", "._part", ".DS_Store", "_temporary/0/part", "Thumbs.db", ".keep"]
FOLDERS = ["2025/08/11", "2025/08/12", "2025/08/12", "2025/08/12", "2025/08/12", "2025/08/13"]
TIMES = [
    *("14-50-00.000Z", "14-44-59.999Z", "14-45-00Z", "15-00-00Z", "14-59-59.999999Z", "15-14-59.999Z", "15-15-00.000Z"),
    *("01-02-03.500Z", "01-02-03.500Z", "05-00-00.000Z", "25-00-00Z", "23-59-60Z", "00-00-00Z", "x"),
]  # fmt: skip
ENDINGS = [".json", ".json", ".json", ".json", ".txt", "", ".JSON"]
# Simulates that DuckDB refuses a text of each batch; no text is known that msgspec accepts and DuckDB refuses.
REFUSED_QUERY = f"{fast_parser.QUERY} WHERE error('refused') IS NULL"
SMALL_OBJECTS = (1, 3, 10, 40, 100, 300)


@dataclass(frozen=True, kw_only=True)
class FuzzDay:
    """Objects below the input root and the settings of a run; `records` is the number that the mutator wrote."""

    seed: int
    number: int
    layout: str
    records: int
    objects: dict[str, Stored]
    settings: dict[str, Any] = field(default_factory=dict)
    # Constants of the kernel: where text is split, and whether DuckDB refuses a batch. They must not change the result.
    constants: dict[str, Any] = field(default_factory=dict)


def make_day(seed: int, number: int, layout: str, records: int) -> FuzzDay:
    """Return the day of a seed and a number; equal arguments give equal days."""
    rng = Random(f"{seed}/{number}/{layout}")
    make = _export if layout == "export" else _messages
    return FuzzDay(
        seed=seed,
        number=number,
        layout=layout,
        records=records,
        objects=make(rng, records),
        settings=_settings(rng),
        constants=_constants(rng),
    )


def _settings(rng: Random) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    if rng.random() < 0.25:
        chosen["max_record_bytes"] = rng.choice((40, 200, 300, 1000))
    if rng.random() < 0.25:
        chosen["max_depth"] = rng.choice((1, 2, 3, 5, 100))
    if rng.random() < 0.2:
        chosen["max_raw_bytes"] = rng.choice((0, 1, 30, 200))
    if rng.random() < 0.3:
        chosen["naive_timezone"] = rng.choice(("Asia/Tokyo", "America/New_York", "Australia/Lord_Howe"))
    return chosen


def _constants(rng: Random) -> dict[str, Any]:
    chosen: dict[str, Any] = {"fast_parser.QUERY": REFUSED_QUERY} if rng.random() < 0.1 else {}
    if rng.random() < 0.5:
        return chosen
    return chosen | {
        "map_chunk.BATCH_BYTES": rng.choice((8_000, 30_000, 2**26)),
        "general_path.MAX_PENDING_RECORDS": rng.choice((50, 20_000)),
        "window.MAX_READ_BYTES": rng.choice((4, 7, 64, 2**16)),
        "broken_values.SCAN_BYTES": (scan_bytes := rng.choice((4, 9, 64, 2**15))),
        "cursor.SCAN_BYTES": scan_bytes,
    }


def _export(rng: Random, records: int) -> dict[str, Stored]:
    maker, objects, remaining = RecordMaker(rng), {}, records
    while remaining > 0 or not objects:
        count = min(remaining, rng.choice(SMALL_OBJECTS))
        body, ending = encode_object(rng, make_document(rng, maker, count))
        name = f"part-{len(objects):04}" + rng.choice((".jsonl", ".json", "")) + ending
        if rng.random() < 0.05:
            name = rng.choice(("sub/", "sub/_x/", ".hidden/")) + name
        objects[f"{EXPORT}/{name}"] = Stored(body, rng.randrange(1, 4))
        remaining -= count
        if rng.random() < 0.03:
            objects[f"{EXPORT}/{rng.choice(MARKERS)}"] = Stored(body[:99], 1)
    return objects


def _messages(rng: Random, records: int) -> dict[str, Stored]:
    maker, objects = RecordMaker(rng), {}
    for number in range(records):
        user, room, name = (
            f"u{rng.randrange(4)}",
            f"r{rng.randrange(4)}",
            f"m{rng.choice((number, number, rng.randrange(9)))}",
        )
        known = {"message_id": f'"{name}"', "user_id": f'"{user}"', "room_id": f'"{room}"'}
        if rng.random() < 0.9:
            text = make_record(rng, maker, **known).encode("utf-8", "surrogatepass") + rng.choice(
                (b"", b"", b"\n", b" ")
            )
        else:
            text = make_document(rng, maker, rng.choice((0, 1, 2, 4)))
        body, ending = encode_object(rng, text)
        folder, time = (
            ("2025/08/12", "01-02-03.500Z") if rng.random() < 0.6 else (rng.choice(FOLDERS), rng.choice(TIMES))
        )
        file = f"{time}-{name}" + (".json" if rng.random() < 0.9 else rng.choice(ENDINGS)) + ending
        if rng.random() < 0.01:
            file = rng.choice(MARKERS).split("/")[0]
        objects[f"acme/chat/{user}/{room}/messages/{folder}/{file}"] = Stored(body, rng.randrange(1, 4))
    return objects
