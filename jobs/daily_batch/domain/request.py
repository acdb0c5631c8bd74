"""What one run is asked to do: one tenant, one business day. Validated where it is made, before any I/O."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, get_args

from daily_batch.domain.calendar import business_day, parse_day
from daily_batch.domain.keys import StorageUrl, check_tenant, parse_url
from daily_batch.domain.overlap import check_no_overlap
from daily_batch.domain.run import Layout, TableFormat
from daily_batch.errors import UsageError
from daily_batch.settings import Settings

# Characters of who allows something.
WHO = 200


@dataclass(frozen=True, kw_only=True)
class Request:
    """One tenant's business day, where its messages are and where its tables go.

    `allow_shrink` is who allows that the day loses rows that are published; empty: nobody.
    """

    tenant: str
    day: date
    input: StorageUrl
    output: StorageUrl
    layout: Layout | Literal["auto"] = "auto"
    table_format: TableFormat = "delta"
    allow_shrink: str = ""

    def __post_init__(self) -> None:
        """Refuse a tenant, day, layout or format that is none."""
        check_tenant(self.tenant)
        if type(self.day) is not date:  # a datetime is a date to Python
            raise UsageError("the day is no date", next_step="give a date without a time", tenant=self.tenant)
        parse_day(self.day.isoformat())
        if self.layout not in ("auto", *get_args(Layout)) or self.table_format not in get_args(TableFormat):
            raise UsageError(
                f"no layout {str(self.layout)[:20]!a} or format {str(self.table_format)[:20]!a}",
                next_step="give layout auto, messages or export and format delta or parquet",
                tenant=self.tenant,
                day=self.day.isoformat(),
            )
        if not (isinstance(self.allow_shrink, str) and self.allow_shrink.isprintable()) or len(self.allow_shrink) > WHO:
            raise UsageError(
                "who allows that the day loses rows is no name",
                next_step=f"give up to {WHO} printable characters",
                tenant=self.tenant,
                day=self.day.isoformat(),
            )


def build_requests(settings: Settings, now: datetime, *, allow_shrink: str = "") -> tuple[Request, ...]:
    """One request for each tenant of the settings, all checked before the first is returned.

    Args:
        allow_shrink: who allows that the days lose rows; empty: nobody.

    Raises:
        UsageError: A tenant, the day or a storage URL is missing or not allowed, the day has not begun, or the
            output lies inside the input's message folders.
    """
    today = business_day(now, offset=0, zone=settings.timezone)
    wanted = settings.date
    offset = settings.target_date_offset
    day = parse_day(wanted) if wanted else business_day(now, offset=offset, zone=settings.timezone)
    if day > today:
        raise UsageError(
            f"the day has not begun: today is {today} in {settings.timezone}",
            next_step="give a day that is over, or a negative TARGET_DATE_OFFSET",
            day=day.isoformat(),
        )
    if not settings.tenants:
        raise UsageError("no tenant is named", next_step="give --tenant or set TENANT_ID", day=day.isoformat())
    source = _storage("input", settings.input)
    target = _storage("output", settings.output)
    check_no_overlap(source, target, settings.tenants, export_template=settings.export_template)
    return tuple(
        Request(
            tenant=tenant,
            day=day,
            input=source,
            output=target,
            layout=settings.layout,
            table_format=settings.table_format,
            allow_shrink=allow_shrink,
        )
        for tenant in settings.tenants
    )


def _storage(name: str, text: str) -> StorageUrl:
    if not text:
        raise UsageError(
            f"no {name} is named", next_step=f"give --{name}, or set MAKOTO_{name.upper()} or S3_BUCKET_NAME"
        )
    return parse_url(text)
