"""A reference implementation for generated days: plain Python, rule by rule, without the library's parsers."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from backports import zstd

SLACK = timedelta(seconds=900)
Row = dict[str, Any]
NAME = re.compile(r"(\d{4})/(\d\d)/(\d\d)/(\d\d)-(\d\d)-(\d\d)\.(\d{3})Z-(.+)\.json")


class RejectedError(Exception):
    """The reason for a reject."""


@dataclass
class ReferenceCounts:
    """The counts of a tenant's day."""

    listed: int = 0
    unreadable: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    kept: dict[tuple[str, str], tuple[datetime, Row]] = field(default_factory=dict)

    def summary(self) -> dict[str, object]:
        rows = [row for _, row in self.kept.values()]
        return {
            "written": len(rows),
            "rooms": len({row["room"] for row in rows}),
            "users": len({row["user"] for row in rows}),
            "by_role": dict(sorted(Counter(row["role"] for row in rows).items())),
            "by_hour": [Counter(row["hour"] for row in rows)[hour] for hour in range(24)],
            "total_length": sum(len(row["content"] or "") for row in rows),
            "tokens_used": sum(row["tokens"] for row in rows),
            "attachments": sum(row["attachments"] for row in rows),
            "flags": dict(sorted(Counter(flag for row in rows for flag in row["flags"]).items())),
        }


def count_day(root: Path, tenant: str, day: date, zone: str) -> ReferenceCounts:
    """Count a tenant's day in either layout."""
    found = ReferenceCounts()
    rules = ZoneInfo(zone)
    start = datetime(day.year, day.month, day.day, tzinfo=rules).astimezone(UTC)
    after = day + timedelta(days=1)
    window = start, datetime(after.year, after.month, after.day, tzinfo=rules).astimezone(UTC)
    exports = root / tenant / "exports" / "messages" / f"{day:%Y/%m/%d}"
    records = _export_records(exports, found) if exports.exists() else _message_records(root / tenant, window, found)
    for record, path in records:
        try:
            _take(record, path, window, tenant, rules, found)
        except RejectedError as rejected:
            found.outcomes["rejected"] += 1
            found.rejects[str(rejected)] += 1
    return found


def _export_records(folder: Path, found: ReferenceCounts) -> Iterator[tuple[bytes, None]]:
    for file in sorted(folder.iterdir()):
        found.listed += 1
        data = file.read_bytes()
        try:
            if file.suffix == ".gz":
                data = gzip.decompress(data)
            elif file.suffix == ".zst":
                data = zstd.decompress(data)
        except EOFError:
            found.unreadable += 1
            continue
        yield from ((line, None) for line in data.removesuffix(b"\n").split(b"\n"))


def _message_records(
    folder: Path, window: tuple[datetime, datetime], found: ReferenceCounts
) -> Iterator[tuple[bytes, tuple[str, str, str, datetime]]]:
    for file in sorted(folder.glob("chat/*/*/messages/**/*.json")):
        _, user, room, _, *rest = file.relative_to(folder).parts
        named = NAME.fullmatch("/".join(rest))
        assert named, file
        *moment, message_id = named.groups()
        year, month, dom, hour, minute, second, ms = map(int, moment)
        sent = datetime(year, month, dom, hour, minute, second, ms * 1000, tzinfo=UTC)
        if window[0] - SLACK <= sent < window[1] + SLACK:
            found.listed += 1
            yield file.read_bytes(), (user, room, message_id, sent)


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise RejectedError("duplicate_key")
    return dict(pairs)


def _no_constant(name: str) -> object:
    raise RejectedError("invalid_json")


def _parse(record: bytes) -> object:
    try:
        return json.loads(record.decode(), object_pairs_hook=_pairs, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise RejectedError("invalid_utf8") from None
    except json.JSONDecodeError:
        raise RejectedError("invalid_json") from None


def _take(record: bytes, path: Any, window: Any, tenant: str, rules: ZoneInfo, found: ReferenceCounts) -> None:
    body = _parse(record) if record else None
    if body in (None, {}):
        found.outcomes["empty"] += 1
        return
    if not isinstance(body, dict):
        raise RejectedError("not_an_object")
    user, room, named, sent = path or (None, None, None, None)
    flags: set[str] = set()
    message_id = _resolve(body, "message_id", ("id",), named, flags)
    user = _resolve(body, "user_id", (), user, flags)
    room = _resolve(body, "room_id", ("chat_id",), room, flags)
    moment = _moment(body, sent, flags)
    if not window[0] <= moment < window[1]:
        near = sent is not None and min(abs(sent - edge) for edge in window) <= SLACK
        if near and window[0] - timedelta(days=1) <= moment < window[1] + timedelta(days=1):
            found.outcomes["other_day"] += 1
            return
        raise RejectedError("timestamp_outside_window")
    row = _row(body, flags, tenant)
    row |= {"user": user, "room": room, "hour": moment.astimezone(rules).hour, "flags": flags}
    _keep((room, message_id), moment, row, body, found)


def _keep(key, moment, row, body, found: ReferenceCounts) -> None:  # type: ignore[no-untyped-def]
    row["body"] = body
    if key not in found.kept:
        found.kept[key] = moment, row
    elif found.kept[key][1] == row:
        found.outcomes["duplicates"] += 1
    else:
        found.outcomes["superseded"] += 1
        if moment > found.kept[key][0]:
            found.kept[key] = moment, row


def _resolve(body: Row, name: str, aliases: tuple[str, ...], from_path: str | None, flags: set[str]) -> str:
    kind = name.removesuffix("_id")
    value = body.get(name)
    for alias in aliases:
        if value is None and alias in body:
            value = body[alias]
            flags.add(f"{name}_from_alias")
    if isinstance(value, list) or (isinstance(value, str) and not 0 < len(value) <= 512):
        raise RejectedError("invalid_id")
    if isinstance(value, int):
        flags.add("numeric_id")
        value = str(value)
    if value is None and from_path is not None:
        flags.add(f"{name}_from_path")
    elif from_path is not None and value != from_path:
        flags.add(f"{kind}_conflict")
    value = from_path or value
    if value is None:
        raise RejectedError("invalid_id")
    return value


def _moment(body: Row, sent: datetime | None, flags: set[str]) -> datetime:
    value: Any = body.get("timestamp")
    if value is None and sent is not None:
        flags.add("timestamp_from_path")
        return sent
    if isinstance(value, int):
        flags.add("timestamp_format")
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise RejectedError("invalid_timestamp") from None
    if moment.tzinfo is None:
        flags.add("naive_timestamp")
        return moment.replace(tzinfo=UTC)
    return moment


def _row(body: Row, flags: set[str], tenant: str) -> Row:
    role = body["role"].lower()
    sources = body.get("context", {}).get("rag_sources", [])
    doubts = {
        "role_case": role != body["role"],
        "unknown_role": role not in ("user", "assistant", "system"),
        "null_content": body["content"] is None,
        "empty_content": body["content"] == "",
        "tenant_conflict": body.get("tenant_id", tenant) != tenant,
        "aliased_field": "images" in body
        or "crawl_sources" in body
        or "crawl_sources" in body.get("context", {})
        or any("content" in source for source in sources),
    }
    flags.update(flag for flag, doubtful in doubts.items() if doubtful)
    return {
        "role": role,
        "content": body["content"],
        "tokens": body.get("agent_info", {}).get("tokens_used", 0),
        "attachments": len(body.get("attachments", [])),
    }
