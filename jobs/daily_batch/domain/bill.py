"""The bill of a run: its usage in the units that the service bills, and the cost by list price."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Bill:
    """Usage by unit name, and its cost in USD by list price; None if a price is unknown."""

    units: Mapping[str, float]
    usd: float | None = None


def add_bills(units: Mapping[str, float] | None, usd: float | None, bill: Bill) -> Bill:
    """Add a run's bill to the day's total; an unknown amount adds nothing."""
    total = dict(units or {})
    for name, amount in bill.units.items():
        total[name] = round(total.get(name, 0) + amount, 9)
    return Bill(units=total, usd=usd if bill.usd is None else round((usd or 0) + bill.usd, 9))
