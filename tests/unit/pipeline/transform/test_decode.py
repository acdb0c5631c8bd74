"""Decoding: compression by magic bytes, complete objects or none, limits, byte order marks."""

import gzip
import random
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from backports import zstd

from daily_batch.domain.codes import Reason
from daily_batch.domain.run import Limits
from daily_batch.pipeline.transform import decode as module
from daily_batch.pipeline.transform.decode import Decoded, UnreadableError, decode, decode_originals

SKIPPED = b"\x5a\x2a\x4d\x18\x05\0\0\0notes"
TEXT = b"".join(b'{"n": %d, "t": "\xe3\x81\x82"}\n' % n for n in range(50_000))


def decode_text(stored: bytes, scratch: Path, key: str = "acme/part", limits: Limits | None = None) -> Decoded:
    return decode(stored, key=key, limits=limits or Limits(), scratch=scratch)


def refusal_reason(stored: bytes, scratch: Path, key: str = "acme/part", limits: Limits | None = None) -> Reason:
    with pytest.raises(UnreadableError) as refused:
        decode_text(stored, scratch, key, limits)
    return refused.value.reason


@pytest.mark.parametrize(
    "stored",
    [
        TEXT,
        gzip.compress(TEXT),
        gzip.compress(TEXT[:1000]) + gzip.compress(b"") + gzip.compress(TEXT[1000:]),
        gzip.compress(TEXT) + b"\0" * 3000,
        zstd.compress(TEXT),
        zstd.compress(TEXT[:1000]) + zstd.compress(TEXT[1000:]),
        SKIPPED + zstd.compress(TEXT[:1000]) + SKIPPED + zstd.compress(TEXT[1000:]) + SKIPPED,
    ],
    ids=["plain", "gzip", "gzip members", "gzip padded with zeros", "zstd", "zstd frames", "zstd frames to skip"],
)
def test_compression_is_detected_by_magic_bytes(tmp_path: Path, stored: bytes) -> None:
    assert bytes(decode_text(stored, tmp_path, key="acme/part.json").text) == TEXT


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_truncated_stream_is_refused_entirely(tmp_path: Path, compress: object) -> None:
    stored = compress(TEXT)  # type: ignore[operator]
    cuts = random.Random(1).sample(range(4, len(stored)), 40)
    assert {refusal_reason(stored[:cut], tmp_path) for cut in cuts} == {Reason.CORRUPT_COMPRESSION}


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_trailing_garbage_after_a_stream_is_refused(tmp_path: Path, compress: object) -> None:
    assert refusal_reason(compress(TEXT) + b"garbage!", tmp_path) is Reason.CORRUPT_COMPRESSION  # type: ignore[operator]


def test_wrong_checksum_is_refused(tmp_path: Path) -> None:
    stored = bytearray(gzip.compress(TEXT))
    stored[-8] ^= 1
    assert refusal_reason(bytes(stored), tmp_path) is Reason.CORRUPT_COMPRESSION
    stored = bytearray(zstd.compress(TEXT, options={zstd.CompressionParameter.checksum_flag: 1}))
    stored[-1] ^= 1
    assert refusal_reason(bytes(stored), tmp_path) is Reason.CORRUPT_COMPRESSION


@pytest.mark.parametrize(("window_log", "is_accepted"), [(27, True), (28, False)])
def test_zstd_window_may_have_128_mib_and_no_more(tmp_path: Path, window_log: int, is_accepted: bool) -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window_log})
    stored = compressor.compress(TEXT) + compressor.flush()
    if is_accepted:
        assert decode_text(stored, tmp_path).text == TEXT
    else:
        assert refusal_reason(stored, tmp_path) is Reason.CORRUPT_COMPRESSION


