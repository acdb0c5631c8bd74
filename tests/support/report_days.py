"""A synthetic fortnight of twelve tenants, the command `report` of it, and facts without a ledger."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from typer.testing import CliRunner, Result

from daily_batch.cli import app
from daily_batch.domain.receipt import Receipt
from daily_batch.reporting.facts import DayFacts, Facts

DATES = [date(2025, 7, 30) + timedelta(days=number) for number in range(14)]
DAY = date(2025, 8, 12)
TENANTS = [f"example-{number:02}" for number in range(1, 13)]

# The output root, and the receipts below it.
Fortnight = tuple[Path, list[Receipt]]


def report(output: Path, *options: str, tenants: Sequence[str] = TENANTS) -> Result:
    """Run `makoto-batch report` for the fortnight."""
    span = ("--from", str(DATES[0]), "--to", str(DATES[-1]))
    return CliRunner().invoke(app, ["report", "--tenant", ",".join(tenants), *span, "--output", str(output), *options])


def make_facts(*states: str, dates: int = 1, **more: object) -> Facts:
    """Return facts of one tenant per state, of `dates` days up to `DAY`."""
    days = [DAY + timedelta(days=number - dates + 1) for number in range(dates)]
    tenants = [f"t{number}" for number in range(len(states))]
    all_days = [
        DayFacts(tenant=tenant, day=day, state=state, **more)  # type: ignore[arg-type]
        for tenant, state in zip(tenants, states, strict=True)
        for day in days
    ]
    return Facts(
        tenants=tuple(tenants),
        dates=tuple(days),
        now=datetime(2025, 8, 13, tzinfo=UTC),
        days=tuple(all_days),
        nights=(days[0] + timedelta(days=1), days[-1] + timedelta(days=1)),
    )
