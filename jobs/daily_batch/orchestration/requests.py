"""Build the requests of the settings: one for each tenant, all checked before any I/O."""

from datetime import date, datetime

from daily_batch.domain.calendar import business_day, parse_day
from daily_batch.domain.overlap import check_no_overlap
from daily_batch.domain.request import Request
from daily_batch.domain.url import StorageUrl, parse_url
from daily_batch.errors import UsageError
from daily_batch.settings import Settings


def build_requests(settings: Settings, now: datetime, *, allow_shrink: str = "") -> tuple[Request, ...]:
    """Build one request for each tenant of the settings; check all of them before returning any.

    Args:
        settings: Tenants, date, and locations of input and output.
        now: The current time, with its zone.
        allow_shrink: Who allows the days to lose published rows; empty if nobody does.

    Raises:
        UsageError: A tenant, the day or a storage URL is missing or invalid, the day has not begun, or the output lies
            inside the input's message folders.
    """
    today = business_day(now, offset=0, zone=settings.timezone)
    day = _target_day(settings, now)
    if day > today:
        raise UsageError(
            f"the day has not begun: today is {today} in {settings.timezone}",
            next_step="give a day that is over, or a negative TARGET_DATE_OFFSET",
            day=day.isoformat(),
        )
    if not settings.tenants:
        raise UsageError("no tenant is given", next_step="give --tenant or set TENANT_ID", day=day.isoformat())
    source = _parse_location("input", settings.input)
    target = _parse_location("output", settings.output)
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


def _target_day(settings: Settings, now: datetime) -> date:
    if settings.date:
        return parse_day(settings.date)
    return business_day(now, offset=settings.target_date_offset, zone=settings.timezone)


def _parse_location(name: str, text: str) -> StorageUrl:
    if not text:
        raise UsageError(
            f"no {name} is given",
            next_step=f"give --{name} (in Python {name}=), or set MAKOTO_{name.upper()} or S3_BUCKET_NAME",
        )
    return parse_url(text)
