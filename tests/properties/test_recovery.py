"""Broken text is read as by the oracle at any buffer size, and its cost is bounded."""

import json
import subprocess
import sys
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daily_batch.domain.codes import Reason
from daily_batch.domain.run import Limits
from daily_batch.pipeline.transform import window
from daily_batch.pipeline.transform.coerce import InvalidRecordError, coerce_record
from daily_batch.pipeline.transform.json_value import ParsedRecord, read_record
from daily_batch.pipeline.transform.strict_parser import Scanner
from tests.oracle.json_text import deep_values
from tests.oracle.records import split
from tests.support.day_runs import ROOT, child_environment
from tests.support.recovery_shapes import BUILD, MANY

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors])
LIMITS = Limits()
TIGHT = Limits(max_record_bytes=50, max_depth=5)
PIECES = st.sampled_from(
    [
        *("{", "}", "[", "]", ",", ":", '"', "\n", "\n", "\n{", "\n[", "\\", " ", "  ", "\t", "\r", "\x1e", "\ufeff"),
        *(
            ' {"a":1}',
            '{"a":1}',
            '{"a":1},\n',
            '{"a":"x',
            '{"a":[',
            '{"m":[\n',
            '{"k":{"b":2}}',
            '{"a":1,"a":2}',
            "[1,",
        ),
        *('"x"', "\\u12", "\\ud800", '"\\ud83d\\ude00"', '{"\\ud800":1,"\\ud801":2}', '"\\"', '\\"', "é", "\udcff"),
        *("1", "-", "1.", "1e", "01", "tru", "null", "true", "NaN", "42", '"abc"', "{x}", "\n}", "[[[[[", "]]]]]"),
        *('{"messages": [\n', '{"b":2},\n', '\n  {"z":', '\n {"c":3},', '{"long":"' + "y" * 60 + '"}'),
        '{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}',
    ]
)
Summary = tuple[int, int, str, bool]


def scan(text: bytes, limits: Limits = LIMITS) -> list[ParsedRecord]:
    return list(Scanner(text, offset=0, line=1, limits=limits).records(len(text)))


def summarize(found: ParsedRecord) -> Summary:
    return found.start, found.start + found.length, str(found.reason or ""), found.replaced_surrogate


@deep_values()
def expected_records(text: bytes, limits: Limits) -> list[Summary]:
    """Return the oracle's records, in bytes."""
    decoded = text.decode("utf-8", "surrogateescape")

    def to_bytes(at: int) -> int:
        return len(decoded[:at].encode("utf-8", "surrogateescape"))

    records = split(decoded, limits=limits)
    return [(to_bytes(each.start), to_bytes(each.end), each.reason, each.replaced) for each in records]


def scan_by_lines(text: bytes, limits: Limits) -> list[Summary]:
    """Scan line by line, as if the fast path had read some of the lines."""
    found_records, at, line = [], 0, 1
    while at < len(text):
        until = text.find(b"\n", at) + 1 or len(text)
        scanner = Scanner(text, offset=at, line=line, limits=limits)
        found_records += [summarize(found) for found in scanner.records(until)]
        at, line = (scanner.offset, scanner.line) if scanner.offset >= until else (until, line + 1)
    return found_records


@settings(PATIENT, max_examples=600)
@given(st.lists(PIECES, max_size=16), st.sampled_from([LIMITS, TIGHT]), st.sampled_from([(1, 4), (3, 64), (64, 2**16)]))
def test_any_text_matches_the_oracle_at_any_buffer_size(
    pieces: list[str], limits: Limits, steps: tuple[int, int]
) -> None:
    text = "".join(pieces).encode("utf-8", "surrogateescape")
    expected = expected_records(text, limits)
    with patch.object(window, "MIN_READ_BYTES", steps[0]), patch.object(window, "MAX_READ_BYTES", steps[1]):
        found = scan(text, limits)
        assert [summarize(each) for each in found] == expected
        assert scan_by_lines(text, limits) == expected
    assert [each.line for each in found] == [text.count(b"\n", 0, each.start) + 1 for each in found]
    single = read_record(text, start=0, line=1, limits=limits)
    assert single is None or [summarize(single)] == expected


def message(number: int) -> dict[str, Any]:
    parts = {"tokens": [number, {"of": "x"}], "reply_to": {"message_id": "m0", "content": "quo{ted"}}
    return {"message_id": f"m{number}", "content": "a [b] {c", **parts}


def message_ids(found: list[ParsedRecord]) -> list[object]:
    return [each.value["message_id"] for each in found if isinstance(each.value, dict)]


def test_truncated_json_line_loses_at_most_itself_and_the_next() -> None:
    lines = [json.dumps(message(number)).encode() for number in range(4)]
    for cut in range(1, len(lines[1])):
        found = scan(b"\n".join([lines[0], lines[1][:cut], *lines[2:]]))
        lost = {"m1", "m2"} if lines[1][:cut].rstrip()[-1:] in (b":", b"[", b",") else {"m1"}
        assert {"m0", "m3"} <= set(message_ids(found)) <= {"m0", "m2", "m3"}
        assert {"m0", "m1", "m2", "m3"} - set(message_ids(found)) <= lost, lines[1][:cut]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("indent", [None, 1, 2])
