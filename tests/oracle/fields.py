"""Fields: rules, section "Fields"; from one body to one row."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.oracle.json_text import Number
from tests.oracle.nested import ATTACHMENT, IMAGE, SOURCE, read_agent, read_elements
from tests.oracle.paths import KeyFields
from tests.oracle.timestamps import read_timestamp

LISTED = {"message_id", "user_id", "room_id", "timestamp", "role", "content"}


WHOLE_ID = re.compile(r"(-?[0-9]+)(?:\.0+)?")


class RejectedError(Exception):
    """The reason why a record is not published."""


@dataclass
class _Body:
    """A body during parsing: its flags so far, and the fields that go to extras."""

    sent: dict[str, Any]
    flags: set[str] = field(default_factory=set)
    extras: dict[str, Any] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)

    def get_id(self, name: str, *, must_fit: bool = True) -> str | None:
        value = self.sent.get(name)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, Number) and (complete := WHOLE_ID.fullmatch(value.text)):
            self.flags.add("numeric_id")
            return complete[1]
        if must_fit:
            raise RejectedError("invalid_id")
        self.keep(name)
        return None

    def keep(self, name: str, value: Any = ...) -> None:
        self.extras[name] = self.sent[name] if value is ... else value

    def in_order(self, known: set[str]) -> dict[str, Any] | None:
        """Return extras in the order of the body, followed by the ids that lost against another."""
        extras = {}
        for name, value in self.sent.items():
            if name in self.extras:
                extras[name] = self.extras[name]
            elif name not in known:
                extras[name] = value
        lost: dict[str, Any] = {
            name: self.sent[name] for name in ("id", "user_id", "room_id", "chat_id") if name in self.lost
        }
        return {**extras, **lost} or None


def read_fields(
    sent: dict[str, Any], key: KeyFields, *, tenant: str, naive_zone: str
) -> tuple[dict[str, Any], datetime]:
    """Return the columns of a row, except those that depend on the day, and its instant.

    Raises:
        RejectedError: The record cannot be published.
    """
    if _is_wrapper(sent):
        raise RejectedError("wrapper_object")
    body = _Body(sent)
    ids = _message(body, key), _user(body, key), _room(body, key)
    for name, outcome in zip(("message", "user", "room"), ids, strict=True):
        if name == "user" and outcome is None:
            body.flags.add("no_user")
        elif not outcome or len(outcome) > 512 or "\0" in outcome:
            raise RejectedError("invalid_id")
    moment = _moment(body, key, naive_zone)
    row: dict[str, Any] = dict(zip(("message_id", "user_id", "room_id"), ids, strict=True))
    row |= {"timestamp": moment, **_texts(body), **_arrays(body)}
    agent, remaining = read_agent(sent.get("agent_info"), body.flags)
    if remaining is not None:
        body.keep("agent_info", remaining)
    if "tenant_id" in sent and sent["tenant_id"] != tenant:
        body.flags.add("tenant_conflict")
    row |= agent
    names = {"id", "chat_id", "attachments", "generated_images", "images", "context", "crawl_sources", "agent_info"}
    row["extras"] = body.in_order(LISTED | names)
    row["flags"] = sorted(body.flags)
    return row, moment


def _lower(text: str) -> str:
    """Return the text in lower case, letter by letter; str.lower() makes two letters of a capital I with a dot."""
    return "".join("i" if letter == "\u0130" else letter.lower() for letter in text)


def _is_wrapper(sent: dict[str, Any]) -> bool:
    if any(name in sent for name in ("message_id", "id", "timestamp", "role", "content")):
        return False
    own = ("attachments", "generated_images", "images", "crawl_sources")
    lists = [value for name, value in sent.items() if name not in own and isinstance(value, list)]
    return any(isinstance(element, dict) for value in lists for element in value)


def _message(body: _Body, key: KeyFields) -> str | None:
    value, alias = body.get_id("message_id"), body.get_id("id", must_fit=False)
    if value is None and alias is not None:
        body.flags.add("message_id_from_alias")
    elif value is None and key.message_id is not None:
        body.flags.add("message_id_from_path")
    outcome = next((each for each in (value, alias, key.message_id) if each is not None), None)
    if alias is not None and alias != outcome:
        body.flags.add("message_id_conflict")
        body.lost.add("id")
    if key.message_id is not None and key.message_id != outcome:
        body.flags.add("message_id_conflict")
    return outcome


def _user(body: _Body, key: KeyFields) -> str | None:
    sent = body.get_id("user_id") or None
    if key.user is None:
        return sent
    if sent is None:
        body.flags.add("user_id_from_path")
    elif sent != key.user:
        body.flags.add("user_conflict")
        body.lost.add("user_id")
    return key.user


def _room(body: _Body, key: KeyFields) -> str | None:
    value, alias = body.get_id("room_id"), body.get_id("chat_id", must_fit=False)
    outcome = next((each for each in (key.room, value, alias) if each is not None), None)
    if value is None and alias is not None:
        body.flags.add("room_id_from_alias")
    elif value is None and outcome is not None:
        body.flags.add("room_id_from_path")
    for name, sent in (("room_id", value), ("chat_id", alias)):
        if sent is not None and sent != outcome:
            body.flags.add("room_conflict")
            body.lost.add(name)
    return outcome


def _moment(body: _Body, key: KeyFields, naive_zone: str) -> datetime:
    sent = body.sent.get("timestamp")
    if sent is None and key.sent is not None:
        body.flags.add("timestamp_from_path")
        return key.sent
    moment = read_timestamp(sent, naive_zone, body.flags)
    if moment is None:
        raise RejectedError("invalid_timestamp")
    return moment


def _texts(body: _Body) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("role", "content"):
        value = body.sent.get(name)
        if value is not None and not isinstance(value, str):
            body.flags.add("wrong_type")
            body.keep(name)
            value = None
        found[name] = value
    if found["role"] is not None and found["role"] != _lower(found["role"]):
        body.flags.add("role_case")
        found["role"] = _lower(found["role"])
    if found["role"] not in ("user", "assistant", "system"):
        body.flags.add("unknown_role")
    if not found["content"]:
        body.flags.add("null_content" if found["content"] is None else "empty_content")
    return {**found, "message_length": len(found["content"] or "")}


def _arrays(body: _Body) -> dict[str, Any]:
    sent = body.sent
    columns: dict[str, Any] = {"attachments": None, "generated_images": None, "rag_sources": None}
    if sent.get("attachments") is not None:
        columns["attachments"] = _array(body, "attachments", ATTACHMENT)
    if sent.get("generated_images") is not None:
        columns["generated_images"] = _array(body, "generated_images", IMAGE)
        if sent.get("images") is not None:
            body.keep("images")
    elif sent.get("images") is not None:
        columns["generated_images"] = _array(body, "images", IMAGE, alias=True)
    columns["rag_sources"] = _sources(body)
    count = len(columns["attachments"] or [])
    return {**columns, "attachment_count": count, "has_attachments": count > 0}


def _array(body: _Body, name: str, fields: dict[str, str], *, alias: bool = False) -> Any:
    if alias and isinstance(body.sent[name], list):
        body.flags.add("aliased_field")
    column, complete = read_elements(body.sent[name], fields, body.flags)
    if not complete:
        body.keep(name)
    return column


def _sources(body: _Body) -> Any:
    context = body.sent.get("context")
    context_fields: dict[str, Any] = context if isinstance(context, dict) else {}
    if context is not None and not isinstance(context, dict):
        body.flags.add("wrong_type")
        body.keep("context")
    remaining = {name: part for name, part in context_fields.items() if name not in ("rag_sources", "crawl_sources")}
    column = None
    has_sources = False
    for name in ("rag_sources", "crawl_sources"):
        if context_fields.get(name) is not None and not has_sources:
            has_sources = True
            column, complete = read_elements(context_fields[name], SOURCE, body.flags)
            if name == "crawl_sources" and column is not None:
                body.flags.add("aliased_field")
            if not complete:
                remaining[name] = context_fields[name]
        elif context_fields.get(name) is not None:
            remaining[name] = context_fields[name]
    if remaining:
        body.keep("context", {name: remaining[name] for name in context_fields if name in remaining})
    if body.sent.get("crawl_sources") is not None:
        if has_sources:
            body.keep("crawl_sources")
        else:
            column = _array(body, "crawl_sources", SOURCE, alias=True)
    return column
