"""One parsed record to the fields of a message: what fits is typed, the rest goes to extras as it was sent."""

import math
import re
from collections.abc import Mapping

import msgspec

from daily_batch.contract import Flag, Reason
from daily_batch.kernel.fields import ATTACHMENT_FIELDS, IMAGE_FIELDS, SOURCE_FIELDS
from daily_batch.kernel.wrappers import find_wrapped

INTEGER_ID = re.compile(rb"-?\d+")
WHOLE_NUMBER = re.compile(rb"(-?0|\d{1,19})(?:\.0+)?")
IDS = ("message_id", "id", "user_id", "room_id", "chat_id")
MAX_BIGINT = 2**63 - 1


class UnusableError(Exception):
    """A record that cannot be published whatever its context; `detail` holds no content."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def shape(record: Mapping[str, object], *, tenant: str) -> dict[str, object]:
    """The record as values of `fields.FIELDS`; null and absent are alike.

    Raises:
        UnusableError: an id is neither text nor integer, or it is no message but holds a list of them.
    """
    wrapped = find_wrapped(record)
    if wrapped:
        raise UnusableError(Reason.WRAPPER_OBJECT, wrapped)
    rest = {**record}
    doubts: set[Flag] = set()
    shaped: dict[str, object] = {name: _identifier(rest, name, doubts) for name in ("message_id", "user_id", "room_id")}
    shaped |= {alias: _alias(rest, alias, doubts) for alias in ("id", "chat_id")}
    shaped["timestamp"] = _timestamp(rest)
    shaped |= {name: _text(rest, name, doubts) for name in ("role", "content")}
    shaped["attachments"] = _array(rest, "attachments", ATTACHMENT_FIELDS, doubts)
    images = _first_name(rest, ("generated_images", "images"), doubts)
    shaped["generated_images"] = _array(rest, images, IMAGE_FIELDS, doubts)
    shaped["rag_sources"] = _rag_sources(rest, doubts)
    shaped |= _agent_info(rest, doubts)
    _drop_nulls(rest, ("generated_images", "images", "crawl_sources"))
    if rest.get("tenant_id", tenant) != tenant:
        doubts.add(Flag.TENANT_CONFLICT)
    shaped["numeric"] = ",".join(name for name in IDS if isinstance(record.get(name), msgspec.Raw))
    shaped["extras"] = msgspec.json.encode(rest).decode() if rest else None
    shaped["doubts"] = ",".join(sorted(doubts))
    return shaped


def _identifier(rest: dict[str, object], name: str, doubts: set[Flag]) -> str | None:
    value = rest.pop(name, None)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, msgspec.Raw) and INTEGER_ID.fullmatch(bytes(value)):
        doubts.add(Flag.NUMERIC_ID)
        return bytes(value).decode()
    raise UnusableError(Reason.INVALID_ID, f"{name} is neither text nor integer")


def _alias(rest: dict[str, object], name: str, doubts: set[Flag]) -> str | None:
    """An id's other name: a value that is no id is an unlisted field."""
    value = rest.get(name)
    found: set[Flag] = set()
    try:
        identifier = _identifier({name: value}, name, found)
    except UnusableError:
        return None
    rest.pop(name, None)
    doubts |= found
    return identifier


def _timestamp(rest: dict[str, object]) -> str | None:
    value = rest.pop("timestamp", None)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return ""  # no instant either, and the ids are judged first


def _text(rest: dict[str, object], name: str, doubts: set[Flag]) -> str | None:
    value = rest.get(name)
    if value is None or isinstance(value, str):
        rest.pop(name, None)
        return value
    doubts.add(Flag.WRONG_TYPE)
    return None


def _whole_number(rest: dict[str, object], name: str, doubts: set[Flag]) -> int | None:
    value = rest.get(name)
    if value is None:
        rest.pop(name, None)
        return None
    number = _to_whole(value)
    if number is None:
        doubts.add(Flag.OUT_OF_RANGE if isinstance(value, msgspec.Raw) else Flag.WRONG_TYPE)
        return None
    del rest[name]
    return number


