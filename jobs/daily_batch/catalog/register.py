"""After a publish on Spark: the tables' names in a catalog, if the settings ask for them."""

import sys

from daily_batch.catalog.unity import register_tables
from daily_batch.domain.receipt import Receipt
from daily_batch.domain.request import Request
from daily_batch.errors import BatchError, error_context
from daily_batch.settings import Settings


def register_published(request: Request, settings: Settings, receipt: Receipt) -> None:
    """Register the Delta tables (plain Parquet has no version) that this process's Spark has published.

    The day is done and its receipt written: what goes wrong here is told in a line on standard error, and the next run
    tries again.
    """
    here = receipt.runner == "spark" and settings.spark == "here"
    tables = [name for name, counts in receipt.tables.items() if counts.version is not None]
    if not (settings.catalog and here and tables):
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
