"""Published days of a tenant whose user ids try to escape from quotes, paths and patterns."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet

from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.ledger import Ledger
from daily_batch.maintenance.erasure import Erasure
from daily_batch.maintenance.subject import Subject
from daily_batch.maintenance.table_files import TenantTables
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.settings import Settings, load_settings
from daily_batch.storage.stores import Storage
from tests.support.day_runs import DAY, silent

# User ids; erasing one of them must not change any other.
HOSTILE = ('o\'brien "x"', "50%_off", "50xoff", "佐藤 花子", "a\\u0062\\d.*", "user_1", "user_10", "user-1")
SECRET = "secret of "


@dataclass
class Clock:
    """A clock that tests set."""

    now: datetime = datetime(2025, 8, 12, 17, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def message(user: str, number: int, **fields: Any) -> dict[str, Any]:
    """Return an export's message, whose content names its user."""
    return {
        "message_id": f"m-{abs(stable_hash(user))}-{number}",
        "room_id": f"room {number % 3} of {user}" if number % 2 else "shared",
        "user_id": user,
        "timestamp": f"2025-08-12T0{number}:00:00Z",
        "role": "user",
        "content": f"{SECRET}{user}",
        "tokens_used": number,
        **fields,
    }


def stable_hash(user: str) -> int:
    """Return a hash that is equal in every process."""
    total: int = sum(ord(character) * 31**position for position, character in enumerate(user))
    return total % 10**9


def write_export(folder: Path, records: list[str | bytes], *, tenant: str = "acme", day: date = DAY) -> Path:
    """Write an export of one file with one record per line; return the input folder."""
    path = folder / f"{tenant}/exports/messages/{day:%Y/%m/%d}/part-0.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (line.encode() if isinstance(line, str) else line for line in records)
    path.write_bytes(b"\n".join(lines) + b"\n")
    return folder


def hostile_records(users: tuple[str, ...] = HOSTILE) -> list[str | bytes]:
    """Return four messages of each user, and rejects and repaired records in every spelling."""
    records: list[str | bytes] = []
    for user in users:
        records += [json.dumps(message(user, n), ensure_ascii=n % 2 == 0) for n in range(4)]
        truncated = json.dumps(message(user, 5))[:-1]
        early = json.dumps(message(user, 6, timestamp="2024-01-01T00:00:00Z"), ensure_ascii=False)
        surrogate = json.dumps(message(user, 7, content=f"{SECRET}{user} \ud800"))
        edited = [json.dumps(message(user, 8, content=f"{SECRET}{user} {n}")) for n in range(2)]
        invalid = b'{"user_id": ' + json.dumps(user).encode() + b', "role": "\xff"}'
        records += [truncated, early, surrogate, *edited, invalid]
    return records


def write_objects(folder: Path, users: tuple[str, ...], *, tenant: str = "acme") -> Path:
    """Write message objects; some name another user in their body, some are truncated JSON."""
    for number, user in enumerate(users):
        for n in range(3):
            room = f"room{n}"
            day_folder = folder / f"{tenant}/chat/{user}/{room}/messages/2025/08/12"
            day_folder.mkdir(parents=True, exist_ok=True)
            body = {"message_id": f"m{number}-{n}", "role": "user", "content": f"{SECRET}{user}"}
            body |= {"user_id": users[number - 1]} if n == 2 else {}
            text = json.dumps(body) if n else '{"content": "' + SECRET + user
            (day_folder / f"0{n}-00-00.000Z-m{number}-{n}.json").write_text(text)
    return folder


@dataclass
class Tenant:
    """A tenant's tables and ledger, and the operations on them in this process."""

    output: Path
    name: str = "acme"
    table_format: str = "delta"
    clock: Clock | None = None

    def __post_init__(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        self.clock = self.clock or Clock()
        self.ledger = Ledger(store=SqliteStore(self.output.parent / f"{self.output.name}.sqlite"), clock=self.clock)

    @property
    def root(self) -> Path:
        return self.output / self.name / "analytics"

    def settings(self, **more: object) -> Settings:
        return load_settings(flags={"table_format": self.table_format, "runner": "local", **more}, environ={})

    def request(self, source: Path, day: date = DAY) -> Request:
        return Request(
            tenant=self.name,
            day=day,
            input=parse_url(str(source)),
            output=parse_url(str(self.output)),
            table_format=self.table_format,  # type: ignore[arg-type]
        )

    def dispatch(self, **settings: object) -> Dispatch:
        return Dispatch(
            settings=self.settings(**settings), ledger=self.ledger, local=LocalRunner, spark=lambda: LocalRunner()
        )

    def run(self, source: Path, day: date = DAY, **settings: object) -> None:
        self.dispatch(**settings).run(self.request(source, day), progress=silent)

    @property
    def tables(self) -> TenantTables:
        url = parse_url(str(self.output))
        return TenantTables(tenant=self.name, storage=Storage(input=url, output=url))

    def erasure(self, kind: str, *ids: str, mentions: bool = False, **parts: Any) -> Erasure:
        arguments: dict[str, Any] = {
            "subject": Subject(self.name, kind, frozenset(ids), mentions=mentions),  # type: ignore[arg-type]
            "request": self.request(self.output),
            "settings": self.settings(),
            "tables": self.tables,
            "ledger": self.ledger,
            "owner": "elsewhere:1:1",
            "by": "tests",
            "progress": silent,
        }
        return Erasure(**(arguments | parts))

    def erase(self, kind: str, *ids: str, **parts: Any) -> Any:
        return self.erasure(kind, *ids, **parts).run()


Publish = Callable[..., Tenant]


def file_contents(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each file's path and complete content as text: raw, decompressed, decoded and unescaped."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        raw = path.read_bytes()
        texts = [str(path.relative_to(folder)), raw.decode("utf-8", "replace")]
        if path.suffix == ".parquet":
            file = pyarrow.parquet.ParquetFile(path)
            rows = [row for group in range(file.num_row_groups) for row in file.read_row_group(group).to_pylist()]
            texts.append("\n".join(_flatten(rows)))
            texts.append(str(file.metadata.to_dict()))
        if raw[:2] == b"\x1f\x8b":
            texts.append(gzip.decompress(raw).decode("utf-8", "replace"))
        text = "\n".join(texts)
        unescaped = _unescape(text)
        yield str(path.relative_to(folder)), "\n".join((text, unescaped, _unescape(unescaped)))


def _flatten(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield str(name)
            yield from _flatten(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _flatten(inner)
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
        yield value.decode("utf-16-le", "replace")
    else:
        yield str(value)


def _unescape(text: str) -> str:
    def replacement(match: re.Match[str]) -> str:
        return chr(int(match[1], 16)) if match[1] else match[2]

    unescaped = re.sub(r'\\(?:u([0-9a-fA-F]{4})|(["\\/]))', replacement, text)
    return unescaped.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def files_containing(folder: Path, user: str) -> list[str]:
    """Return the files that contain the id as a whole word."""
    word = re.compile(rf"(?<![0-9A-Za-z_-]){re.escape(user)}(?![0-9A-Za-z_-])")
    return [path for path, text in file_contents(folder) if word.search(text)]
