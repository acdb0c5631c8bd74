"""A synthetic fortnight of twelve tenants, and the command `report` of it."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from daily_batch.cli import app
from daily_batch.domain.receipt import Receipt

DATES = [date(2025, 7, 30) + timedelta(days=number) for number in range(14)]
TENANTS = [f"example-{number:02}" for number in range(1, 13)]

# The output root, and the receipts below it.
Fortnight = tuple[Path, list[Receipt]]


def report(output: Path, *options: str, tenants: Sequence[str] = TENANTS) -> Result:
    """Run `makoto-batch report` for the fortnight."""
    span = ("--from", str(DATES[0]), "--to", str(DATES[-1]))
    return CliRunner().invoke(app, ["report", "--tenant", ",".join(tenants), *span, "--output", str(output), *options])
