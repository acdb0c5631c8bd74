"""Storage URLs: the forms that a user may write, read without touching a disk or a network."""

import re
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import quote, unquote

from daily_batch.errors import UsageError

Kind = Literal["file", "s3", "abfss", "volume"]

FORMS = "a folder, file:///…, s3://bucket/prefix, abfss://container@account.dfs.core.windows.net/prefix or /Volumes/…"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<path>.*))?")
_ABFSS = re.compile(
    r"abfss://(?P<bucket>[a-z0-9][a-z0-9-]{1,61}[a-z0-9])@(?P<account>[a-z0-9]{3,24})\.dfs\.core\.windows\.net"
    r"(?:/(?P<path>.*))?"
)
# What a URL parser reads as a query, a fragment or an escape, and Spark as a glob.
_UNSAFE = re.compile(r"[?#%\\*{}\[\]\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class StorageUrl:
    """A parsed storage URL; `str()` returns it as the user wrote it.

    `bucket` is the bucket or container, `path` the prefix in it without leading or trailing slashes. For `file` and
    `volume`, `bucket` is empty and `path` is the folder, absolute or relative.
    """

    kind: Kind
    path: str
    bucket: str = ""
    account: str = ""
    text: str = field(compare=False)

    def __str__(self) -> str:
        """Return the URL as the user wrote it."""
        return self.text

    def child(self, relative: str) -> "StorageUrl":
        """Return the URL of `relative`, a path of plain names, below this one.

        Raises:
            UsageError: The path could lead elsewhere.
        """
        remote = self.kind in ("s3", "abfss")
        if not is_plain_path(relative) or "\x00" in relative or (remote and _UNSAFE.search(relative)):
            raise UsageError(
                f"{relative[:200]!a} is not a path below a storage URL", next_step="use plain names between slashes"
            )
        written = quote(relative) if self.text.startswith("file:") else relative
        below = f"{self.path}/{relative}" if self.path else relative
        return replace(self, path=below.replace("//", "/"), text=f"{self.text.rstrip('/')}/{written}")


def parse_url(text: str) -> StorageUrl:
    """Parse a storage URL in one of the forms of `FORMS`.

    Raises:
        UsageError: The text has another form. The message does not repeat it: it may hold credentials.
    """
    scheme = _SCHEME.match(text)
    if not text or "\x00" in text:
        raise _refused("is empty or contains a NUL")
    if scheme is None:
        return _folder(text, text)
    if text.startswith("file://"):
        folder = text.removeprefix("file://").removeprefix("localhost")
        path = unquote(folder)
        if not path.startswith("/") or re.search(r"[?#]|%00", folder) or ".." in path.split("/"):
            raise _refused("is not file:///… followed by a plain absolute folder")
        return _folder(path, text)
    match = _S3.fullmatch(text) or _ABFSS.fullmatch(text)
    if match is None:
        raise _refused(_describe_mismatch(text, scheme[1]))
    parts = match.groupdict(default="")
    prefix = parts["path"].rstrip("/")
    if _UNSAFE.search(prefix) or (prefix and not is_plain_path(prefix)):
        raise _refused("has a query, an escape, a glob, an empty name or .. in its prefix")
    kind: Kind = "s3" if text.startswith("s3:") else "abfss"
    return StorageUrl(
        kind=kind, bucket=parts["bucket"], account=parts.get("account", ""), path=prefix, text=text.rstrip("/")
    )


def _describe_mismatch(text: str, scheme: str) -> str:
    """Return which part of a URL is wrong, without quoting more of it than its scheme."""
    if text.startswith("s3://"):
        return "has no valid bucket name after s3://: 3 to 63 lowercase letters, digits, dots and hyphens"
    if text.startswith("abfss://"):
        return "is not abfss://, a container, @, a storage account and .dfs.core.windows.net"
    return f"with the scheme {scheme[:20]!a} has none of the supported forms; never put credentials into it"


def _folder(path: str, text: str) -> StorageUrl:
    volume = path.startswith("/Volumes/")
    if volume and ".." in path.split("/"):
        raise _refused("is a volume path with ..")
    normal = str(PurePosixPath(path))
    return StorageUrl(kind="volume" if volume else "file", path=normal, text=text.rstrip("/") or "/")


def is_plain_path(path: str) -> bool:
    """Return whether no part of the path is empty, `.` or `..`."""
    return all(segment not in ("", ".", "..") for segment in path.split("/"))


def _refused(why: str) -> UsageError:
    return UsageError(f"the storage URL {why}", next_step=f"give {FORMS}")
