"""PK and SK of the items: tenants, users of a tenant, rooms of a user, days of a tenant, and posted summaries."""

from datetime import date

TENANTS = "SYSTEM#TENANTS"
TENANT = "TENANT#"
USER = "USER#"
ROOM = "CHAT#"
DAY = "DAILY#"
# SK of the item that counts a tenant's stray objects, in the partition of its days.
STRAYS = "STRAYS"
BATCH_TYPE = "daily_message_parquet"
# PK of the items about the batch itself.
BATCH = "BATCH"


def all_of(kind: str) -> tuple[str, str]:
    """Return the first and last SK of a prefix such as `USER#`: `$` follows `#` in every store's order.

    An upper bound of U+10FFFF would not do: stores that order by UTF-16 units put full-width letters after it.
    """
    return kind, f"{kind[:-1]}$"


def users_of(tenant: str) -> str:
    """Return the PK of a tenant's users, each with SK `USER#{user_id}`."""
    return f"TENANT#{tenant}"


def rooms_of(tenant: str, user: str) -> str:
    """Return the PK of a user's rooms, each with SK `CHAT#{room_id}`."""
    return f"TENANT#{tenant}#USER#{user}"


def days_of(tenant: str) -> str:
    """Return the PK of a tenant's days, each with SK `DAILY#{yyyy-mm-dd}`."""
    return f"TENANT#{tenant}#BATCH"


def day_key(day: date) -> str:
    """Return the SK of a day."""
    return f"{DAY}{day.isoformat()}"


def notified_key(night: str, deployment: str) -> str:
    """Return the SK, in the partition `BATCH`, of the claim to post a deployment's summary of a night."""
    return f"NOTIFIED#{night}#{deployment}"
