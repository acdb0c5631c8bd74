"""Write an exported day of many small rooms and one huge room, with one record in memory at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

from isal import igzip

START = datetime(2025, 8, 11, 15, tzinfo=UTC)  # the business day 2025-08-12 in Tokyo
DAY_MS = 86_400_000
FOLDER = "acme/exports/messages/2025/08/12"
HUGE_ROOM = "room_huge"
ROOMS_PER_USER = 10
# Of all messages, one in so many is exported twice, and one in so many a second time with another text.
TWICE_EVERY, CHANGED_EVERY = 50, 500
# Slices of a random text: like messages, it compresses to a third, and no two of a file's messages are equal.
TEXT = "".join(
    Random(1).choices("".join(map(chr, range(0x3042, 0x3094))) + "売上集計会議資料確認計画来月明日", k=2**18)
)
MAX_TEXT = 400


@dataclass(frozen=True, kw_only=True)
class SkewedDay:
    """The size of the day: `messages` in all, `huge` of them in one room, the others evenly in `rooms` rooms."""

    messages: int
    huge: int
    rooms: int
    files: int = 32

    def expected(self) -> dict[str, int]:
        """Return what a run must count, by arithmetic."""
        sizes = [len(range(room, self._small, self.rooms)) for room in range(self.rooms)] + [self.huge]
        return {
            "written": self.messages,
            "duplicates": len(range(0, self._small, TWICE_EVERY)) + len(range(0, self.huge, TWICE_EVERY)),
            "superseded": len(range(1, self._small, CHANGED_EVERY)) + len(range(1, self.huge, CHANGED_EVERY)),
            "turns": sum((size + 1) // 2 for size in sizes),  # the user's messages have even numbers
            "rooms_daily": sum(size > 0 for size in sizes),
        }

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield every record with the number of its file; copies are in another file."""
        for number, record in chain(self._small_rooms(), self._huge_room()):
            yield number % self.files, record
            if number % TWICE_EVERY == 0:
                yield (number + 1) % self.files, record
            if number % CHANGED_EVERY == 1:
                yield (number + 1) % self.files, {**record, "content": record["content"] + "!"}

    @property
    def _small(self) -> int:
        return self.messages - self.huge

    def _small_rooms(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number in range(self._small):
            room, turn = number % self.rooms, number // self.rooms
            user = f"user_{room // ROOMS_PER_USER:06d}"
            yield number, _record(f"room_{room:06d}", user, turn, number * DAY_MS // self._small)

    def _huge_room(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for turn in range(self.huge):
            yield turn, _record(HUGE_ROOM, "user_huge", turn, turn * DAY_MS // self.huge)


def _record(room: str, user: str, turn: int, ms: int) -> dict[str, Any]:
    start, length = (turn * 7_919 + ms * 104_729) % (len(TEXT) - MAX_TEXT), turn * 613 % MAX_TEXT
    sent = (START + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "message_id": f"msg_{room}_{turn:08d}",
        "user_id": user,
        "room_id": room,
        "timestamp": sent,
        "role": "assistant" if turn % 2 else "user",
        "content": f"{turn} {TEXT[start : start + length]}",
    }


def write_day(day: SkewedDay, root: Path) -> Path:
    """Write the day below `root` unless it is there, and return its folder."""
    folder = root / "-".join(map(str, ("skewed", *asdict(day).values())))
    finished = folder / "made"
    if not finished.exists():
        shutil.rmtree(folder, ignore_errors=True)
        exports = folder / "data" / FOLDER
        exports.mkdir(parents=True)
        write_gzip: Any = igzip.open  # untyped
        with ExitStack() as stack:
            files = [
                stack.enter_context(write_gzip(exports / f"part-{number:05d}.jsonl.gz", "wb", compresslevel=1))
                for number in range(day.files)
            ]
            for number, record in day.records():
                files[number].write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        finished.touch()
    return folder / "data"
