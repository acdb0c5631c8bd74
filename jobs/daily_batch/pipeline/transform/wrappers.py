"""Objects that hold messages instead of being one: named in a reject, with the way out."""

import re
from collections.abc import Mapping

from daily_batch.pipeline.transform.pace import Pace
from daily_batch.pipeline.transform.value import OPENING, TOKENS

PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
# A message has one of these, or gets it from its path; its own lists hold objects, too.
OF_MESSAGES = frozenset(("message_id", "id", "timestamp", "role", "content"))
LISTS_OF_MESSAGES = frozenset(("attachments", "generated_images", "images", "crawl_sources"))
WAY_OUT = "export one message a line, or the list alone"
SPACE = b" \t\r\n"
LIST_DEPTH = 2
# A colon is looked for so far behind a name.
NEAR = 8


def find_wrapped(record: Mapping[str, object]) -> str:
    """What an object is that holds a list of objects; nothing of a message, or of what is neither."""
    if not OF_MESSAGES.isdisjoint(record):
        return ""
    for name, value in record.items():
        if name not in LISTS_OF_MESSAGES and isinstance(value, list):
            count = sum(isinstance(element, dict) for element in value)
            if count:
                objects = "1 object" if count == 1 else f"{count} objects"
                return f"an object that holds a list of {objects} under {_show(name)}; {WAY_OUT}"
    return ""


def find_wrapped_in_broken(raw: bytes, pace: Pace) -> str:
    """The same of an object's first part, as far as it shows."""
    if raw[:1] != b"{" or b"[" not in raw:
        return ""
    depth = whole = 0
    name, in_list, listed, in_object = "", False, False, False
    for token in TOKENS.finditer(raw):
        symbol = raw[token.start()]
        pace.spend(0)
        if symbol == ord('"'):
            if token.end() - token.start() == 1:
                break  # a text that is never closed
            if depth == 1 and raw[token.end() : token.end() + NEAR].lstrip(SPACE)[:1] == b":":
                name = raw[token.start() + 1 : token.end() - 1].decode("utf-8", "replace")
                if name in OF_MESSAGES:
                    return ""
        elif symbol in OPENING:
            depth += 1
            if depth == LIST_DEPTH:
                in_list = symbol == ord("[") and name not in LISTS_OF_MESSAGES
            elif depth == LIST_DEPTH + 1:
                in_object = symbol == ord("{")
                listed |= in_list and in_object
        else:
            depth -= 1
            whole += listed and in_object and depth == LIST_DEPTH
            if depth < 1 or (listed and depth < LIST_DEPTH):
                break
    if not listed:
        return ""
    return f"an object that holds a list of objects under {_show(name)}, {whole} of them whole; {WAY_OUT}"


def _show(name: str) -> str:
    return f'"{name}"' if PLAIN_NAME.fullmatch(name) else "one of its fields"
