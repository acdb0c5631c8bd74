"""The plan by which the kernel writes rows of a run that has ended."""

from collections.abc import Callable
from datetime import date

from daily_batch.domain.run import RunSpec, TableFormat
from daily_batch.settings import Settings

# A day, the run whose rows are written, and when that began in microseconds since 1970 UTC.
MakePlan = Callable[[date, str, int], RunSpec]


def plan_upkeep(settings: Settings, *, tenant: str, table_format: TableFormat) -> MakePlan:
    """Plans of any day; what concerns the reading of objects is left empty, for none is read."""

    def make(day: date, run_id: str, processed_us: int) -> RunSpec:
        return RunSpec(
            tenant=tenant,
            date=day.isoformat(),
            zone=settings.timezone,
            naive_zone=settings.naive_timezone,
            start_us=0,
            end_us=0,
            slack_us=0,
            layout="export",
            table_format=table_format,
            buckets=1,
            run_id=run_id,
            processed_us=processed_us,
            limits=settings.limits,
        )

    return make
