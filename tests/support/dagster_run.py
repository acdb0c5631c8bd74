"""Materialize partitions of docs/examples/dagster_assets.py, in the orchestrators' environment.

Arguments: the folder of the example, and a moment of the schedule. Another run holds the day of globex until Dagster
waits for the next try. Prints JSON: the partitions that the schedule requests, the delays, and each outcome.
"""

import json
import os
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from daily_batch.ledger import Ledger
from daily_batch.metadata.sqlite import SqliteStore

folder, moment = sys.argv[1:]
sys.path.insert(0, folder)
import dagster_assets  # noqa: E402

ledger = Ledger(
    store=SqliteStore(Path(os.environ["MAKOTO_OUTPUT"]) / "makoto-ledger.sqlite"),
    clock=lambda: datetime.now(UTC),
    lease=timedelta(hours=1),
)
lease = ledger.acquire("globex", date(2025, 8, 12), owner="another host", run_id="held")
delays: list[float] = []
sleep, clock = time.sleep, time.time


def skip_delay(seconds: Any) -> None:
    """Sleep; but instead of a delay between tries, end the other run and move the clock."""
    if seconds < 60:
        sleep(seconds)
        return
    delays.append(seconds)
    ledger.fail(lease, "stopped", retryable=True)


def materialize(tenant: str) -> dict[str, Any]:
    """Return whether a tenant's day is materialized, after how many failed tries, and with which metadata."""
    key = dg.MultiPartitionKey({"day": "2025-08-12", "tenant": tenant})
    result = dg.materialize([dagster_assets.messages], partition_key=key, raise_on_error=False)
    events = [event.event_type_value for event in result.all_events]
    found = [event.materialization for event in result.get_asset_materialization_events()]
    return {
        "success": result.success,
        "retries": events.count("STEP_UP_FOR_RETRY"),
        "metadata": {name: value.value for each in found for name, value in each.metadata.items()},
    }


schedule = dagster_assets.defs.resolve_schedule_def("nightly_schedule")
context = dg.build_schedule_context(scheduled_execution_time=datetime.fromisoformat(moment))
requested = [request.partition_key for request in schedule.evaluate_tick(context).run_requests]
time.sleep, time.time = skip_delay, lambda: clock() + sum(delays)
outcomes = {tenant: materialize(tenant) for tenant in ("acme", "globex")}
os.environ["MAKOTO_TABLE_FORMAT"] = "csv"
outcomes["acme, wrong setting"] = materialize("acme")
print(json.dumps({"schedule": schedule.cron_schedule, "requested": requested, "outcomes": outcomes, "delays": delays}))
