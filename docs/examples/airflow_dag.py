"""Airflow 3.3 or later: run each tenant's business day at 02:00 in Tokyo (docs/orchestrators.md)."""

from datetime import datetime, timedelta

import pendulum
from airflow.sdk import CronDataIntervalTimetable, ExceptionRetryPolicy, RetryAction, RetryRule, dag, task

from daily_batch import LeaseHeldError, TerminalError, UsageError, run_day

TENANTS = ["acme", "globex"]
TOKYO = pendulum.timezone("Asia/Tokyo")
# Any other error is retried after `retry_delay`.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(exception=[UsageError, TerminalError], action=RetryAction.FAIL),
        RetryRule(exception=LeaseHeldError, retry_delay=timedelta(minutes=3)),  # longer than a lease
    ]
)


@dag(
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone=TOKYO),
    start_date=pendulum.datetime(2025, 8, 1, 2, tz=TOKYO),
    catchup=False,
)
def makoto_daily_batch() -> None:
    """Run the business day on which the data interval starts."""

    @task(retries=3, retry_delay=timedelta(minutes=10), retry_policy=RETRY_POLICY)
    def run_tenant(tenant: str, data_interval_start: datetime) -> int:
        receipt = run_day(tenant, data_interval_start.astimezone(TOKYO).date(), if_changed=True)
        return receipt.records.written

    run_tenant.expand(tenant=TENANTS)


makoto_daily_batch()
