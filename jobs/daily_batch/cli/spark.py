"""The Spark runner of the command line. Its module needs pyarrow, so it is imported only when a day needs Spark."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daily_batch.pipeline.runners.base import Runner


def start_spark() -> "Runner":
    """Start Spark in this process.

    Raises:
        UsageError: pyspark or Java is not installed.
    """
    from daily_batch.pipeline.runners.spark import start_local

    return start_local()
