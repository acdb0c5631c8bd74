"""Register published tables in a catalog, if one is set."""

import sys

from daily_batch.catalog.unity import register_tables
from daily_batch.domain.receipt import Receipt
from daily_batch.domain.request import Request
from daily_batch.errors import BatchError, error_context
from daily_batch.settings import Settings


def register_published(request: Request, settings: Settings, receipt: Receipt) -> None:
    """Register the Delta tables that this process's Spark session has published; plain Parquet is skipped.

    The day is complete and its receipt is written, so a failure is a warning on standard error; the next run retries.
    """
    on_this_spark = receipt.runner == "spark" and settings.spark == "here"
    tables = [name for name, counts in receipt.tables.items() if counts.version is not None]
    if not (settings.catalog and on_this_spark and tables):
        return
    from daily_batch.pipeline.runners.spark import current_session

    try:
        with error_context(request.tenant, request.day.isoformat()):
            register_tables(
                current_session().spark,
                catalog=settings.catalog,
                tenant=request.tenant,
                output=request.output,
                tables=tables,
            )
    except BatchError as error:
        print(f"warning: the day is published, its tables are not registered: {error}", file=sys.stderr)