def test_truncated_wrapper_object_is_one_reject(indent: int | None, lines: bool, separators: tuple[str, str]) -> None:
    wrapper = {"channel": "c", "messages": [message(number) for number in range(5)], "more": {"a": [1, 2]}}
    text = json.dumps(wrapper, indent=indent, separators=separators)
    if lines and indent is None:
        text = text.replace('{"message_id"', '\n{"message_id"')
    for cut in range(1, len(text)):
        (found,) = scan(text[:cut].encode())
        assert found.reason is Reason.INVALID_JSON


def test_bad_token_in_a_pretty_printed_record_is_one_reject() -> None:
    first, second = (json.dumps(message(number), indent=2) for number in (1, 2))
    positions = [at for at, letter in enumerate(first) if letter in ",:" and at > 1]
    for at in positions:
        found = scan(f"{first[:at]} bad {first[at:]}\n{second}".encode())
        assert message_ids(found)[-1:] == ["m2"]
        assert len(message_ids(found)) + sum(each.reason is not None for each in found) == 2


def test_nothing_inside_a_broken_multi_line_list_is_a_record() -> None:
    lines = [json.dumps(message(number)) for number in range(5)]
    lines[3] = lines[3][:40]
    (found,) = scan(('{"messages":[\n' + ",\n".join(lines) + "\n]}").encode())
    assert found.reason is Reason.INVALID_JSON
    assert 'a list of objects under "messages", 3 of them whole' in found.detail


def test_array_continues_after_a_broken_element() -> None:
    found = scan(b'[{"message_id":"a"}, {"b":x, "c":[1]}, {"message_id":"d"}]\n{"message_id":"e"}')
    assert message_ids(found) == ["a", "d", "e"]
    assert [(each.start, each.length) for each in found if each.reason] == [(21, 16)]


def test_detail_never_quotes_a_field_name_that_is_not_plain() -> None:
    detail = "an object that holds a list of objects under one of its fields, 1 of them whole; "
    for name in ("a b", "x" * 41, "a\\nb", "日本"):
        (found,) = scan(f'{{"{name}":[{{"a":1}},{{"b":'.encode())
        assert found.detail.startswith("cut short: " + detail), found.detail


@pytest.mark.parametrize(
    ("record", "detail"),
    [
        ({"messages": [{}] * 9}, 'a list of 9 objects under "messages"; export one message a line, or the list alone'),
        ({"x": 1, "a b": [1, {}]}, "a list of 1 object under one of its fields"),
        ({"role": "user", "messages": [{}]}, ""),
        ({"messages": [1, "x"], "attachments": [{}]}, ""),
        ({"messages": []}, ""),
    ],
)
def test_object_that_wraps_a_list_is_named_in_the_detail(record: dict[str, object], detail: str) -> None:
    if not detail:
        coerce_record(record, tenant="acme")
        return
    with pytest.raises(InvalidRecordError, match="an object that holds") as refused:
        coerce_record(record, tenant="acme")
    assert refused.value.reason is Reason.WRAPPER_OBJECT
    assert detail in refused.value.detail


def test_reject_reason_is_what_stopped_the_strict_parser() -> None:
    limits = Limits(max_depth=3, max_record_bytes=40)
    texts = [
        b'{"a":[[[1]]]}',
        b'{"a":[[["\xff"]]]}',
        b'{"a":[[[' + b" " * 40 + b"]]]}",
        b'{"a":"' + b"x" * 40 + b'"} y',
    ]
    found = scan(b"\n".join([*texts, b'{"a":1}']), limits)
    reasons = [Reason.TOO_DEEP, Reason.INVALID_UTF8, Reason.RECORD_TOO_LARGE, Reason.RECORD_TOO_LARGE, None]
    assert [each.reason for each in found] == reasons
    assert [each.length for each in found] == [*map(len, texts), 7]


def measure(size: int, *names: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.support.recovery_shapes", str(size), *names]
    process = subprocess.run(command, cwd=ROOT, env=child_environment(), capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return [json.loads(line) for line in process.stdout.splitlines()]


# Python takes several steps for each byte of these.
SLOW = ["lines that end in an open array", "opening brackets", "nested objects", "lone surrogates"]
LARGE = [name for name in BUILD if name not in MANY and name not in SLOW]


@pytest.mark.parametrize(
    ("size", "names"), [(2**24, LARGE), (2**21, SLOW), (2**18, MANY)], ids=["large", "slow", "many"]
)
def test_every_shape_of_text_is_read_in_linear_time_and_bounded_memory(size: int, names: list[str]) -> None:
    measured = measure(size, *names)
    assert [each["shape"] for each in measured] == names
    for each in measured:
        assert each["read"] <= 4 * each["bytes"], each
        assert (each["left"], each["in_order"]) == (0, True), each
        assert each["grown_mb"] <= 600, each
        assert each["checks"] >= each["bytes"] // 2**21, each
