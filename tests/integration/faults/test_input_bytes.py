"""FAULTS 20 to 34: invalid or unusual bytes in the input, and their outcomes. Expectations are written by hand."""

import bz2
import json
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from tests.support.adversarial_day import EXPORT, line, message, packed, raw_line, run_export, run_object, run_objects

GOOD = line(message_id="good")


def message_ids(outcome: Any) -> list[str]:
    return sorted(row["message_id"] for row in outcome.rows)


@pytest.mark.parametrize(
    "broken",
    [packed(line() * 50)[:-20], packed(line())[:-8] + b"\0" * 8, packed(line()) + b"tail"],
    ids=["truncated", "wrong checksum", "trailing garbage"],
)
def test_20_corrupt_part_is_rejected_and_the_rest_is_published(tmp_path: Path, broken: bytes) -> None:
    outcome = run_export(tmp_path, GOOD, broken)
    assert message_ids(outcome) == ["good"]
    (reject,) = outcome.rejects
    assert (reject["reason"], reject["source_line"], reject["raw"]) == ("corrupt_compression", 0, broken)
    assert outcome.receipt.status == "COMPLETED_WITH_REJECTS"
    assert (outcome.receipt.objects.listed, outcome.receipt.objects.unreadable) == (2, 1)
    assert outcome.receipt.records.seen == 1


def test_20_gz_object_without_gzip_content_is_rejected(tmp_path: Path) -> None:
    outcome = run_objects(tmp_path, {f"{EXPORT}/a.jsonl.gz": line(), f"{EXPORT}/b.jsonl": GOOD})
    assert message_ids(outcome) == ["good"]
    assert outcome.reasons == ["corrupt_compression"]


def test_21_compression_is_detected_by_magic_bytes(tmp_path: Path) -> None:
    bodies = {
        "members.json": packed(line(message_id="a") + b"\n") + packed(line(message_id="b")),
        "no-suffix": packed(line(message_id="c")),
        "frames": zstd.compress(line(message_id="d") + b"\n") + zstd.compress(line(message_id="e")),
        "plain.txt": line(message_id="f"),
    }
    outcome = run_objects(tmp_path, {f"{EXPORT}/{name}": body for name, body in bodies.items()})
    assert message_ids(outcome) == ["a", "b", "c", "d", "e", "f"]
    assert outcome.receipt.status == "COMPLETED"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (packed(packed(GOOD)), "gzip within gzip"),
        (zstd.compress(packed(GOOD)), "gzip within zstd"),
        (bz2.compress(GOOD), "bzip2"),
        (b"PK\x03\x04" + GOOD, "zip (or docx, xlsx, jar and the like)"),
        (b"\0" * 2**20, "NUL bytes only"),
        (GOOD.decode().encode("utf-16-le"), "binary data"),
    ],
)
def test_21_object_in_another_format_is_one_reject_naming_it(tmp_path: Path, body: bytes, detail: str) -> None:
    outcome = run_export(tmp_path, GOOD, body)
    (reject,) = outcome.rejects
    assert (reject["reason"], reject["source_line"], reject["detail"]) == ("foreign_format", 0, detail)
    assert (reject["raw"], message_ids(outcome)) == (body, ["good"])
    assert (outcome.receipt.objects.unreadable, outcome.receipt.records.seen) == (1, 1)


def test_21_records_after_nul_bytes_are_read(tmp_path: Path) -> None:
    outcome = run_export(tmp_path, b"\0" * 5000 + b"\n" + GOOD)
    assert (message_ids(outcome), outcome.reasons) == (["good"], ["invalid_json"])


def test_22_decompression_bomb_is_rejected(tmp_path: Path) -> None:
    outcome = run_export(tmp_path, GOOD, packed(b"0" * 50_000_000))
    assert (message_ids(outcome), outcome.reasons) == (["good"], ["decompression_bomb"])


@pytest.mark.parametrize("body", [b"", b" \n\r\n", b"\xef\xbb\xbf", b"{}", b"null", b"[]"])
def test_23_empty_input_counts_as_empty_and_yields_no_row(tmp_path: Path, body: bytes) -> None:
    for outcome in (run_export(tmp_path / "e", body), run_object(tmp_path / "m", body)):
        records = outcome.receipt.records
        assert (outcome.rows, outcome.rejects, records.seen, records.empty) == ([], [], 1, 1)


