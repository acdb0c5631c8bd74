"""Dagster 1.13 or later: each tenant's business day is a partition of one asset (docs/orchestrators.md)."""

import dagster as dg

from daily_batch import TerminalError, UsageError, run_day

DAYS = dg.DailyPartitionsDefinition(start_date="2025-08-01", timezone="Asia/Tokyo")
TENANTS = dg.StaticPartitionsDefinition(["acme", "globex"])


@dg.asset(
    partitions_def=dg.MultiPartitionsDefinition({"day": DAYS, "tenant": TENANTS}),
    retry_policy=dg.RetryPolicy(max_retries=3, delay=600),  # also of LeaseHeldError: longer than a lease
)
def messages(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Turn a tenant's business day into tables; the receipt's counts become metadata of the materialization."""
    keys = context.partition_key.keys_by_dimension
    try:
        receipt = run_day(keys["tenant"], keys["day"], if_changed=True)
    except (UsageError, TerminalError) as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    return dg.MaterializeResult(
        metadata={
            "status": receipt.status,
            "run_id": receipt.run_id,
            "messages": receipt.records.written,
            "rejected": receipt.records.rejected,
        }
    )


nightly = dg.define_asset_job("nightly", selection=[messages])
defs = dg.Definitions(
    assets=[messages], jobs=[nightly], schedules=[dg.build_schedule_from_partitioned_job(nightly, hour_of_day=2)]
)
