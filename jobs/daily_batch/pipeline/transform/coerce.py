"""One parsed record to the fields of a message: what fits is typed, the rest goes to extras as it was sent."""

import math
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import msgspec

from daily_batch.domain.contract import Flag, Reason
from daily_batch.pipeline.transform.fields import ATTACHMENT_FIELDS, IDS, IMAGE_FIELDS, MAX_BIGINT, SOURCE_FIELDS
from daily_batch.pipeline.transform.formats import find_wrapped
from daily_batch.pipeline.transform.timestamps import OTHER_TYPES

# A whole number, which pandas writes as 12.0 once a column has a gap.
WHOLE_ID = re.compile(rb"(-?\d+)(?:\.0+)?")
WHOLE_NUMBER = re.compile(rb"(-?0|\d{1,19})(?:\.0+)?")
# Any number of so few characters is a DOUBLE's.
SURE_DIGITS = 15


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
    shaped["attachments"] = _to_json(_array(rest, "attachments", ATTACHMENT_FIELDS, doubts))
    images = _first_name(rest, ("generated_images", "images"), doubts)
    shaped["generated_images"] = _to_json(_array(rest, images, IMAGE_FIELDS, doubts))
    shaped["rag_sources"] = _to_json(_rag_sources(rest, doubts))
    shaped |= _agent_info(rest, doubts)
    _drop_nulls(rest, ("generated_images", "images", "crawl_sources"))
    if rest.get("tenant_id", tenant) != tenant:
        doubts.add(Flag.TENANT_CONFLICT)
    numbers = {name: value for name in IDS if isinstance(value := record.get(name), msgspec.Raw)}
    shaped["numeric"] = ",".join(f"{name}={bytes(digits).decode()}" for name, digits in numbers.items())
    shaped["extras"] = _to_json(rest or None)
    shaped["doubts"] = ",".join(sorted(doubts))
    return shaped


def _to_json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _identifier(rest: dict[str, object], name: str, doubts: set[Flag]) -> str | None:
    value = rest.pop(name, None)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, msgspec.Raw) and (digits := WHOLE_ID.fullmatch(bytes(value))):
        doubts.add(Flag.NUMERIC_ID)
        return digits[1].decode()
    raise UnusableError(Reason.INVALID_ID, f"{name} is neither text nor a whole number")


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
    return OTHER_TYPES[type(value)]  # no instant either, and the ids are judged first


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
    shaped = [_element(element, fields, doubts) for element in value]
    if all(each.fits and each.exact for each in shaped):
        del rest[name]
    if not all(each.fits for each in shaped):
        doubts.add(Flag.BAD_ELEMENT)
    if not all(each.exact for each in shaped):
        doubts.add(Flag.INEXACT_NUMBER)
    return [each.value for each in shaped if each.value is not None]


class _Element(NamedTuple):
    """What of an element fits its column (None where nothing can), whether all of it did, and to the last digit."""

    value: dict[str, object] | None
    fits: bool
    exact: bool = True


def _element(value: object, fields: Mapping[str, str], doubts: set[Flag]) -> _Element:
    if not isinstance(value, dict):
        return _Element(None, fits=False)
    sent = dict(value)
    if "text" in fields and sent.get("content") is None:
        sent.pop("content", None)
    if "text" in fields and sent.get("text") is None and isinstance(sent.get("content"), str):
        doubts.add(Flag.ALIASED_FIELD)
        sent["text"] = sent.pop("content")
    shaped = {name: _fitting(sent.get(name), kind) for name, kind in fields.items()}
    lost = any(sent.get(name) is not None and shaped[name] is None for name in fields)
    exact = all(is_exact(bytes(number)) for number in shaped.values() if isinstance(number, msgspec.Raw))
    return _Element(shaped, fits=not lost and sent.keys() <= fields.keys(), exact=exact)


def _fitting(value: object, kind: str) -> object:
    if kind == "text":
        return value if isinstance(value, str) else None
    if kind == "integer":
        return _to_whole(value)
    return value if isinstance(value, msgspec.Raw) and math.isfinite(float(bytes(value))) else None


def is_exact(digits: bytes) -> bool:
    """Return whether a finite number is the DOUBLE nearest to it, rounded to as many digits as were sent.

    So 0.1 and 0.10000000000000001 are exact, 9007199254740993 and 1e-400 are not.
    """
    if len(digits) <= SURE_DIGITS and b"e" not in digits and b"E" not in digits:
        return True
    try:
        number = Decimal(digits.decode())
    except InvalidOperation:  # an exponent of twenty digits
        return not digits.lower().partition(b"e")[0].strip(b"-0.")
    places = max(len(number.as_tuple().digits) - 1, 0)
    return Decimal(f"{float(digits):.{places}e}") == number


def _rag_sources(rest: dict[str, object], doubts: set[Flag]) -> list[object] | None:
    """`context.rag_sources`, else `context.crawl_sources`, else `crawl_sources`."""
    context = rest.get("context")
    inner = dict(context) if isinstance(context, dict) else {}
    name = _first_name(inner, ("rag_sources", "crawl_sources"), doubts)
    if inner.get(name) is None and rest.get("crawl_sources") is not None:
        if isinstance(rest["crawl_sources"], list):
            doubts.add(Flag.ALIASED_FIELD)
        found = _array(rest, "crawl_sources", SOURCE_FIELDS, doubts)
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