@pytest.mark.parametrize("key", ["acme/a.gz", "acme/a.jsonl.GZ", "acme/a.zst", "acme/a.zstd"])
def test_object_named_as_compressed_must_be_compressed(tmp_path: Path, key: str) -> None:
    assert refusal_reason(TEXT, tmp_path, key) is Reason.CORRUPT_COMPRESSION
    assert decode_text(b"", tmp_path, key).text == b""


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_bomb_stops_at_the_ratio_and_at_the_size(tmp_path: Path, compress: object) -> None:
    bomb = compress(b"0" * 40_000_000)  # type: ignore[operator]
    assert refusal_reason(bomb, tmp_path) is Reason.DECOMPRESSION_BOMB
    limits = Limits(max_expansion_ratio=10**9, max_object_bytes=30_000_000)
    assert refusal_reason(bomb, tmp_path, limits=limits) is Reason.DECOMPRESSION_BOMB


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_bomb_is_detected_in_little_memory(tmp_path: Path, compress: object) -> None:
    bomb = compress(b"0" * 400_000_000)  # type: ignore[operator]
    limits = Limits(max_object_bytes=1_000_000)
    tracemalloc.start()
    try:
        assert refusal_reason(bomb, tmp_path, limits=limits) is Reason.DECOMPRESSION_BOMB
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_decompression_in_many_steps_gives_the_same_text(
    tmp_path: Path, compress: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_OUTPUT_BYTES", 1000)
    assert decode_text(compress(TEXT), tmp_path).text == TEXT  # type: ignore[operator]


def test_large_object_goes_through_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPOOL_BYTES", 1000)
    result = decode_text(gzip.compress(TEXT), tmp_path).text
    assert not isinstance(result, bytes)
    assert result[:] == TEXT


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_text_is_decoded_by_its_mark_and_restored_as_stored(tmp_path: Path, encoding: str) -> None:
    text = '{"content": "日本😀"}'
    result = decode_text(("\ufeff" + text).encode(encoding), tmp_path)
    assert result.text == text.encode()
    assert result.original(0, len(result.text), 1000) == (text.encode(encoding), False)


def test_wide_text_that_does_not_decode_is_refused(tmp_path: Path) -> None:
    assert refusal_reason("\ufeffab".encode("utf-16-le") + b"x", tmp_path) is Reason.UNSUPPORTED_ENCODING


WIDE = b"\xff\xfe" + TEXT.decode().encode("utf-16-le")


@pytest.mark.parametrize(
    "stored",
    [
        TEXT,
        gzip.compress(TEXT),
        gzip.compress(TEXT[:1000]) + gzip.compress(b"") + gzip.compress(TEXT[1000:]),
        gzip.compress(WIDE),
        gzip.compress(WIDE[:1]) + gzip.compress(WIDE[1:]),
        zstd.compress(TEXT),
        WIDE,
    ],
    ids=["plain", "gzip", "members", "wide", "mark in two members", "zstd", "plain and wide"],
)
def test_originals_equal_those_of_the_complete_text(stored: bytes, tmp_path: Path) -> None:
    limits = Limits(max_raw_bytes=200_000)
    generator = random.Random(1)
    starts = [0, *sorted(generator.sample(range(1, len(TEXT) - 1), 40)), len(TEXT)]
    lines = [(start, after - start) for start, after in pairwise(starts)]
    # All lines, lines with gaps, ranges over several blocks, and two ranges that overlap.
    for ranges in (lines, lines[::3], [(10, 20)], [(5, len(TEXT) - 5)], [(0, 500_000), (499_990, 20)]):
        complete = decode_text(stored, tmp_path, limits=limits)
        result = list(decode_originals(stored, ranges, key="acme/part", limits=limits, scratch=tmp_path))
        assert result == [complete.original(start, length, limits.max_raw_bytes) for start, length in ranges]


def test_nothing_is_decompressed_after_the_last_range(tmp_path: Path) -> None:
    stored = gzip.compress(TEXT)
    cut = stored[: len(stored) // 2]
    (result,) = decode_originals(cut, [(30, 40)], key="acme/part", limits=Limits(), scratch=tmp_path)
    assert result == decode_text(stored, tmp_path).original(30, 40, 1000)