@pytest.mark.parametrize("body", [b"42", b'"text"', b"true", b"[[1]]", b"[1]"])
def test_23_non_object_record_is_rejected(tmp_path: Path, body: bytes) -> None:
    outcome = run_export(tmp_path, body)
    assert (outcome.rows, outcome.reasons) == ([], ["not_an_object"])


def test_23_wrapper_object_is_named_in_the_reject_even_if_truncated(tmp_path: Path) -> None:
    for number, indent in enumerate((None, 2)):
        wrapper = json.dumps({"channel": "c", "messages": [message(), message()]}, indent=indent).encode()
        outcome = run_export(tmp_path / str(number), GOOD, wrapper, wrapper[:-12], b"\n".join([wrapper, wrapper]))
        assert (message_ids(outcome), outcome.reasons) == (["good"], ["invalid_json", *["wrapper_object"] * 3])
        for reject in outcome.rejects:
            assert "an object that holds a list of " in reject["detail"]
            assert reject["detail"].endswith("export one message a line, or the list alone")
        outcome = run_object(tmp_path / f"{number} alone", wrapper)
        assert (outcome.rows, outcome.reasons) == ([], ["wrapper_object"])


@pytest.mark.parametrize(
    ("text", "raws"),
    [
        (b"<a>, <b>\n<c>", [b', {"message_id": "b"']),
        (b"<a> x\n] <b>\n<c>", [b"x", b'] {"message_id": "b"']),
        (b'{"x":y} <b>\n<a>\n<c>', [b'{"x":y} {"message_id": "b"']),
        (b'[<a>, {"x":y}, <c>', [b"[", b'{"x":y}']),
        (b"[<a>\n<c>", [b"["]),
        (b"[<a>, 7 <b>]\n<c>", [b"7", b"[", b'{"message_id": "b"']),
        (b'\x1e<a>\n\x1e{"x":\n\x1e<c>\n', [b'{"x":']),
        (b'<a>\n{"x":"cut\n<c>', [b'{"x":"cut']),
        (b'{"x":[\n<a>,\n<b>,\n{"y\n<b>}\n]}\n<c>\n<a>', [b'{"x":[\n']),
    ],
)
def test_24_broken_value_rejects_only_itself(tmp_path: Path, text: bytes, raws: list[bytes]) -> None:
    for name in (b"a", b"b", b"c"):
        text = text.replace(b"<" + name + b">", line(message_id=name.decode()))
    for outcome in (run_export(tmp_path / "e", text), run_object(tmp_path / "m", text)):
        assert message_ids(outcome) == ["a", "c"]
        rejected = sorted(reject["raw"] for reject in outcome.rejects if reject["reason"] != "superseded")
        assert [raw[: len(start)] for raw, start in zip(rejected, sorted(raws), strict=True)] == sorted(raws)


def test_24_every_complete_message_is_published_in_any_layout(tmp_path: Path) -> None:
    pretty = json.dumps(message(message_id="c", attachments=[{"url": "x"}]), indent=2).encode()
    array = json.dumps([message(message_id="d"), message(message_id="e")], indent=1).encode()
    array_of_lines = b"[\n" + line(message_id="f") + b",\n" + line(message_id="g") + b"\n]"
    concatenated = line(message_id="a") + line(message_id="b") + b" trailing garbage\n"
    outcome = run_export(tmp_path, concatenated + pretty + pretty.replace(b'"c"', b'"c2"'), array, array_of_lines)
    assert message_ids(outcome) == ["a", "b", "c", "c2", "d", "e", "f", "g"]
    assert [(reject["reason"], reject["raw"]) for reject in outcome.rejects] == [("invalid_json", b"trailing garbage")]
    lines = {row["message_id"]: row["source_line"] for row in outcome.rows}
    assert (lines["a"], lines["b"], lines["c"], lines["f"], lines["g"]) == (1, 1, 2, 2, 3)


