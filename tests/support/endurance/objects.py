"""Write the objects of a month's days, with valid, duplicate and broken records, and count what a run must report."""

import gzip
import json
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from daily_batch.domain.keys import EXPORT_TEMPLATE, export_folder
from tests.support.endurance.month import TenantDay

BROKEN_NAME = "cut.jsonl.gz"
FILES = 2
DUPLICATE_RATE, INVALID_RATE, EMPTY_RATE = 0.03, 0.004, 0.01


@dataclass(frozen=True, kw_only=True)
class WrittenDay:
    """The written objects of a tenant's day, by key: those in its first night, and those in the next night.

    `records` has the counts of the receipt after all objects of `next_night` are read.
    """

    records: dict[str, int]
    first_night: dict[str, bytes]
    next_night: dict[str, bytes]

    @property
    def unreadable(self) -> int:
        """Number of objects that stay unreadable."""
        return sum(key.endswith(BROKEN_NAME) for key in self.next_night)


def create_day(day: TenantDay, *, zone: str, seed: int) -> WrittenDay:
    """Create the objects of the day's export, with the day's fault."""
    random = Random(seed)
    lines, records = _create_lines(day, zone, random)
    folder = export_folder(EXPORT_TEMPLATE, day.tenant, day.day)
    files = {f"{folder}part-{part}.jsonl.gz": _pack(lines[part::FILES]) for part in range(FILES)}
    broken = {f"{folder}{BROKEN_NAME}": _pack([b'{"message_id": "cut", "content": "never seen"}'] * 50)[:-12]}
    match day.fault:
        case "late":
            return WrittenDay(records=records, first_night=dict(list(files.items())[:-1]), next_night=files)
        case "poisoned":
            return WrittenDay(records=records, first_night=files | broken, next_night=files | broken)
        case "refused":
            return WrittenDay(records=records, first_night=files | broken, next_night=files)
        case _:
            return WrittenDay(records=records, first_night=files, next_night=files)


def _create_lines(day: TenantDay, zone: str, random: Random) -> tuple[list[bytes], dict[str, int]]:
    """Return lines in random order and their expected counts."""
    midnight = datetime.combine(day.day, time(), tzinfo=ZoneInfo(zone))
    messages = [_create_message(day, number, midnight, random) for number in range(day.messages)]
    duplicates = [line for line in messages if random.random() < DUPLICATE_RATE]
    invalid = [b'{"message_id": "cut' for _ in messages if random.random() < INVALID_RATE]
    empty = [b"{}" for _ in messages if random.random() < EMPTY_RATE]
    lines = messages + duplicates + invalid + empty
    random.shuffle(lines)
    counts = {"written": len(messages), "duplicates": len(duplicates), "rejected": len(invalid), "empty": len(empty)}
    return lines, {"seen": len(lines), "superseded": 0, "other_day": 0, "erased": 0, **counts}


def _create_message(day: TenantDay, number: int, midnight: datetime, random: Random) -> bytes:
    sent = midnight + timedelta(seconds=random.randrange(86_400))
    record = {
        "message_id": f"{day.day:%Y%m%d}-{number}",
        "room_id": f"room-{random.randrange(5)}",
        "user_id": f"user-{random.randrange(9)}",
        "timestamp": sent.isoformat(),
        "role": random.choice(("user", "assistant")),
        # As compressible as real text, because the volume of a day is predicted from its compressed size.
        "content": f"{number} 番目のメッセージ {random.getrandbits(512):x}",
    }
    return json.dumps(record, ensure_ascii=False).encode()


def _pack(lines: list[bytes]) -> bytes:
    return gzip.compress(b"\n".join(lines) + b"\n", mtime=0)