def _to_whole(value: object) -> int | None:
    match = WHOLE_NUMBER.fullmatch(bytes(value)) if isinstance(value, msgspec.Raw) else None
    return int(match[1]) if match and int(match[1]) <= MAX_BIGINT else None


def _first_name(rest: Mapping[str, object], names: tuple[str, str], doubts: set[Flag]) -> str:
    """The listed name, or its alias where only that has a value."""
    name, alias = names
    if rest.get(name) is None and rest.get(alias) is not None:
        if isinstance(rest[alias], list):
            doubts.add(Flag.ALIASED_FIELD)
        return alias
    return name


def _array(rest: dict[str, object], name: str, fields: Mapping[str, str], doubts: set[Flag]) -> list[object] | None:
    value = rest.get(name)
    if value is None:
        rest.pop(name, None)
        return None
    if not isinstance(value, list):
        doubts.add(Flag.WRONG_TYPE)
        return None
    pairs = [_element(element, fields, doubts) for element in value]
    if all(fits for _, fits in pairs):
        del rest[name]
    else:
        doubts.add(Flag.BAD_ELEMENT)
    return [element for element, _ in pairs if element is not None]


def _element(value: object, fields: Mapping[str, str], doubts: set[Flag]) -> tuple[dict[str, object] | None, bool]:
    """What of an element fits its column (None where nothing can), and whether all of it did."""
    if not isinstance(value, dict):
        return None, False
    sent = dict(value)
    if "text" in fields and sent.get("content") is None:
        sent.pop("content", None)
    if "text" in fields and sent.get("text") is None and isinstance(sent.get("content"), str):
        doubts.add(Flag.ALIASED_FIELD)
        sent["text"] = sent.pop("content")
    shaped = {name: _fitting(sent.get(name), kind) for name, kind in fields.items()}
    lost = any(sent.get(name) is not None and shaped[name] is None for name in fields)
    return shaped, not lost and sent.keys() <= fields.keys()


def _fitting(value: object, kind: str) -> object:
    if kind == "text":
        return value if isinstance(value, str) else None
    if kind == "integer":
        return _to_whole(value)
    return value if isinstance(value, msgspec.Raw) and math.isfinite(float(bytes(value))) else None


def _rag_sources(rest: dict[str, object], doubts: set[Flag]) -> list[object] | None:
    """`context.rag_sources`, else `context.crawl_sources`, else `crawl_sources`."""
    context = rest.get("context")
    inner = dict(context) if isinstance(context, dict) else {}
    name = _first_name(inner, ("rag_sources", "crawl_sources"), doubts)
    if inner.get(name) is None and rest.get("crawl_sources") is not None:
        found = _array(rest, _first_name(rest, ("", "crawl_sources"), doubts), SOURCE_FIELDS, doubts)
    else:
        found = _array(inner, name, SOURCE_FIELDS, doubts)
    _drop_nulls(inner, ("rag_sources", "crawl_sources"))
    _keep_rest(rest, "context", inner, doubts)
    return found


def _agent_info(rest: dict[str, object], doubts: set[Flag]) -> dict[str, object]:
    info = rest.get("agent_info")
    inner = dict(info) if isinstance(info, dict) else {}
    shaped: dict[str, object] = {
        "agent_mode": _text(inner, "mode", doubts),
        "execution_time_ms": _whole_number(inner, "execution_time_ms", doubts),
        "tokens_used": _whole_number(inner, "tokens_used", doubts),
    }
    _keep_rest(rest, "agent_info", inner, doubts)
    return shaped


def _keep_rest(rest: dict[str, object], name: str, inner: dict[str, object], doubts: set[Flag]) -> None:
    """What of an object was not taken stays; what is no object stays whole."""
    if isinstance(rest.get(name), dict):
        rest[name] = inner
        if not inner:
            del rest[name]
    elif rest.get(name) is not None:
        doubts.add(Flag.WRONG_TYPE)
    else:
        rest.pop(name, None)


def _drop_nulls(rest: dict[str, object], names: tuple[str, ...]) -> None:
    for name in names:
        if rest.get(name) is None:
            rest.pop(name, None)
