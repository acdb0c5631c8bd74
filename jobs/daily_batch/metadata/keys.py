"""PK and SK of the platform's items: tenants, a tenant's users, a user's rooms, a tenant's days."""

from datetime import date

TENANTS = "SYSTEM#TENANTS"
TENANT = "TENANT#"
USER = "USER#"
ROOM = "CHAT#"
DAY = "DAILY#"
# SK of what was found of a tenant's stray objects, beside its days.
STRAYS = "STRAYS"
BATCH_TYPE = "daily_message_parquet"


def all_of(kind: str) -> tuple[str, str]:
    """The first and last SK of a kind, such as `USER#`: `$` follows `#` in every store's order.

    Of what follows U+10FFFF the stores have different opinions: by UTF-16 units, names of full-width letters do.
    """
    return kind, f"{kind[:-1]}$"


def users_of(tenant: str) -> str:
    """PK of a tenant's users, each with SK `USER#{user_id}`."""
    return f"TENANT#{tenant}"


def rooms_of(tenant: str, user: str) -> str:
    """PK of a user's rooms, each with SK `CHAT#{room_id}`."""
    return f"TENANT#{tenant}#USER#{user}"


def days_of(tenant: str) -> str:
    """PK of a tenant's days, each with SK `DAILY#{yyyy-mm-dd}`."""
    return f"TENANT#{tenant}#BATCH"


def day_key(day: date) -> str:
    """SK of one day."""
    return f"{DAY}{day.isoformat()}"
