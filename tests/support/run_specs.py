"""The run spec of the sample day, for tests of single transform modules."""

from datetime import date

from daily_batch.domain.calendar import day_window
from daily_batch.domain.run import RunSpec


def sample_spec(day: date = date(2025, 8, 12), zone: str = "Asia/Tokyo") -> RunSpec:
    start_us, end_us = day_window(day, zone)
    return RunSpec(
        tenant="acme",
        date=day.isoformat(),
        zone=zone,
        naive_zone="UTC",
        start_us=start_us,
        end_us=end_us,
        slack_us=900_000_000,
        layout="export",
        table_format="delta",
        buckets=1,
        run_id="run-1",
        processed_us=0,
    )
