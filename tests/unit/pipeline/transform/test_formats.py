"""Other formats are detected by their magic bytes, compressed or not; text is never taken for another format."""

import bz2
import gzip
import io
import lzma
import pickle
import random
import sqlite3
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest
from backports import zstd

from daily_batch.domain.codes import Reason
from daily_batch.domain.run import Limits
from daily_batch.pipeline.transform.decode import UnreadableError, decode
from tests.oracle import stored as oracle

LINE = b'{"message_id": "m1", "content": "\xe3\x81\x82"}\n'
TEXT = LINE * 200
TABLE = pa.table({"message_id": ["m1", "m2"], "score": [0.5, None]})


def make_tar(name: str = "a.jsonl") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))
    return out.getvalue()


def make_zip(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return out.getvalue()


def make_sqlite() -> bytes:
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE messages (id TEXT)")
        return database.serialize()


def write_with_arrow(write: Callable[[io.BytesIO], object]) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def write_ipc(open_writer: Callable[..., Any]) -> bytes:
    out = io.BytesIO()
    with open_writer(out, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return out.getvalue()


def make_npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.arange(9))
    return out.getvalue()


NOISE = random.Random(7).randbytes(20_000)
BODY = NOISE[:100]
# Name in `detail`, and bytes made by the libraries that write the format.
FILES: dict[str, tuple[str, bytes]] = {
    "bzip2": ("bzip2", bz2.compress(TEXT)),
    "bzip2 of nothing": ("bzip2", bz2.compress(b"")),
    "xz": ("xz", lzma.compress(TEXT)),
    "lzma": ("lzma", lzma.compress(TEXT, format=lzma.FORMAT_ALONE)),
    "zip": ("zip", make_zip("a.jsonl")),
    "zip of nothing": ("zip", make_zip()),
    "docx": ("zip", make_zip("[Content_Types].xml", "word/document.xml")),
    "jar": ("zip", make_zip("META-INF/MANIFEST.MF")),
    "tar": ("tar", make_tar()),
    "tar, a name like JSON": ("tar", make_tar("{a}")),
    "sqlite": ("SQLite", make_sqlite()),
    "Parquet": ("Parquet", write_with_arrow(lambda out: pyarrow.parquet.write_table(TABLE, out))),
    "Parquet of no rows": (
        "Parquet",
        write_with_arrow(lambda out: pyarrow.parquet.write_table(TABLE.slice(0, 0), out)),
    ),
    "ORC": ("ORC", write_with_arrow(lambda out: pyarrow.orc.write_table(TABLE, out))),
    "ORC of no rows": ("ORC", write_with_arrow(lambda out: pyarrow.orc.write_table(TABLE.slice(0, 0), out))),
    "Arrow file": ("Arrow IPC file", write_ipc(pa.ipc.new_file)),
    "Arrow stream": ("Arrow IPC stream", write_ipc(pa.ipc.new_stream)),
    "Feather 2": ("Arrow IPC file", write_with_arrow(lambda out: pyarrow.feather.write_feather(TABLE, out))),
    "Feather 1": ("Feather", write_with_arrow(lambda out: pyarrow.feather.write_feather(TABLE, out, version=1))),
    "NumPy": ("NumPy", make_npy()),
    **{f"pickle {n}": ("pickle", pickle.dumps({"message_id": "m1"}, protocol=n)) for n in (2, 3, 4, 5)},
    "lz4 by Arrow": ("lz4", pa.compress(TEXT, codec="lz4", asbytes=True)),
    "zlib": ("binary data", zlib.compress(NOISE)),
    "brotli": ("binary data", pa.compress(NOISE, codec="brotli", asbytes=True)),
    "noise": ("binary data", NOISE),
    "integers": ("binary data", struct.pack("<500I", *range(500))),
    "UTF-16 without a mark": ("binary data", TEXT.decode().encode("utf-16-le")),
    "UTF-16 without a mark, the other": ("binary data", TEXT.decode().encode("utf-16-be")),
    "NULs": ("NUL bytes only", b"\0" * 100_000),
    "a NUL": ("NUL bytes only", b"\0"),
}
MAGIC = {
    "7z": b"7z\xbc\xaf\x27\x1c\0\x04",
    "rar": b"Rar!\x1a\x07\x01\0",
    "snappy": b"\xff\x06\0\0sNaPpY",
    "lzo": b"\x89LZO\0\r\n\x1a\n",
    "lzip": b"LZIP\x01",
    "lz4": b"\x02\x21\x4c\x18",
    "compress": b"\x1f\x9d\x90",
    "Avro": b"Obj\x01\x04\x16avro.schema",
    "Hadoop": b"SEQ\x06",
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "PDF": b"%PDF-1.7\n",
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "GIF": b"GIF89a\x01\0\x01\0\x80\0\0",
    "WebP": b"RIFF\x24\0\0\0WEBPVP8 ",
    "WAVE": b"RIFF\x24\0\0\0WAVEfmt ",
    "BMP": b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
    "MP4": b"\0\0\0\x18ftypmp42",
    "ELF": b"\x7fELF\x02\x01\x01\0",
    "Mach-O": b"\xcf\xfa\xed\xfe\x07\0\0\x01",
    "Java class": b"\xca\xfe\xba\xbe\0\0\0\x34",
    "Windows": b"MZ\x90\0\x03\0\0\0",
    "OLE": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    ".DS_Store": b"\0\0\0\x01Bud1",
    "property list": b"bplist00\xd1\x01\x02",
}
FOREIGN = FILES | {name: (name, magic + BODY) for name, magic in MAGIC.items()}
COMPRESSORS = {"": bytes, "gzip": gzip.compress, "zstd": zstd.compress}

CONTROL = bytes({*range(0x20)} - {0x0A})
TEXTS = {
    "empty": b"",
    "blank": b" \n\r\n\t",
    "lines": TEXT,
    "an array": b"[\n" + LINE + b"]",
    "a number": b"42",
    "an array of numbers": b"[1, 2]",
    "text behind a mark": b"\xef\xbb\xbf" + TEXT,
    "U+001E before each record": (b"\x1e" + LINE) * 50,
    "U+001E alone": b"\x1e\n" * 50,
    "NULs, then records": b"\0" * 100_000 + TEXT,
    "NULs, then the rest of a line, then records": b"\0" * 5000 + b'nt": "x"}\n' + TEXT,
    "records, then NULs": TEXT + b"\0" * 100_000,
    "control bytes, then a record": CONTROL * 100 + b"\n" + TEXT,
    "framed by lengths": b"".join(b"\0\0\0\0\x05" + LINE for _ in range(50)),
    "separated by U+0001": b"a\x01b\x01" + TEXT,
    "control bytes inside": b'{"content": "' + CONTROL * 100 + b'"}\n' + TEXT,
    "control bytes in an array": b"[" + b'{"a": "' + CONTROL * 100 + b'"}]',
    "few control bytes": b"\x01\x02\x03 here\n" * 2,
    "Shift_JIS": "こんにちは、世界。今日は良い天気です。\n".encode("shift_jis") * 100,
    "Shift_JIS in JSON": '{"content": "表示ソ能"}\n'.encode("shift_jis") * 100,
    "ISO-2022-JP": "日本 a 日本 b\n".encode("iso2022_jp") * 100,
    "Latin-1": "café à la crème, naïve\n".encode("latin-1") * 100,
    "Windows-1252": b"\x80 5, \x93so\x94\n" * 100,
    "high bytes alone": bytes(range(0x80, 0x100)) * 20,
    "colours": b"\x1b[32mINFO\x1b[0m ok\n" * 100,
    "letters of Parquet": b"PAR1 is what it says\n" + TEXT,
    "letters of ORC": b"ORC\n" + TEXT,
    "letters of GIF": b"GIF89a\n" + TEXT,
    "letters of bzip2": b"BZh9 is what it says\n" + TEXT,
    "letters of a Windows program": b"MZ\n",
    "letters of a bitmap": b"BM and so on, and so on, and so on\n",
    "tar's letters at their place": b'"' + b"x" * 256 + b'ustar\0"' + b"\n" * 300 + TEXT,
    **{f"marked {code}": ("\ufeff" + TEXT.decode()).encode(code) for code in ("utf-16-le", "utf-16-be", "utf-32-le")},
    "marked utf-32-be": ("\ufeff" + TEXT.decode()).encode("utf-32-be"),
}


def decode_refused(
    stored: bytes, scratch: Path, key: str = "acme/part", limits: Limits | None = None
) -> UnreadableError:
    with pytest.raises(UnreadableError) as error:
        decode(stored, key=key, limits=limits or Limits(), scratch=scratch)
    with pytest.raises(oracle.UnreadableError, match=error.value.reason):
        oracle.read_object(key, stored, limits or Limits())
    return error.value


@pytest.mark.parametrize("compression", COMPRESSORS)
@pytest.mark.parametrize("kind", FOREIGN)
def test_another_format_is_named_uncompressed_and_compressed(tmp_path: Path, kind: str, compression: str) -> None:
    name, body = FOREIGN[kind]
    found = decode_refused(COMPRESSORS[compression](body), tmp_path)
    assert found.reason is Reason.FOREIGN_FORMAT
    assert found.detail.lower().startswith(name.lower())
    assert found.detail.endswith(f" within {compression}") == bool(compression)


@pytest.mark.parametrize("inner", ["gzip", "zstd"])
@pytest.mark.parametrize("outer", ["gzip", "zstd"])
def test_nested_compression_is_named(tmp_path: Path, inner: str, outer: str) -> None:
    found = decode_refused(COMPRESSORS[outer](COMPRESSORS[inner](TEXT)), tmp_path)
    assert (found.reason, found.detail) == (Reason.FOREIGN_FORMAT, f"{inner} within {outer}")


def test_skippable_frame_within_a_compression_is_zstd(tmp_path: Path) -> None:
    assert decode_refused(gzip.compress(b"\x5a\x2a\x4d\x18\x05\0\0\0notes"), tmp_path).detail == "zstd within gzip"


@pytest.mark.parametrize("kind", TEXTS)
def test_text_is_never_taken_for_another_format(tmp_path: Path, kind: str) -> None:
    for compress in COMPRESSORS.values():
        decode(compress(TEXTS[kind]), key="acme/part", limits=Limits(), scratch=tmp_path)
        oracle.read_object("acme/part", compress(TEXTS[kind]), Limits())


@pytest.mark.parametrize("key", ["acme/a.gz", "acme/a.jsonl.ZST"])
def test_object_named_as_compressed_is_foreign_only_if_recognized(tmp_path: Path, key: str) -> None:
    assert decode_refused(make_tar(), tmp_path, key).detail == "tar"
    for body in (TEXT, NOISE, b"\0" * 100):
        assert decode_refused(body, tmp_path, key).reason is Reason.CORRUPT_COMPRESSION


def test_format_is_detected_before_the_object_is_fully_decompressed(tmp_path: Path) -> None:
    bomb = gzip.compress(make_tar() + b"\0" * 200_000_000, 1)
    started = time.process_time()
    assert decode_refused(bomb, tmp_path, limits=Limits(max_object_bytes=10**6)).detail == "tar within gzip"
    assert time.process_time() - started < 2
    cut = decode_refused(gzip.compress(make_tar())[:-8], tmp_path)
    assert cut.reason is Reason.CORRUPT_COMPRESSION


def test_bomb_of_nuls_is_a_bomb(tmp_path: Path) -> None:
    assert decode_refused(gzip.compress(b"\0" * 40_000_000), tmp_path).reason is Reason.DECOMPRESSION_BOMB


def test_millions_of_nul_bytes_are_detected_at_once(tmp_path: Path) -> None:
    body = b"\0" * 2**24
    started = time.process_time()
    with pytest.raises(UnreadableError):
        decode(body, key="acme/part", limits=Limits(), scratch=tmp_path)
    assert time.process_time() - started < 0.5
