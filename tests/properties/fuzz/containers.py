"""Bytes of objects: encodings of a text, compression, and other formats."""

import gzip
import io
import tarfile
import zipfile
from random import Random

from backports import zstd


def stored(rng: Random, body: bytes) -> tuple[bytes, str]:
    """Return the text as an object stores it, and the ending of its name."""
    roll = rng.random()
    if roll < 0.04:
        body = b"\xef\xbb\xbf" + body
    elif roll < 0.09:
        wide = body.decode("utf-8", "replace")
        coded = rng.choice(("utf-16", "utf-32", "utf-16-be", "utf-32-be", "utf-16-le"))
        body = ("\ufeff" + wide if coded.endswith("e") else wide).encode(coded)
        body = body[: -1 if rng.random() < 0.1 else None]
    elif roll < 0.11:
        body = body.replace(b"\n", b"\r\n")
    elif roll < 0.12:
        body = rng.choice((b"\0", b"\0" * 20, b"\n", b"\x1e", b" ", b"PAR1", b"\xff\xfe", b"GIF89a")) + body
    roll = rng.random()
    if roll < 0.1:
        return _packed(rng, body), ".gz"
    if roll < 0.15:
        return _frames(rng, body), ".zst"
    if roll < 0.17:
        return _container(rng, body), rng.choice(("", ".gz", ".zst"))
    return body, ""


def _packed(rng: Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    whole = gzip.compress(body, 1, mtime=0)
    two = gzip.compress(body[:at], 1, mtime=0) + gzip.compress(body[at:], 1, mtime=0)
    return rng.choice((whole, whole, two, two + b"\0" * 9, whole[:-3], whole[:at], whole + b"x", gzip.compress(whole)))


def _frames(rng: Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    whole, two = zstd.compress(body, 1), zstd.compress(body[:at], 1) + zstd.compress(body[at:], 1)
    skipped = b"\x50\x2a\x4d\x18\x02\0\0\0ab"
    return rng.choice(
        (whole, whole, two, skipped + whole, whole + skipped, whole[:-3], whole + b"x", gzip.compress(whole))
    )


def _container(rng: Random, body: bytes) -> bytes:
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
