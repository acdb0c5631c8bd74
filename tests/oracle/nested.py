"""Numbers, arrays of objects and agent_info: section "Fields", rules 4 and 5."""

import math
import re
from fractions import Fraction
from typing import Any

from tests.oracle.json_text import Number

WHOLE = re.compile(r"(-?0|[1-9][0-9]*)(\.0+)?")
MAX_BIGINT = 9_223_372_036_854_775_807

ATTACHMENT = {"type": "text", "url": "text", "thumbnail": "text", "name": "text", "size": "whole"}
IMAGE = dict.fromkeys(("url", "thumbnail", "prompt", "size", "style"), "text")
SOURCE = {"title": "text", "source": "text", "text": "text", "score": "finite"}
MISFIT = object()


def fit(value: Any, kind: str) -> Any:
    """Return the value as a column of that kind holds it, or MISFIT."""
    if kind == "text":
        return value if isinstance(value, str) else MISFIT
    if not isinstance(value, Number):
        return MISFIT
    if kind == "finite":
        # Digits alone are a whole number, which has no -0.
        number = 0.0 if value.text == "-0" else float(value.text)
        return number if math.isfinite(number) else MISFIT
    found = WHOLE.fullmatch(value.text)
    return int(found[1]) if found and int(found[1]) <= MAX_BIGINT else MISFIT


def is_exact(text: str) -> bool:
    """Return whether the nearest DOUBLE, written with as many digits as were sent, equals the number."""
    mantissa, _, exponent = text.lower().partition("e")
    digits = mantissa.lstrip("-").replace(".", "").lstrip("0")
    if not digits:
        return True
    if abs(int(exponent or 0)) > 1000:
        return False
    value = Fraction(mantissa) * Fraction(10) ** int(exponent or 0)
    return Fraction(f"{float(text):.{len(digits) - 1}e}") == value


def read_elements(value: Any, fields: dict[str, str], flags: set[str]) -> tuple[list[Any] | None, bool]:
    """Return the column of an array, and whether all of it fits; otherwise the array also goes to extras."""
    if not isinstance(value, list):
        flags.add("wrong_type")
        return None, False
    elements, complete, inexact = [], True, False
    for sent in value:
        if not isinstance(sent, dict):
            complete = False
            continue
        element = dict.fromkeys(fields)
        for name, part in _by_specified_names(sent, fields, flags).items():
            if name not in fields:
                complete = False
            elif part is not None:
                fitted = fit(part, fields[name])
                complete &= fitted is not MISFIT
                inexact |= fields[name] == "finite" and fitted is not MISFIT and not is_exact(part.text)
                element[name] = None if fitted is MISFIT else fitted
        elements.append(element)
    if not complete:
        flags.add("bad_element")
    if inexact:
        flags.add("inexact_number")
    return elements, complete and not inexact


def _by_specified_names(sent: dict[str, Any], fields: dict[str, str], flags: set[str]) -> dict[str, Any]:
    """Return the element with `content` as the `text` of a rag source that has none; null is the same as absent."""
    content = sent.get("content")
    if fields is not SOURCE or (content is not None and (sent.get("text") is not None or not isinstance(content, str))):
        return sent
    rest = {name: part for name, part in sent.items() if name != "content"}
    if content is None:
        return rest
    flags.add("aliased_field")
    return {**rest, "text": content}


def read_agent(value: Any, flags: set[str]) -> tuple[dict[str, Any], Any]:
    """Return the three columns, and what remains for extras, or None."""
    columns: dict[str, Any] = {"agent_mode": None, "execution_time_ms": None, "tokens_used": None}
    if value is None:
        return columns, None
    if not isinstance(value, dict):
        flags.add("wrong_type")
        return columns, value
    remaining = {}
    for name, part in value.items():
        column = "agent_mode" if name == "mode" else name
        if name not in ("mode", "execution_time_ms", "tokens_used"):
            remaining[name] = part
        elif part is not None:
            fitted = fit(part, "text" if name == "mode" else "whole")
            if fitted is MISFIT:
                remaining[name] = part
                flags.add("out_of_range" if isinstance(part, Number) and name != "mode" else "wrong_type")
            else:
                columns[column] = fitted
    return columns, remaining or None
