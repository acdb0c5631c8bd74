"""Names: tenants, message keys, folders and storage URLs. Pure; nothing here touches a disk or a network."""

import re
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Literal, NamedTuple
from urllib.parse import quote, unquote

from daily_batch.domain.calendar import EPOCH, to_us
from daily_batch.errors import UsageError

EXPORT_TEMPLATE = "{tenant}/exports/messages/{yyyy}/{mm}/{dd}/"

# A tenant's folder of tables and receipts.
TABLES_FOLDER = "analytics"

_COMPRESSED = (".gz", ".zst", ".zstd")
TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_MESSAGE_KEY = re.compile(
    rf"(?P<tenant>{TENANT.pattern})/chat/(?P<user>[^/]+)/(?P<room>[^/]+)/messages/"
    r"(?P<day>[0-9]{4}/[0-9]{2}/[0-9]{2})/"
    r"(?P<hour>[0-9]{2})-(?P<minute>[0-9]{2})-(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?Z-"
    r"(?P<message_id>[^/]+?)\.json(?:\.gz|\.zst)?"
)


def check_tenant(tenant: str) -> str:
    """The tenant's id as it is, once it is known to be safe in a path, a predicate and a policy.

    Raises:
        UsageError: it is anything but an ASCII letter or digit and up to 62 more of those, `_` and `-`.
    """
    # An event's JSON can hold anything.
    if not isinstance(tenant, str) or not is_tenant(tenant):
        raise UsageError(
            f"the tenant id {str(tenant)[:80]!a} is not allowed",
            next_step="give a letter or digit and up to 62 letters, digits, _ or -",
        )
    return tenant


def is_tenant(name: str) -> bool:
    """Whether the name can be a tenant's."""
    return TENANT.fullmatch(name) is not None


class MessageKey(NamedTuple):
    """What the key of a message's own object says; `sent_us` is the producer's clock, microseconds since 1970 UTC."""

    tenant: str
    user: str
    room: str
    sent_us: int
    message_id: str


def parse_message_key(key: str) -> MessageKey | None:
    """What a key (relative to the input root) says about its message, or None when it is no message's.

    Users, rooms and message ids are whatever stands between the slashes. Fractions finer than a microsecond are cut.
    """
    match = _MESSAGE_KEY.fullmatch(key)
    if match is None:
        return None
    tenant, user, room, day, hours, minutes, seconds, fraction, message_id = match.groups()
    midnight = _midnight_us(day)
    hour, minute, second = int(hours), int(minutes), int(seconds)
    if (hour, minute, second) == (23, 59, 60):
        second = 59  # a leap second, as in the timestamps of bodies
    if midnight is None or hour > 23 or minute > 59 or second > 59:
        return None
    micros = int((fraction or "0").ljust(6, "0")[:6])
    return MessageKey(
        tenant, user, room, midnight + ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros, message_id
    )


def promises_compression(key: str) -> bool:
    """Whether an object's name says that it is compressed; its first bytes decide what it is."""
    return key.lower().endswith(_COMPRESSED)


def without_compression(key: str) -> str:
    """The object's name, but for what promises compression."""
    return key.rpartition(".")[0] if promises_compression(key) else key


@lru_cache(maxsize=4096)
def _midnight_us(folder: str) -> int | None:
    try:
        return to_us(EPOCH.replace(year=int(folder[:4]), month=int(folder[5:7]), day=int(folder[8:])))
    except ValueError:
        return None


def check_export_template(template: str) -> str:
    """The template of the export folder, ending in `/`.

    Raises:
        UsageError: it does not begin with `{tenant}/`, lacks the day, or could lead out of the tenant's folder.
    """
    text = template if template.endswith("/") else f"{template}/"
    literal = re.sub(r"\{(?:tenant|yyyy|mm|dd)\}", "x", text)
    complete = text.startswith("{tenant}/") and all(part in text for part in ("{yyyy}", "{mm}", "{dd}"))
    if not complete or re.search(r"[{}\\\x00-\x1f\x7f]", literal) or not _plain_segments(literal[:-1]):
        raise UsageError(
            f"the export template {template[:200]!a} is not allowed",
            next_step=f"begin with {{tenant}}/ and name {{yyyy}}, {{mm}} and {{dd}}, as in {EXPORT_TEMPLATE}",
        )
    return text


def export_root(template: str) -> str:
    """The folder that holds the exports of all of a tenant's days: what stands before the first part with a day."""
    return re.split(r"/[^/]*\{(?:yyyy|mm|dd)\}", template)[0]


