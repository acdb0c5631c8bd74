"""A complete day: which objects are read, which rows and rejects they give, and the counts."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from daily_batch.domain.run import Limits
from tests.oracle.fields import RejectedError, read_fields
from tests.oracle.json_text import deep_values
from tests.oracle.listed import Link, follow_links, has_invalid_name, is_ignored
from tests.oracle.paths import Calendar, KeyFields, parse_key
from tests.oracle.records import Record, split
from tests.oracle.stored import UnreadableError, read_object

Row = dict[str, Any]
MESSAGE_KEY_PARTS = 9
PLAIN_NAME = re.compile("[A-Za-z_][A-Za-z_0-9]{,63}")


class Stored(NamedTuple):
    """An object: its bytes and its modification time."""

    body: bytes
    modified: float = 0.0


@dataclass(kw_only=True)
class Expected:
    """What a tenant's run must publish and count.

    Rejects are keyed by (source_key, source_line, reason, raw, raw_truncated).
    """

    tenant: str
    rows: list[Row] = field(default_factory=list)
    rejects: Counter[tuple[str, int, str, bytes, bool]] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)

    @property
    def unknown_fields(self) -> tuple[dict[str, int], int]:
        """Return the rows by field in extras, of the 50 most frequent plain names, and the sum over all others.

        A day of more than 1,000 plain names is out of the oracle's scope.
        """
        names = Counter(name for row in self.rows for name in row["extras"] or ())
        plain = [name for name in names if PLAIN_NAME.fullmatch(name)]
        assert len(plain) <= 1_000
        shown = sorted(plain, key=lambda name: (-names[name], name))[:50]
        return {name: names[name] for name in shown}, sum(names[name] for name in names if name not in shown)


@dataclass(frozen=True)
class _Candidate:
    row: Row
    raw: tuple[bytes, bool]
    order: tuple[Any, ...]

    @property
    def body(self) -> str:
        return repr({name: value for name, value in self.row.items() if name not in ("source_key", "source_line")})


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """One tenant-day and its settings."""

    tenant: str = "acme"
    day: date = date(2025, 8, 12)
    zone: str = "Asia/Tokyo"
    naive_zone: str = "UTC"
    slack_seconds: int = 900
    limits: Limits = field(default_factory=Limits)
    erased_users: frozenset[str] = frozenset()

    @property
    def calendar(self) -> Calendar:
        return Calendar(self.zone, timedelta(seconds=self.slack_seconds))

    @deep_values()
    def expect(self, objects: Mapping[str, Stored | Link], layout: str = "auto") -> Expected:
        """Return what must become of the objects below the input root."""
        present = dict(follow_links(self.tenant, {k: v for k, v in objects.items() if k.startswith(f"{self.tenant}/")}))
        export = {key: item for key, item in present.items() if key.startswith(self.export_folder)}
        messages = {key: item for key, item in present.items() if self._is_read(key)}
        data = [key for key in export if not is_ignored(key, self.export_folder)]
        is_messages = layout == "messages" or (layout == "auto" and not data)
        links = [key for key, item in present.items() if isinstance(item, Link)]
        refused = [key for key in links if is_messages and self._leads_to_messages(key)]
        refused += [key for key in links if layout != "messages" and self.export_folder.startswith(f"{key}/")]
        expected = Expected(tenant=self.tenant)
        candidates = []
        for key, item in (messages if is_messages else export).items():
            if is_ignored(key, None if is_messages else self.export_folder):
                expected.objects["ignored"] += 1
            elif is_messages and key.split("/")[2] in self.erased_users:
                expected.objects["erased"] += 1
            elif isinstance(item, Link):
                refused.append(key)
            else:
                candidates += self._read(key, item, is_messages, expected)
        for key in refused:
            expected.objects["unreadable"] += 1
            expected.rejects[key, 0, "invalid_link", b"", True] += 1
        self._deduplicate(candidates, expected)
        expected.records["seen"] = sum(expected.records.values())
        expected.objects["listed"] = sum(expected.objects.values())
        return expected

    @property
    def export_folder(self) -> str:
        return f"{self.tenant}/exports/messages/{self.day:%Y/%m/%d}/"

    def _is_read(self, key: str) -> bool:
        parts = key.split("/")
        if len(parts) < MESSAGE_KEY_PARTS or parts[:2] != [self.tenant, "chat"] or parts[4] != "messages":
            return False
        return self.calendar.reads(self.day, parse_key(key))

    def _leads_to_messages(self, key: str) -> bool:
        """Return whether the link's key is that of a user, a room, or a folder above a day's objects."""
        parts = key.split("/")
        if parts[1] != "chat" or len(parts) >= MESSAGE_KEY_PARTS or (len(parts) > 4 and parts[4] != "messages"):
            return False
        near_days = [self.day + timedelta(days=days) for days in (-2, -1, 0, 1, 2)]
        read = [f"{day:%Y/%m/%d}" for day in near_days if self.calendar.reads(self.day, KeyFields(folder=day))]
        return any(f"{day}/".startswith("".join(f"{part}/" for part in parts[5:])) for day in read)

    def _read(self, key: str, item: Stored, is_messages: bool, expected: Expected) -> list[_Candidate]:
        if has_invalid_name(key):
            expected.objects["unreadable"] += 1
            expected.rejects[key, 0, "invalid_name", b"", True] += 1
            return []
        try:
            text = read_object(key, item.body, self.limits)
        except UnreadableError as error:
            expected.objects["unreadable"] += 1
            max_bytes = self.limits.max_raw_bytes
            expected.rejects[key, 0, str(error), item.body[:max_bytes], len(item.body) > max_bytes] += 1
            return []
        expected.objects["read"] += 1
        key_fields = parse_key(key) if is_messages else KeyFields()
        is_owner = not is_messages or self.calendar.owner(key_fields) == self.day
        found = []
        records = split(text.text, limits=self.limits)
        for record in records or [Record(0, 0)]:
            line = text.text.count("\n", 0, record.start) + 1
            extent = record.start, record.end, self.limits.max_raw_bytes
            raw = text.raw(*extent), text.is_cut(*extent)
            try:
                row = self._row(record, key_fields, is_messages)
            except RejectedError as error:
                if is_owner and self._names_erased(text.text[record.start : record.end]):
                    expected.records["erased"] += 1
                elif is_owner:
                    expected.records["rejected"] += 1
                    expected.reasons[str(error)] += 1
                    expected.rejects[key, line, str(error), *raw] += 1
                else:
                    expected.records["other_day"] += 1
                continue
            if isinstance(row, str):
                expected.records[row] += 1
                continue
            row |= {"source_key": key, "source_line": line}
            order = (row["timestamp"], item.modified, key, line, record.start)
            found.append(_Candidate(row, raw, order))
        return found

    def _row(self, record: Record, key_fields: KeyFields, is_messages: bool) -> Row | str:
        """Return the record's row, or `empty`, `erased` or `other_day`."""
        if record.reason:
            raise RejectedError(record.reason)
        if record.value in (None, {}, []) and not isinstance(record.value, bool):
            return "empty"
        if not isinstance(record.value, dict):
            raise RejectedError("not_an_object")
        row, moment = read_fields(record.value, key_fields, tenant=self.tenant, naive_zone=self.naive_zone)
        if {row["user_id"], record.value.get("user_id")} & self.erased_users:
            return "erased"
        business_day = self._near_day(moment)
        if business_day != self.day:
            if is_messages and business_day and self.calendar.reads(business_day, key_fields):
                return "other_day"
            raise RejectedError("timestamp_outside_window")
        if record.replaced:
            row["flags"] = sorted({*row["flags"], "replaced_surrogate"})
        row["hour"] = moment.astimezone(ZoneInfo(self.zone)).hour
        row["date"] = self.day
        row["tenant_id"] = self.tenant
        return row

    def _names_erased(self, text: str) -> bool:
        """Return whether the text of a broken record holds the id of an erased user as a whole word."""
        plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
        spelled = [
            spelling for each in self.erased_users for spelling in (each, json.dumps(each, ensure_ascii=False)[1:-1])
        ]
        word = "[0-9A-Za-z_-]"
        words = [f"(?<!{word}){re.escape(each)}(?!{word})" for each in spelled]
        return any(re.search(each, spelling) for each in words for spelling in (text, plain))

    def _near_day(self, moment: datetime) -> date | None:
        """Return the day of an instant if it is this day or an adjacent one; no other day reads the same objects."""
        for days in (-1, 0, 1):
            day = self.day + timedelta(days=days)
            start, end = self.calendar.window(day)
            if start <= moment < end:
                return day
        return None

    def _deduplicate(self, candidates: Sequence[_Candidate], expected: Expected) -> None:
        """Publish one of the records with the same key."""
        by_key: dict[tuple[str, str], list[_Candidate]] = {}
        for candidate in sorted(candidates, key=lambda each: each.order, reverse=True):
            by_key.setdefault((candidate.row["room_id"], candidate.row["message_id"]), []).append(candidate)
        for winner, *others in by_key.values():
            known = {winner.body}
            expected.rows.append(winner.row)
            expected.records["written"] += 1
            expected.flags.update(winner.row["flags"])
            for loser in others:
                outcome = "duplicates" if loser.body in known else "superseded"
                expected.records[outcome] += 1
                known.add(loser.body)
                if outcome == "superseded":
                    expected.rejects[loser.row["source_key"], loser.row["source_line"], outcome, *loser.raw] += 1
            if "replaced_surrogate" in winner.row["flags"]:
                location = winner.row["source_key"], winner.row["source_line"]
                expected.rejects[*location, "replaced_surrogate", *winner.raw] += 1
