"""The request of one run: one tenant, one business day. Validated on construction, before any I/O."""

from dataclasses import dataclass
from datetime import date
from typing import get_args

from daily_batch.domain.calendar import parse_day
from daily_batch.domain.keys import check_tenant
from daily_batch.domain.run import InputLayout, TableFormat
from daily_batch.domain.url import StorageUrl
from daily_batch.errors import UsageError

# Length limit of `allow_shrink`, characters.
MAX_NAME_LENGTH = 200


@dataclass(frozen=True, kw_only=True)
class Request:
    """One tenant's business day, the location of its messages and the location of its tables.

    `allow_shrink` names who allows the day to lose published rows; empty if nobody does.
    """

    tenant: str
    day: date
    input: StorageUrl
    output: StorageUrl
    layout: InputLayout = "auto"
    table_format: TableFormat = "delta"
    allow_shrink: str = ""

    def __post_init__(self) -> None:
        """Raise a UsageError for an invalid tenant, day, layout, format or name."""
        check_tenant(self.tenant)
        if type(self.day) is not date:  # datetime is a subclass of date
            raise UsageError("the day is not a date", next_step="give a date without a time", tenant=self.tenant)
        parse_day(self.day.isoformat())
        if self.layout not in get_args(InputLayout) or self.table_format not in get_args(TableFormat):
            raise UsageError(
                f"the layout {str(self.layout)[:20]!a} or the format {str(self.table_format)[:20]!a} does not exist",
                next_step="give layout auto, messages or export and format delta or parquet",
                tenant=self.tenant,
                day=self.day.isoformat(),
            )
        name = self.allow_shrink
        if not (isinstance(name, str) and name.isprintable()) or len(name) > MAX_NAME_LENGTH:
            raise UsageError(
                "the name of who allows the day to lose rows is invalid",
                next_step=f"give up to {MAX_NAME_LENGTH} printable characters",
                tenant=self.tenant,
                day=self.day.isoformat(),
            )
