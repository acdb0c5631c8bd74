"""Coerce one parsed record to the fields of a message: what fits is typed, the rest goes to extras as sent."""

import math
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import msgspec

from daily_batch.domain.codes import Flag, Reason
from daily_batch.pipeline.transform.fields import ATTACHMENT_FIELDS, IDS, IMAGE_FIELDS, MAX_BIGINT, SOURCE_FIELDS
from daily_batch.pipeline.transform.formats import describe_wrapper
from daily_batch.pipeline.transform.timestamps import OTHER_TYPES

# A whole number; pandas writes it as 12.0 in a column that has nulls.
WHOLE_ID = re.compile(rb"(-?\d+)(?:\.0+)?")
WHOLE_NUMBER = re.compile(rb"(-?0|\d{1,19})(?:\.0+)?")
# Any number of at most this many characters is exact as a DOUBLE.
EXACT_DIGITS = 15


class InvalidRecordError(Exception):
    """A record that cannot be published in any context; `detail` never holds message content."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def coerce_record(record: Mapping[str, object], *, tenant: str) -> dict[str, object]:
    """Return the record as values of `fields.FIELDS`; null is the same as absent.

    Raises:
        InvalidRecordError: An id is neither a string nor an integer, or the object wraps a list of messages.
    """
    wrapped = describe_wrapper(record)
    if wrapped:
        raise InvalidRecordError(Reason.WRAPPER_OBJECT, wrapped)
    rest = {**record}
    flags: set[Flag] = set()
    coerced: dict[str, object] = {name: _coerce_id(rest, name, flags) for name in ("message_id", "user_id", "room_id")}
    coerced |= {alias: _coerce_alias(rest, alias, flags) for alias in ("id", "chat_id")}
    coerced["timestamp"] = _coerce_timestamp(rest)
    coerced |= {name: _coerce_text(rest, name, flags) for name in ("role", "content")}
    coerced["attachments"] = _to_json(_coerce_array(rest, "attachments", ATTACHMENT_FIELDS, flags))
    images = _choose_name(rest, ("generated_images", "images"), flags)
    coerced["generated_images"] = _to_json(_coerce_array(rest, images, IMAGE_FIELDS, flags))
    coerced["rag_sources"] = _to_json(_rag_sources(rest, flags))
    coerced |= _agent_info(rest, flags)
    _drop_nulls(rest, ("generated_images", "images", "crawl_sources"))
    if rest.get("tenant_id", tenant) != tenant:
        flags.add(Flag.TENANT_CONFLICT)
    numbers = {name: value for name in IDS if isinstance(value := record.get(name), msgspec.Raw)}
    coerced["numeric"] = ",".join(f"{name}={bytes(digits).decode()}" for name, digits in numbers.items())
    coerced["extras"] = _to_json(rest or None)
    coerced["parse_flags"] = ",".join(sorted(flags))
    return coerced


def _to_json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _coerce_id(rest: dict[str, object], name: str, flags: set[Flag]) -> str | None:
    value = rest.pop(name, None)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, msgspec.Raw) and (digits := WHOLE_ID.fullmatch(bytes(value))):
        flags.add(Flag.NUMERIC_ID)
        return digits[1].decode()
    raise InvalidRecordError(Reason.INVALID_ID, f"{name} is neither text nor a whole number")


def _coerce_alias(rest: dict[str, object], name: str, flags: set[Flag]) -> str | None:
    """Return the value of an id's alias; a value that is not an id is treated as an unlisted field."""
    value = rest.get(name)
    found: set[Flag] = set()
    try:
        identifier = _coerce_id({name: value}, name, found)
    except InvalidRecordError:
        return None
    rest.pop(name, None)
    flags |= found
    return identifier


def _coerce_timestamp(rest: dict[str, object]) -> str | None:
    value = rest.pop("timestamp", None)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return OTHER_TYPES[type(value)]  # no timestamp either; the ids are validated first


def _coerce_text(rest: dict[str, object], name: str, flags: set[Flag]) -> str | None:
    value = rest.get(name)
    if value is None or isinstance(value, str):
        rest.pop(name, None)
        return value
    flags.add(Flag.WRONG_TYPE)
    return None


def _coerce_integer(rest: dict[str, object], name: str, flags: set[Flag]) -> int | None:
    value = rest.get(name)
    if value is None:
        rest.pop(name, None)
        return None
    number = _to_integer(value)
    if number is None:
        flags.add(Flag.OUT_OF_RANGE if isinstance(value, msgspec.Raw) else Flag.WRONG_TYPE)
        return None
    del rest[name]
    return number


def _to_integer(value: object) -> int | None:
    match = WHOLE_NUMBER.fullmatch(bytes(value)) if isinstance(value, msgspec.Raw) else None
    return int(match[1]) if match and int(match[1]) <= MAX_BIGINT else None


