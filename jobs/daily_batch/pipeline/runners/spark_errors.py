"""Explain Spark's errors: the cause and the next step, from their class, text and stack trace.

Only names of programs, packages and classes, and exit codes are quoted, each by a narrow pattern: the rest of Spark's
text may be a worker's output.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from daily_batch.errors import BatchError, InputChangedError, RetryableError, TerminalError, find_error

PAGE = "docs/spark-cluster.md"
RUN_AGAIN = "run the day again"


@dataclass(frozen=True)
class _Cause:
    """The meaning of an error whose text matches the pattern; `what` may quote the pattern's groups."""

    pattern: str
    what: str
    next_step: str
    error: type[BatchError] = RetryableError


# The first that matches counts. What no retry can repair without a person is a TerminalError.
_CAUSES = (
    _Cause(
        # With the default batch size, a worker would hold thousands of blobs in memory.
        r"CONFIG_NOT_AVAILABLE\] Configuration ([\w.]{1,80})",
        "this Spark does not accept the job's settings ({0})",
        "run the job on a cluster (docs/databricks.md, Serverless)",
        TerminalError,
    ),
    _Cause(
        r'Cannot run program "([^"\n]{1,200})".*\n(?:.*\n){0,9}?.*PythonWorkerFactory',
        "a Spark worker cannot start its Python, {0}",
        f"name a Python that every worker has, or ship one ({PAGE})",
        TerminalError,
    ),
    _Cause(
        r"PYTHON_VERSION_MISMATCH\]",
        "driver and workers of Spark have different versions of Python",
        f"ship the driver's Python to the workers ({PAGE})",
        TerminalError,
    ),
    _Cause(
        r"(?:No module named '|(?:PACKAGE_NOT_INSTALLED|UNSUPPORTED_PACKAGE_VERSION)\] )([\w.]{1,80})",
        "the Python of a Spark worker lacks the package {0}, or has too old a version",
        f"install makoto-daily-batch[spark] there, or ship an environment ({PAGE})",
        TerminalError,
    ),
    _Cause(
        r"(?:ClassNotFoundException: Class [\w.]*?(\w*FileSystem) not found|No FileSystem for scheme \"?(\w+))",
        "Spark lacks the file system of the output ({0})",
        f"add its package to spark.jars.packages ({PAGE})",
        TerminalError,
    ),
    _Cause(
        r"reading the port number from pyspark\.daemon|pyspark\.daemon's stdout",
        "a Spark worker's Python ended as it started",
        f"try that Python on a worker with -m pyspark.daemon ({PAGE}), then {RUN_AGAIN}",
    ),
    _Cause(
        r"Python worker exited unexpectedly",
        "a Python worker of Spark was killed or crashed, perhaps because its memory did not suffice",
        f"raise spark.executor.memoryOverhead or lower memory_bytes, then {RUN_AGAIN}",
    ),
    _Cause(
        r"ExecutorLostFailure(?:[^\t]{0,500}?[Ee]xit(?:ed with)? (?:code|status):? ?(\d{1,3}))?",
        "Spark lost an executor (exit code {0})",
        "see in the cluster's log why it ended; if its memory did not suffice (codes 137, 143, 52), raise"
        f" spark.executor.memoryOverhead; then {RUN_AGAIN}",
    ),
    _Cause(
        r"FetchFailedException",
        "Spark lost shuffle files, as when an executor or its machine is lost",
        f"see in the cluster's log which machines were lost, then {RUN_AGAIN}",
    ),
    _Cause(
        r"FAILED_READ_FILE\.\w*FILE_NOT_EXIST\]|PATH_NOT_FOUND\]",
        "a Spark worker does not find the driver's list of objects",
        f"give an output that every machine of the cluster shares ({PAGE}), then {RUN_AGAIN}",
    ),
    _Cause(
        r"No space left on device",
        "a disk of Spark is full",
        f"set spark.local.dir to a larger disk ({PAGE}), then {RUN_AGAIN}",
    ),
    _Cause(
        r"spark\.driver\.maxResultSize",
        "the tasks' results exceed spark.driver.maxResultSize",
        f"raise it, and with it spark.driver.memory, then {RUN_AGAIN}",
    ),
    _Cause(
        r"java\.lang\.OutOfMemoryError",
        "the heap of a JVM of Spark is too small",
        f"raise spark.executor.memory or spark.driver.memory, then {RUN_AGAIN}",
    ),
    _Cause(
        r"SparkContext was shut down|stopped SparkContext|INVALID_HANDLE\.SESSION_|StatusCode\.UNAVAILABLE",
        "the Spark session ended during the job",
        f"see in the driver's or the cluster's log why, then {RUN_AGAIN}",
    ),
    _Cause(r"SPARK_JOB_CANCELLED\]", "the Spark job was cancelled", RUN_AGAIN),
)
# How py4j reports that the JVM is gone.
_NO_JVM = ("ConnectionRefusedError", "ConnectionResetError", "EOFError", "Py4JNetworkError")


@contextmanager
def explained_spark_errors() -> Iterator[None]:
    """Raise the errors of a block that calls nothing but Spark as errors with cause and next step."""
    try:
        yield
    except BatchError:
        raise
    except Exception as error:
        raise explain_spark_error(error) from error


def explain_spark_error(error: Exception) -> BatchError:
    """Return the error that a task raised, or what Spark's own error means; its class says whether a retry can help."""
    # Tasks quote nothing that they read (`sanitized`).
    text = str(error)
    if failure := find_error(text, InputChangedError, RetryableError, TerminalError):
        return failure
    if type(error).__name__ in _NO_JVM:
        text = "SparkContext was shut down"
    for cause in _CAUSES:
        if found := re.search(cause.pattern, text):
            quoted = next((group for group in found.groups() if group), "unknown")
            return cause.error(cause.what.format(quoted), next_step=cause.next_step)
    # `sanitized` tasks raise unexpected errors as RuntimeErrors whose text is safe to repeat.
    _, marker, message = text.partition("RuntimeError: ")
    unknown = message.splitlines()[0] if marker else type(error).__name__
    return RetryableError(
        f"the Spark job failed ({unknown})", next_step=f"read the job's log with --debug, then {RUN_AGAIN}"
    )