@pytest.mark.parametrize(
    "bad",
    [
        raw_line('"tokens": NaN'),
        raw_line('"tokens": Infinity'),
        raw_line('"tokens": -Infinity'),
        b"{'message_id': 'm1'}",
        b"/* note */ {}",
        raw_line('"n": 01'),
        line()[:-1] + b",}",
        raw_line('"list": [1,]'),
        raw_line('"n": +1'),
        raw_line('"t": "tab\there"'),
        line()[:-1],
    ],
)
def test_25_only_strict_json_is_accepted(tmp_path: Path, bad: bytes) -> None:
    outcome = run_export(tmp_path, GOOD + b"\n" + bad + b"\n" + line(message_id="good2"))
    assert message_ids(outcome) == ["good", "good2"]
    assert set(outcome.reasons) <= {"invalid_json"}
    assert b"".join(reject["raw"] for reject in outcome.rejects).startswith(bad[:8])


@pytest.mark.parametrize(
    "body",
    [
        raw_line('"content": "b"'),
        raw_line('"x": {"a": 1, "a": 1}'),
        raw_line('"agent_info": {"mode": "a", "mode": "a"}'),
    ],
)
def test_26_duplicate_key_is_rejected(tmp_path: Path, body: bytes) -> None:
    outcome = run_export(tmp_path, body)
    assert [(reject["reason"], reject["raw"]) for reject in outcome.rejects] == [("duplicate_key", body)]