def _choose_name(rest: Mapping[str, object], names: tuple[str, str], flags: set[Flag]) -> str:
    """Return the listed name, or its alias if only the alias has a value."""
    name, alias = names
    if rest.get(name) is None and rest.get(alias) is not None:
        if isinstance(rest[alias], list):
            flags.add(Flag.ALIASED_FIELD)
        return alias
    return name


def _coerce_array(
    rest: dict[str, object], name: str, fields: Mapping[str, str], flags: set[Flag]
) -> list[object] | None:
    value = rest.get(name)
    if value is None:
        rest.pop(name, None)
        return None
    if not isinstance(value, list):
        flags.add(Flag.WRONG_TYPE)
        return None
    coerced = [_coerce_element(element, fields, flags) for element in value]
    if all(each.fits and each.exact for each in coerced):
        del rest[name]
    if not all(each.fits for each in coerced):
        flags.add(Flag.BAD_ELEMENT)
    if not all(each.exact for each in coerced):
        flags.add(Flag.INEXACT_NUMBER)
    return [each.value for each in coerced if each.value is not None]


class _CoercedElement(NamedTuple):
    """What fits of an array element (None if nothing can), whether all of it fits, and whether numbers are exact."""

    value: dict[str, object] | None
    fits: bool
    exact: bool = True


def _coerce_element(value: object, fields: Mapping[str, str], flags: set[Flag]) -> _CoercedElement:
    if not isinstance(value, dict):
        return _CoercedElement(None, fits=False)
    sent = dict(value)
    if "text" in fields and sent.get("content") is None:
        sent.pop("content", None)
    if "text" in fields and sent.get("text") is None and isinstance(sent.get("content"), str):
        flags.add(Flag.ALIASED_FIELD)
        sent["text"] = sent.pop("content")
    coerced = {name: _coerce_value(sent.get(name), kind) for name, kind in fields.items()}
    misfit = any(sent.get(name) is not None and coerced[name] is None for name in fields)
    exact = all(is_exact(bytes(number)) for number in coerced.values() if isinstance(number, msgspec.Raw))
    return _CoercedElement(coerced, fits=not misfit and sent.keys() <= fields.keys(), exact=exact)


def _coerce_value(value: object, kind: str) -> object:
    if kind == "text":
        return value if isinstance(value, str) else None
    if kind == "integer":
        return _to_integer(value)
    return value if isinstance(value, msgspec.Raw) and math.isfinite(float(bytes(value))) else None


def is_exact(digits: bytes) -> bool:
    """Return whether a finite number equals its nearest DOUBLE, rounded to as many digits as were sent.

    So 0.1 and 0.10000000000000001 are exact; 9007199254740993 and 1e-400 are not.
    """
    if len(digits) <= EXACT_DIGITS and b"e" not in digits and b"E" not in digits:
        return True
    try:
        number = Decimal(digits.decode())
    except InvalidOperation:  # an exponent of 20 digits
        return not digits.lower().partition(b"e")[0].strip(b"-0.")
    places = max(len(number.as_tuple().digits) - 1, 0)
    return Decimal(f"{float(digits):.{places}e}") == number


def _rag_sources(rest: dict[str, object], flags: set[Flag]) -> list[object] | None:
    """Return `context.rag_sources`, else `context.crawl_sources`, else `crawl_sources`."""
    context = rest.get("context")
    inner = dict(context) if isinstance(context, dict) else {}
    name = _choose_name(inner, ("rag_sources", "crawl_sources"), flags)
    if inner.get(name) is None and rest.get("crawl_sources") is not None:
        if isinstance(rest["crawl_sources"], list):
            flags.add(Flag.ALIASED_FIELD)
        found = _coerce_array(rest, "crawl_sources", SOURCE_FIELDS, flags)
    else:
        found = _coerce_array(inner, name, SOURCE_FIELDS, flags)
    _drop_nulls(inner, ("rag_sources", "crawl_sources"))
    _keep_remainder(rest, "context", inner, flags)
    return found


def _agent_info(rest: dict[str, object], flags: set[Flag]) -> dict[str, object]:
    info = rest.get("agent_info")
    inner = dict(info) if isinstance(info, dict) else {}
    coerced: dict[str, object] = {
        "agent_mode": _coerce_text(inner, "mode", flags),
        "execution_time_ms": _coerce_integer(inner, "execution_time_ms", flags),
        "tokens_used": _coerce_integer(inner, "tokens_used", flags),
    }
    _keep_remainder(rest, "agent_info", inner, flags)
    return coerced


def _keep_remainder(rest: dict[str, object], name: str, inner: dict[str, object], flags: set[Flag]) -> None:
    """Keep in `rest` what is left of an object, or the whole value if it is no object."""
    if isinstance(rest.get(name), dict):
        rest[name] = inner
        if not inner:
            del rest[name]
    elif rest.get(name) is not None:
        flags.add(Flag.WRONG_TYPE)
    else:
        rest.pop(name, None)


def _drop_nulls(rest: dict[str, object], names: tuple[str, ...]) -> None:
    for name in names:
        if rest.get(name) is None:
            rest.pop(name, None)
