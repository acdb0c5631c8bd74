"""Bytes of objects: encodings of a text, compression, and other formats."""

import gzip
import io
import tarfile
import zipfile
from random import Random

from backports import zstd


def encode_object(rng: Random, body: bytes) -> tuple[bytes, str]:
    """Return the text as an object stores it, and the ending of its name."""
    roll = rng.random()
    if roll < 0.04:
        body = b"\xef\xbb\xbf" + body
    elif roll < 0.09:
        decoded = body.decode("utf-8", "replace")
        encoding = rng.choice(("utf-16", "utf-32", "utf-16-be", "utf-32-be", "utf-16-le"))
        body = ("\ufeff" + decoded if encoding.endswith("e") else decoded).encode(encoding)
        body = body[: -1 if rng.random() < 0.1 else None]
    elif roll < 0.11:
        body = body.replace(b"\n", b"\r\n")
    elif roll < 0.12:
        body = rng.choice((b"\0", b"\0" * 20, b"\n", b"\x1e", b" ", b"PAR1", b"\xff\xfe", b"GIF89a")) + body
    roll = rng.random()
    if roll < 0.1:
        return _compress_gzip(rng, body), ".gz"
    if roll < 0.15:
        return _compress_zstd(rng, body), ".zst"
    if roll < 0.17:
        return _make_container(rng, body), rng.choice(("", ".gz", ".zst"))
    return body, ""


def _compress_gzip(rng: Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    complete = gzip.compress(body, 1, mtime=0)
    two_members = gzip.compress(body[:at], 1, mtime=0) + gzip.compress(body[at:], 1, mtime=0)
    return rng.choice(
        (
            complete,
            complete,
            two_members,
            two_members + b"\0" * 9,
            complete[:-3],
            complete[:at],
            complete + b"x",
            gzip.compress(complete),
        )
    )


def _compress_zstd(rng: Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    complete, two_members = zstd.compress(body, 1), zstd.compress(body[:at], 1) + zstd.compress(body[at:], 1)
    skipped = b"\x50\x2a\x4d\x18\x02\0\0\0ab"
    return rng.choice(
        (
            complete,
            complete,
            two_members,
            skipped + complete,
            complete + skipped,
            complete[:-3],
            complete + b"x",
            gzip.compress(complete),
        )
    )


def _make_container(rng: Random, body: bytes) -> bytes:
    file = io.BytesIO()
    roll = rng.randrange(4)
    if roll == 0:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            entry = tarfile.TarInfo("a.json")
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
        return file.getvalue()
    if roll == 1:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(zipfile.ZipInfo("a.json"), body)
        return file.getvalue()
    if roll == 2:
        return rng.choice(
            (b"", b" \n", b"\0\0", b"\xef\xbb\xbf", b"\xff\xfe", b"[", b"]", b"{", b'"', b"null", b"\x0c", b"\x0b\n")
        )
    return rng.randbytes(rng.choice((1, 3, 20, 400))) + rng.choice((b"", body))
