"""Tenant ids, object keys and folders. Pure: nothing here touches a disk or a network."""

import re
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from daily_batch.domain.calendar import EPOCH, to_us
from daily_batch.domain.url import is_plain_path
from daily_batch.errors import UsageError

EXPORT_TEMPLATE = "{tenant}/exports/messages/{yyyy}/{mm}/{dd}/"

# The folder in a tenant's folder that holds its tables and receipts.
TABLES_FOLDER = "analytics"

_COMPRESSED = (".gz", ".zst", ".zstd")
TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_MESSAGE_KEY = re.compile(
    rf"(?P<tenant>{TENANT.pattern})/chat/(?P<user>[^/]+)/(?P<room>[^/]+)/messages/"
    r"(?P<day>[0-9]{4}/[0-9]{2}/[0-9]{2})/"
    r"(?P<hour>[0-9]{2})-(?P<minute>[0-9]{2})-(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?Z-"
    r"(?P<message_id>[^/]+?)\.json(?:\.gz|\.zst)?"
)


def check_tenant(tenant: object) -> str:
    """Return the tenant id unchanged if it is safe in a path, a predicate and a policy.

    Raises:
        UsageError: It is not an ASCII letter or digit followed by up to 62 letters, digits, `_` or `-`.
    """
    # JSON of an event can hold any type, and so can a caller's argument.
    if not isinstance(tenant, str) or not is_tenant(tenant):
        raise UsageError(
            f"the tenant id {str(tenant)[:80]!a} is not allowed",
            next_step="give a letter or digit and up to 62 letters, digits, _ or -",
        )
    return tenant


def is_tenant(name: str) -> bool:
    """Return whether the name is a valid tenant id."""
    return TENANT.fullmatch(name) is not None


class MessageKey(NamedTuple):
    """The parts of a message object's key; `sent_us` is the producer's clock, microseconds since 1970-01-01 UTC."""

    tenant: str
    user: str
    room: str
    sent_us: int
    message_id: str


def parse_message_key(key: str) -> MessageKey | None:
    """Parse a key relative to the input root; return None if it is not the key of a message object.

    User, room and message ids are the text between the slashes. Digits below a microsecond are dropped.
    """
    match = _MESSAGE_KEY.fullmatch(key)
    if match is None:
        return None
    tenant, user, room, day, hours, minutes, seconds, fraction, message_id = match.groups()
    midnight = _midnight_us(day)
    hour, minute, second = int(hours), int(minutes), int(seconds)
    if (hour, minute, second) == (23, 59, 60):
        second = 59  # a leap second, treated as in the timestamps of bodies
    if midnight is None or hour > 23 or minute > 59 or second > 59:
        return None
    micros = int((fraction or "0").ljust(6, "0")[:6])
    return MessageKey(
        tenant, user, room, midnight + ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros, message_id
    )


def has_compression_suffix(key: str) -> bool:
    """Return whether an object's name has a compression suffix; its first bytes decide its actual format."""
    return key.lower().endswith(_COMPRESSED)


def strip_compression_suffix(key: str) -> str:
    """Return the object's name without its compression suffix."""
    return key.rpartition(".")[0] if has_compression_suffix(key) else key


@lru_cache(maxsize=4096)
def _midnight_us(folder: str) -> int | None:
    try:
        return to_us(EPOCH.replace(year=int(folder[:4]), month=int(folder[5:7]), day=int(folder[8:])))
    except ValueError:
        return None


def check_export_template(template: str) -> str:
    """Return the template of the export folder, with a trailing `/`.

    Raises:
        UsageError: It does not begin with `{tenant}/`, has no complete date, or could leave the tenant's folder.
    """
    text = template if template.endswith("/") else f"{template}/"
    literal = re.sub(r"\{(?:tenant|yyyy|mm|dd)\}", "x", text)
    complete = text.startswith("{tenant}/") and all(part in text for part in ("{yyyy}", "{mm}", "{dd}"))
    if not complete or re.search(r"[{}\\\x00-\x1f\x7f]", literal) or not is_plain_path(literal[:-1]):
        raise UsageError(
            f"the export template {template[:200]!a} is not allowed",
            next_step=f"begin with {{tenant}}/ and name {{yyyy}}, {{mm}} and {{dd}}, as in {EXPORT_TEMPLATE}",
        )
    return text


def export_root(template: str) -> str:
    """Return the folder that holds the exports of all days: the template up to its first part with a date field."""
    return re.split(r"/[^/]*\{(?:yyyy|mm|dd)\}", template)[0]


def export_folder(template: str, tenant: str, day: date) -> str:
    """Return the folder of a tenant-day's export, relative to the input root, with a trailing `/`."""
    parts = {"tenant": check_tenant(tenant), "yyyy": f"{day:%Y}", "mm": f"{day:%m}", "dd": f"{day:%d}"}
    return re.sub(r"\{(\w+)\}", lambda field: parts[field[1]], check_export_template(template))


def analytics_folder(tenant: str) -> str:
    """Return the folder of a tenant's tables and receipts, relative to the output root."""
    return f"{check_tenant(tenant)}/{TABLES_FOLDER}"


def staged_path(path: str, day: str) -> str:
    """Return where a plain Parquet file is staged before publication: readers skip folders that begin with `_`."""
    return f"_staging/{day}/{path.rpartition('/')[2]}"
