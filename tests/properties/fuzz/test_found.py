"""Small days of the kinds in which fuzzing found faults, each also compared with the oracle (`run_export`)."""

from pathlib import Path
from unittest.mock import patch

import pytest

from daily_batch.pipeline.transform import fast_parser, general_path, split
from daily_batch.pipeline.transform.coerce import is_exact
from tests.properties.fuzz.days import REFUSED_QUERY
from tests.support.adversarial_day import line, raw_line, run_export, run_object

SOURCES = b'[{"title":"t","text":"x","score":1}]'


def test_long_multi_line_array_keeps_the_elements_flushed_before_its_end(tmp_path: Path) -> None:
    elements = [line(message_id=f"m{number}") for number in range(25)]
    with patch.object(general_path, "MAX_PENDING_RECORDS", 10):
        result = run_export(tmp_path, b"[\n" + b",\n".join(elements) + b"\n]\n" + line(message_id="behind"))
    assert len(result.rows) == 26
    assert not result.rejects


def test_empty_key_does_not_hide_sources(tmp_path: Path) -> None:
    result = run_export(tmp_path, raw_line('"":"x","crawl_sources":' + SOURCES.decode()))
    assert result.row["rag_sources"] == [{"title": "t", "source": None, "text": "x", "score": 1.0}]
    assert result.row["flags"] == ["aliased_field"]


@pytest.mark.parametrize("mark", [b"\x0b", b"\x0c", b"\x1c", b"\xc2\x85"])
def test_line_of_other_white_space_is_a_reject(tmp_path: Path, mark: bytes) -> None:
    result = run_export(tmp_path, line() + b"\n" + mark + b"\n", mark)
    assert result.reasons == ["invalid_json", "invalid_json"]


@pytest.mark.parametrize("blanks", [b"\x1e", b"\xef\xbb\xbf\xef\xbb\xbf \n", b"\n\x1e\r\n" * 40_000])
def test_object_of_blanks_is_empty(tmp_path: Path, blanks: bytes) -> None:
    result = run_export(tmp_path, line(), blanks)
    assert result.receipt.records.empty == 1
    assert not result.rejects


def test_truncated_raw_keeps_white_space_inside_the_record(tmp_path: Path) -> None:
    result = run_export(tmp_path, line(), b'{"a": x}', max_raw_bytes=6)
    (reject,) = result.rejects
    assert (reject["raw"], reject["raw_truncated"]) == (b'{"a": ', True)


def test_white_space_after_a_record_does_not_truncate_its_raw(tmp_path: Path) -> None:
    body = line(timestamp="x")
    result = run_object(tmp_path, body + b" \r\n" * 1000, max_raw_bytes=len(body))
    (reject,) = result.rejects
    assert (reject["raw"], reject["raw_truncated"]) == (body, False)


@pytest.mark.parametrize("max_depth", [1, 2, 3, 4])
def test_message_deeper_than_the_limit_is_a_reject(tmp_path: Path, max_depth: int) -> None:
    body = raw_line('"context":{"rag_sources":' + SOURCES.decode() + "}")
    result = run_export(tmp_path, body, line(message_id="flat"), max_depth=max_depth)
    assert result.reasons == (["too_deep"] if max_depth < 4 else [])


@pytest.mark.parametrize(
    "digits", ["0e99999999999999999999", "-0.000E+99999999999999999999", "0e-99999999999999999999"]
)
def test_zero_is_exact_whatever_its_exponent(tmp_path: Path, digits: str) -> None:
    assert is_exact(digits.encode())
    result = run_export(tmp_path, raw_line(f'"crawl_sources":[{{"score":{digits}}}]'))
    assert result.row["flags"] == ["aliased_field"]
    assert result.row["rag_sources"][0]["score"] == 0


@pytest.mark.parametrize(("digits", "score"), [("-0", "0.0"), ("-0.0", "-0.0"), ("-0e0", "-0.0")])
def test_score_of_minus_zero_keeps_its_sign_unless_it_is_a_whole_number(
    tmp_path: Path, digits: str, score: str
) -> None:
    result = run_export(
        tmp_path, raw_line(f'"context":{{"rag_sources":[{{"score":{digits}}}]}}'), line(message_id="m2")
    )
    assert repr(result.rows[0]["rag_sources"][0]["score"]) == score


@pytest.mark.parametrize(
    ("role", "lower"), [("ASS\u0130STANT", "assistant"), ("\u03a3\u03a3", "\u03c3\u03c3"), ("\u212a", "k")]
)
def test_role_is_lower_cased_letter_by_letter(tmp_path: Path, role: str, lower: str) -> None:
    assert run_export(tmp_path, line(role=role)).row["role"] == lower


@pytest.mark.parametrize(("max_record_bytes", "reason"), [(20, "record_too_large"), (21, "too_deep")])
def test_bracket_beyond_the_record_limit_is_not_read(tmp_path: Path, max_record_bytes: int, reason: str) -> None:
    body = b'{"a":"' + b"x" * 8 + b'","":[[1'
    assert body.rindex(b"[") == 20
    result = run_export(tmp_path, body, max_record_bytes=max_record_bytes, max_depth=2)
    assert result.reasons == [reason]


def test_deep_value_is_rejected_by_the_limit_that_it_reaches_first(tmp_path: Path) -> None:
    body = b"[" * 100_000
    result = run_export(tmp_path, b'{"a":' + body, max_record_bytes=50, max_depth=60)
    assert result.reasons == ["record_too_large"]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("timestamp", ["0001-01-01T01:02:03", "9999-12-31T23:59:59"])
def test_timestamp_at_either_end_of_the_calendar_is_outside_the_day(tmp_path: Path, timestamp: str, zone: str) -> None:
    result = run_export(tmp_path, line(timestamp=timestamp), naive_timezone=zone)
    assert result.reasons == ["timestamp_outside_window"]


def test_batch_that_duckdb_refuses_is_read_by_the_cautious_query(tmp_path: Path) -> None:
    # Simulates that the strict parser accepts what DuckDB refuses: a lone surrogate, and invalid JSON.
    bodies = [line(message_id=f"m{number}") for number in range(5)] + [
        raw_line('"x":"\\ud800"', message_id="half"),
        b'{"a":',
    ]
    with patch.object(split, "_find_invalid", lambda lines: []):
        result = run_export(tmp_path / "doubtful", b"\n".join(bodies))
    assert (len(result.rows), result.reasons) == (6, ["invalid_json", "replaced_surrogate"])
    with patch.object(fast_parser, "QUERY", REFUSED_QUERY):
        again = run_export(tmp_path / "refused", b"\n".join(bodies))
    assert result.rows == again.rows
