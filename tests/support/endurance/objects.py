"""Write the objects of a month's days, with plain, duplicate and broken messages, and count what a run must report."""

import gzip
import json
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from daily_batch.domain.keys import EXPORT_TEMPLATE, export_folder
from tests.support.endurance.month import TenantDay

BROKEN = "cut.jsonl.gz"
FILES = 2
TWICE, NO_JSON, EMPTY = 0.03, 0.004, 0.01


@dataclass(frozen=True, kw_only=True)
class Written:
    """A tenant's day. `now` has its objects by key in its own night, `next_day` those in the following night.

    `records` is what a receipt must say once all of `next_day` is read.
    """

    records: dict[str, int]
    now: dict[str, bytes]
    next_day: dict[str, bytes]

    @property
    def unreadable(self) -> int:
        """The number of objects that stay unreadable."""
        return sum(key.endswith(BROKEN) for key in self.next_day)


def write_day(day: TenantDay, *, zone: str, seed: int) -> Written:
    """Write the day's export with its fault."""
    random = Random(seed)
    lines, records = _write_lines(day, zone, random)
    where = export_folder(EXPORT_TEMPLATE, day.tenant, day.day)
    files = {f"{where}part-{part}.jsonl.gz": _pack(lines[part::FILES]) for part in range(FILES)}
    broken = {f"{where}{BROKEN}": _pack([b'{"message_id": "cut", "content": "never seen"}'] * 50)[:-12]}
    match day.trouble:
        case "late":
            return Written(records=records, now=dict(list(files.items())[:-1]), next_day=files)
        case "poisoned":
            return Written(records=records, now=files | broken, next_day=files | broken)
        case "refused":
            return Written(records=records, now=files | broken, next_day=files)
        case _:
            return Written(records=records, now=files, next_day=files)


def _write_lines(day: TenantDay, zone: str, random: Random) -> tuple[list[bytes], dict[str, int]]:
    """Return lines in random order and their expected counts."""
    midnight = datetime.combine(day.day, time(), tzinfo=ZoneInfo(zone))
    messages = [_write_message(day, number, midnight, random) for number in range(day.messages)]
    twice = [line for line in messages if random.random() < TWICE]
    broken = [b'{"message_id": "cut' for _ in messages if random.random() < NO_JSON]
    empty = [b"{}" for _ in messages if random.random() < EMPTY]
    lines = messages + twice + broken + empty
    random.shuffle(lines)
    counts = {"written": len(messages), "duplicates": len(twice), "rejected": len(broken), "empty": len(empty)}
    return lines, {"seen": len(lines), "superseded": 0, "other_day": 0, **counts}


def _write_message(day: TenantDay, number: int, midnight: datetime, random: Random) -> bytes:
    sent = midnight + timedelta(seconds=random.randrange(86_400))
    record = {
        "message_id": f"{day.day:%Y%m%d}-{number}",
        "room_id": f"room-{random.randrange(5)}",
        "user_id": f"user-{random.randrange(9)}",
        "timestamp": sent.isoformat(),
        "role": random.choice(("user", "assistant")),
        # As compressible as real text, because a day's volume is predicted from compressed size.
        "content": f"{number} 番目のメッセージ {random.getrandbits(512):x}",
    }
    return json.dumps(record, ensure_ascii=False).encode()


def _pack(lines: list[bytes]) -> bytes:
    return gzip.compress(b"\n".join(lines) + b"\n", mtime=0)