def export_folder(template: str, tenant: str, day: date) -> str:
    """The folder of a tenant-day's export, relative to the input root and ending in `/`."""
    parts = {"tenant": check_tenant(tenant), "yyyy": f"{day:%Y}", "mm": f"{day:%m}", "dd": f"{day:%d}"}
    return re.sub(r"\{(\w+)\}", lambda field: parts[field[1]], check_export_template(template))


def analytics_folder(tenant: str) -> str:
    """The folder of a tenant's tables and receipts, relative to the output root."""
    return f"{check_tenant(tenant)}/{TABLES_FOLDER}"


def staged_path(path: str, day: str) -> str:
    """Where a plain Parquet file waits before it is published: every reader skips folders that begin with `_`."""
    return f"_staging/{day}/{path.rpartition('/')[2]}"


Kind = Literal["file", "s3", "abfss", "volume"]

FORMS = "a folder, file:///…, s3://bucket/prefix, abfss://container@account.dfs.core.windows.net/prefix or /Volumes/…"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<path>.*))?")
_ABFSS = re.compile(
    r"abfss://(?P<bucket>[a-z0-9][a-z0-9-]{1,61}[a-z0-9])@(?P<account>[a-z0-9]{3,24})\.dfs\.core\.windows\.net"
    r"(?:/(?P<path>.*))?"
)
# What a URL reads as a query, a fragment or an escape, and what Spark's paths read as a glob.
_UNSAFE = re.compile(r"[?#%\\*{}\[\]\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class StorageUrl:
    """Where something is stored. `str()` gives the form that the user wrote.

    `bucket` is the bucket or container and `path` the prefix in it, without slashes at its ends; for `file` and
    `volume` the bucket is empty and `path` is the folder, absolute or relative.
    """

    kind: Kind
    path: str
    bucket: str = ""
    account: str = ""
    text: str = field(compare=False)

    def __str__(self) -> str:
        """The user's form."""
        return self.text

    def child(self, relative: str) -> "StorageUrl":
        """What lies at `relative`, a path of plain names, below this.

        Raises:
            UsageError: the path could lead elsewhere.
        """
        remote = self.kind in ("s3", "abfss")
        if not _plain_segments(relative) or "\x00" in relative or (remote and _UNSAFE.search(relative)):
            raise UsageError(
                f"{relative[:200]!a} is no path below a storage URL", next_step="use plain names between slashes"
            )
        written = quote(relative) if self.text.startswith("file:") else relative
        below = f"{self.path}/{relative}" if self.path else relative
        return replace(self, path=below.replace("//", "/"), text=f"{self.text.rstrip('/')}/{written}")


def parse_url(text: str) -> StorageUrl:
    """Read a storage URL, in one of the forms of `FORMS`.

    Raises:
        UsageError: it has another form. The message does not repeat the URL, for it may hold credentials.
    """
    scheme = _SCHEME.match(text)
    if not text or "\x00" in text:
        raise _refused("is empty or holds a NUL")
    if scheme is None:
        return _folder(text, text)
    if text.startswith("file://"):
        folder = text.removeprefix("file://").removeprefix("localhost")
        path = unquote(folder)
        if not path.startswith("/") or re.search(r"[?#]|%00", folder) or ".." in path.split("/"):
            raise _refused("is no file:///… of a plain absolute folder")
        return _folder(path, text)
    match = _S3.fullmatch(text) or _ABFSS.fullmatch(text)
    if match is None:
        raise _refused(f"has the scheme {scheme[1][:20]!a} and none of the known forms; credentials never belong in it")
    parts = match.groupdict(default="")
    prefix = parts["path"].rstrip("/")
    if _UNSAFE.search(prefix) or (prefix and not _plain_segments(prefix)):
        raise _refused("has a prefix with a query, an escape, a glob, an empty name or ..")
    kind: Kind = "s3" if text.startswith("s3:") else "abfss"
    return StorageUrl(
        kind=kind, bucket=parts["bucket"], account=parts.get("account", ""), path=prefix, text=text.rstrip("/")
    )


def _folder(path: str, text: str) -> StorageUrl:
    volume = path.startswith("/Volumes/")
    if volume and ".." in path.split("/"):
        raise _refused("is a volume's path with ..")
    normal = str(PurePosixPath(path))
    return StorageUrl(kind="volume" if volume else "file", path=normal, text=text.rstrip("/") or "/")


def _plain_segments(path: str) -> bool:
    return all(segment not in ("", ".", "..") for segment in path.split("/"))


def _refused(why: str) -> UsageError:
    return UsageError(f"the storage URL {why}", next_step=f"give {FORMS}")
