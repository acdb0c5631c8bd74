"""Standard error of a program under spark-submit, which prints both of the program's streams on its standard output."""

import io
import os
import sys
from typing import Any

# spark-submit sets it for the programs that it starts.
GATEWAY = "PYSPARK_GATEWAY_PORT"


class JvmStderr(io.TextIOBase):
    """Writes text to the standard error of the JVM: the one that the caller of spark-submit sees."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Print text in the JVM."""
        self._stream.print(text)
        return len(text)

    def flush(self) -> None:
        """Flush the JVM's stream."""
        self._stream.flush()


def redirect_stderr() -> None:
    """Send this process's standard error to that of spark-submit, if spark-submit started it.

    Measured with Spark 4.1.1: `PythonRunner` merges a program's two streams into its own standard output, so progress
    and errors would stand among the answer.
    """
    if GATEWAY not in os.environ:
        return
    from pyspark import SparkContext

    SparkContext._ensure_initialized()  # connects to the JVM; starts no session
    sys.stderr = JvmStderr(SparkContext._jvm.System.err)  # type: ignore[union-attr]
