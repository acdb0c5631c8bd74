"""Register published tables in a catalog, if one is set."""

import sys
from collections.abc import Callable

from daily_batch.catalog.names import is_glue
from daily_batch.catalog.target import Target
from daily_batch.catalog.unity import register_tables
from daily_batch.domain.contract import TABLES
from daily_batch.domain.receipt import Receipt
from daily_batch.domain.request import Request
from daily_batch.errors import BatchError, UsageError, describe_error, error_context
from daily_batch.settings import Settings


def print_warning(text: str) -> None:
    """Print a warning on standard error."""
    print(f"warning: {text}", file=sys.stderr)


def register_published(
    request: Request, settings: Settings, receipt: Receipt, *, warn: Callable[[str], None] = print_warning
) -> None:
    """Register the tables that this process has published: all in Glue; in Spark's catalog the Delta tables of Spark.

    The day is complete and its receipt is written, so any failure is a warning; the next run tries again.
    """
    if not settings.catalog:
        return
    register = _register_in_glue if is_glue(settings.catalog) else _register_in_spark
    try:
        with error_context(request.tenant, request.day.isoformat()):
            register(request, settings, receipt, warn)
    except Exception as error:
        reason = str(error) if isinstance(error, BatchError) else describe_error(error)
        warn(f"the day is published, its tables are not registered: {reason}")


def _register_in_glue(request: Request, settings: Settings, receipt: Receipt, warn: Callable[[str], None]) -> None:
    try:
        from daily_batch.catalog.glue import register_in_glue
    except ImportError as error:
        raise UsageError(
            f"the package {error.name} is missing", next_step="pip install 'makoto-daily-batch[aws]'"
        ) from error
    target = Target(
        tenant=request.tenant, output=request.output, table_format=request.table_format, catalog=settings.catalog
    )
    exist = receipt.tables.keys() if request.table_format == "parquet" else set(_list_delta_tables(receipt))
    tables = [table for table in TABLES if table.name in exist]
    for name in register_in_glue(target, tables, region=settings.storage_options.get("aws_region")):
        step = "rename or drop that one, or choose another prefix"
        warn(f"the day is published, and another table is registered as {name}. Next step: {step}")


def _register_in_spark(request: Request, settings: Settings, receipt: Receipt, _: Callable[[str], None]) -> None:
    tables = _list_delta_tables(receipt)
    if not (receipt.runner == "spark" and settings.spark == "here" and tables):
        return
    from daily_batch.pipeline.runners.spark import current_session

    register_tables(
        current_session().spark,
        catalog=settings.catalog,
        tenant=request.tenant,
        output=request.output,
        tables=tables,
    )


def _list_delta_tables(receipt: Receipt) -> list[str]:
    return [name for name, counts in receipt.tables.items() if counts.version is not None]
