"""Airflow 3.3 or later: wait until a tenant's business day is ready, then read it (docs/day-ready.md)."""

import json
import os
from datetime import datetime

import pendulum
from airflow.sdk import CronDataIntervalTimetable, ObjectStoragePath, PokeReturnValue, dag, task

TENANTS = ["acme", "globex"]
TOKYO = pendulum.timezone("Asia/Tokyo")


@dag(
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone=TOKYO),
    start_date=pendulum.datetime(2025, 8, 1, 2, tz=TOKYO),
    catchup=False,
)
def after_makoto_daily_batch() -> None:
    """Read the business day on which the data interval starts, once it has a receipt."""

    @task.sensor(poke_interval=300, timeout=12 * 3600, mode="reschedule")
    def wait_for_day(tenant: str, data_interval_start: datetime) -> PokeReturnValue:
        day = data_interval_start.astimezone(TOKYO).date()
        folder = ObjectStoragePath(os.environ["MAKOTO_OUTPUT"]) / tenant / "analytics/_receipts" / str(day)
        files = folder.glob("*.json") if folder.exists() else ()
        receipts = [json.loads(file.read_text()) for file in files]
        last = max(receipts, key=lambda receipt: (receipt["processed_at"], receipt["run_id"]), default=None)
        return PokeReturnValue(is_done=last is not None, xcom_value=last)

    @task
    def read_day(receipt: dict) -> int:
        # Replace what is already known of this tenant and date: the day may come again.
        print(receipt["tenant"], receipt["date"], receipt["run_id"])
        return receipt["records"]["written"]

    read_day.expand(receipt=wait_for_day.expand(tenant=TENANTS))


after_makoto_daily_batch()