@pytest.mark.parametrize("escape", ["\\ud800", "\\udc00\\ud800"], ids=["lone", "inverted"])
def test_27_lone_surrogate_is_replaced_and_its_bytes_go_to_rejects(tmp_path: Path, escape: str) -> None:
    body = line(content="<>").replace(b"<>", b"<" + escape.encode() + b">")
    outcome = run_export(tmp_path, body)
    assert outcome.row["content"] == "<" + "\ufffd" * (len(escape) // 6) + ">"
    assert outcome.row["flags"] == ["replaced_surrogate"]
    assert [(reject["reason"], reject["raw"]) for reject in outcome.rejects] == [("replaced_surrogate", body)]
    assert (outcome.receipt.records.rejected, outcome.receipt.flags) == (0, {"replaced_surrogate": 1})
    assert outcome.receipt.status == "COMPLETED"


def test_27_surrogate_pair_is_one_character(tmp_path: Path) -> None:
    outcome = run_export(tmp_path, line(content="<>").replace(b"<>", b"\\ud83d\\ude00"))
    assert (outcome.row["content"], outcome.row["message_length"], outcome.row["flags"]) == ("😀", 1, [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_28_byte_order_mark_determines_the_encoding(tmp_path: Path, encoding: str) -> None:
    text = "\ufeff" + line(content="日本").decode() + "\nnot json\n"
    outcome = run_export(tmp_path, text.encode(encoding))
    assert (outcome.row["content"], outcome.row["source_line"]) == ("日本", 1)
    assert [reject["raw"] for reject in outcome.rejects] == ["not json".encode(encoding)]


def test_28_undecodable_wide_text_is_rejected(tmp_path: Path) -> None:
    outcome = run_export(tmp_path, GOOD, ("\ufeff" + line().decode()).encode("utf-16-le")[:-1])
    assert (message_ids(outcome), outcome.reasons) == (["good"], ["unsupported_encoding"])


def test_28_raw_of_wide_text_is_truncated_between_characters(tmp_path: Path) -> None:
    body = "\ufeff" + raw_line('"content": "' + "日" * 400_000 + '"').decode()
    outcome = run_export(tmp_path, body.encode("utf-16-le"), GOOD)
    (reject,) = outcome.rejects
    assert (reject["reason"], reject["raw_truncated"], message_ids(outcome)) == ("duplicate_key", True, ["good"])
    assert reject["raw"].decode("utf-16-le").endswith("日日")


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe3\x81"])
def test_29_record_with_invalid_utf8_is_rejected_alone(tmp_path: Path, bad: bytes) -> None:
    body = line(content="<>").replace(b"<>", bad)
    outcome = run_export(tmp_path, GOOD + b"\n" + body + b"\n" + line(message_id="good2"))
    assert message_ids(outcome) == ["good", "good2"]
    assert [(reject["reason"], reject["raw"]) for reject in outcome.rejects] == [("invalid_utf8", body)]


def test_30_nul_is_accepted_in_content_and_rejected_in_ids(tmp_path: Path) -> None:
    assert run_export(tmp_path / "a", line(content="a\0b")).row["content"] == "a\0b"
    for name in ("message_id", "user_id", "room_id"):
        assert run_export(tmp_path / name, line(**{name: "a\0b"})).reasons == ["invalid_id"]


def test_31_line_separators_inside_strings_are_content(tmp_path: Path) -> None:
    content = "a\u2028b\u2029c\u0085d\re\r\nf"
    assert run_export(tmp_path, line(content=content)).row["content"] == content


def test_31_crlf_and_lf_give_equal_tables(tmp_path: Path) -> None:
    lines = [
        line(message_id="a"),
        b"{broken",
        line(message_id="b", timestamp="x"),
        line(message_id="c", content="\\ud800"),
    ]
    lines += [line(message_id="a", content="other")]
    unix = run_export(tmp_path / "lf", b"\n".join(lines) + b"\n")
    dos = run_export(tmp_path / "crlf", b"\r\n".join(lines) + b"\r\n")
    assert (unix.rows, unix.rejects) == (dos.rows, dos.rejects)
    assert unix.reasons == ["invalid_json", "invalid_timestamp", "superseded"]


@pytest.mark.parametrize("size", [128 * 1024, 1024 * 1024])
def test_32_long_content_is_stored_exactly(tmp_path: Path, size: int) -> None:
    content = ("日本語 text " * size)[:size]
    outcome = run_export(tmp_path, line(content=content))
    assert (outcome.row["content"], outcome.row["message_length"]) == (content, size)


def test_32_oversized_record_is_rejected_with_truncated_raw(tmp_path: Path) -> None:
    body = line(content="x" * (21 * 2**20))
    outcome = run_export(tmp_path, body + b"\n" + GOOD)
    assert message_ids(outcome) == ["good"]
    (reject,) = outcome.rejects
    assert (reject["reason"], reject["raw_truncated"]) == ("record_too_large", True)
    assert reject["raw"] == body[: 2**20]


def test_33_nesting_within_the_limit_is_stored_and_deeper_is_rejected(tmp_path: Path) -> None:
    deep = raw_line('"x": ' + "[" * 500 + "]" * 500, message_id="deep")
    deeper = raw_line('"x": ' + "[" * 100_000 + "]" * 100_000, message_id="deeper")
    outcome = run_export(tmp_path, deep + b"\n" + deeper + b"\n" + GOOD)
    assert message_ids(outcome) == ["deep", "good"]
    extras = next(row["extras"] for row in outcome.rows if row["message_id"] == "deep")
    assert extras == '{"x":' + "[" * 500 + "]" * 500 + "}"
    assert outcome.reasons == ["too_deep"]


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_33_surrogate_in_deep_nesting_is_replaced(tmp_path: Path, opening: str, closing: str) -> None:
    body = raw_line('"x": ' + opening * 511 + '"\\ud800"' + closing * 511)
    outcome = run_export(tmp_path, body)
    assert outcome.row["extras"] == '{"x":' + opening * 511 + '"\ufffd"' + closing * 511 + "}"
    assert outcome.reasons == ["replaced_surrogate"]


def test_34_numeric_ids_keep_all_digits_and_measures_have_bounds(tmp_path: Path) -> None:
    digits = "123456789012345678901234567890"
    body = line(message_id="<id>").replace(b'"<id>"', digits.encode())[:-1] + b', "agent_info": {"mode": "chat",'
    body += b' "execution_time_ms": -5, "tokens_used": 1e400}, "big": 123456789012345678901234567890.10}'
    outcome = run_export(tmp_path, body)
    row = outcome.row
    assert (row["message_id"], row["agent_mode"], row["execution_time_ms"], row["tokens_used"]) == (
        digits,
        "chat",
        None,
        None,
    )
    assert row["flags"] == ["numeric_id", "out_of_range"]
    assert row["extras"] == (
        '{"agent_info":{"execution_time_ms":-5,"tokens_used":1e400},"big":123456789012345678901234567890.10}'
    )
