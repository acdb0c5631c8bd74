"""Each way in which a cluster fails has its own cause and next step, and none quotes what a task read.

The texts are what Spark 4.1 wrote as it failed in this way, cut after the lines that matter.
"""

import pytest

from daily_batch.errors import BatchError, InputChangedError, RetryableError, TerminalError
from daily_batch.pipeline.runners.spark_errors import _CAUSES, explain_spark_error

ABORTED = (
    "An error occurred while calling o64.collectToPython.\n: org.apache.spark.SparkException: Job aborted due to stage"
    " failure: Task 1 in stage 0.0 failed 1 times, most recent failure: Lost task 1.0 in stage 0.0 (TID 1)"
    " (192.0.2.2 executor 0): "
)
WORKER = (
    "\n  An exception was thrown from the Python worker. Please see the stack trace below.\nTraceback"
    " (most recent call last):\n"
)
FAILURES: dict[str, tuple[type[BatchError], str, str]] = {
    "python": (
        TerminalError,
        "cannot start its Python, /missing/environment/bin/python",
        ABORTED
        + 'java.io.IOException: Cannot run program "/missing/environment/bin/python" (in directory "/tmp/x"): error=2,'
        " No such file or directory\n\tat java.base/java.lang.ProcessBuilder.start(ProcessBuilder.java:1143)\n"
        "\tat java.base/java.lang.ProcessBuilder.start(ProcessBuilder.java:1073)\n"
        "\tat org.apache.spark.api.python.PythonWorkerFactory.startDaemon(PythonWorkerFactory.scala:324)\n",
    ),
    "python does not start": (
        RetryableError,
        "Python ended as it started",
        ABORTED
        + "org.apache.spark.SparkException: \nError from python worker:\n  /etc/hostname: 1: SECRET: not found\n"
        "PYTHONPATH was:\n  pyspark.zip\norg.apache.spark.SparkException: EOFException occurred while reading the port"
        " number from pyspark.daemon's stdout.\n",
    ),
    "python's version": (
        TerminalError,
        "different versions of Python",
        WORKER + "pyspark.errors.exceptions.base.PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] Python in worker has"
        " different version: 3.11 than that in driver: 3.13, PySpark cannot run with different minor versions.\n",
    ),
    "package": (
        TerminalError,
        "lacks the package daily_batch",
        WORKER
        + '  File "pyspark/serializers.py", line 173, in loads\n    return cloudpickle.loads(obj)\n'
        + "ModuleNotFoundError: No module named 'daily_batch'\n",
    ),
    "package of Spark": (
        TerminalError,
        "lacks the package PyArrow",
        WORKER
        + "pyspark.errors.exceptions.base.PySparkImportError: [PACKAGE_NOT_INSTALLED] PyArrow >= 15.0.0 must be"
        + " installed; however, it was not found.\n",
    ),
    "file system": (
        TerminalError,
        "file system of the output (S3AFileSystem)",
        "An error occurred while calling o46.load.\n: java.lang.RuntimeException: java.lang.ClassNotFoundException:"
        " Class org.apache.hadoop.fs.s3a.S3AFileSystem not found\n\tat org.apache.hadoop.conf.Configuration.getClass\n",
    ),
    "file": (
        RetryableError,
        "does not find the driver's list",
        "An error occurred while calling o64.collectToPython.\n: org.apache.spark.SparkException:"
        " [FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error while reading file file:///tmp/in/1.json. File does not"
        " exist. It is possible the underlying files have been updated.\n",
    ),
    "folder": (RetryableError, "does not find the driver's list", "[PATH_NOT_FOUND] Path does not exist: file:/tmp/x."),
    "executor": (
        RetryableError,
        "lost an executor (exit code 137)",
        ABORTED
        + "ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: Command exited with"
        " code 137\nDriver stacktrace:\n\tat org.apache.spark.scheduler.DAGScheduler\n",
    ),
    # As YARN, Kubernetes and Spark's heartbeat word it in Spark's source.
    "executor on YARN": (
        RetryableError,
        "lost an executor (exit code 143)",
        ABORTED
        + "ExecutorLostFailure (executor 4 exited caused by one of the running tasks) Reason: Container marked as"
        " failed: container_1 on host: h. Exit status: 143. Diagnostics: SECRET\n",
    ),
    "executor on Kubernetes": (
        RetryableError,
        "lost an executor (exit code 137)",
        ABORTED
        + "ExecutorLostFailure (executor 2 exited caused by one of the running tasks) Reason: \nThe executor with"
        " id 2 exited with exit code 137(SIGKILL, possible container OOM).\nIts message: SECRET\n",
    ),
    "executor without a code": (
        RetryableError,
        "lost an executor (exit code unknown)",
        ABORTED
        + "ExecutorLostFailure (executor 0 exited unrelated to the running tasks) Reason: Executor heartbeat timed"
        " out after 160000 ms\n",
    ),
    "shuffle": (
        RetryableError,
        "lost shuffle files",
        "org.apache.spark.SparkException: Job aborted due to stage failure: ResultStage 2 (collectToPython) has failed"
        " the maximum allowable number of times: 4. Most recent failure reason:\n"
        "org.apache.spark.shuffle.FetchFailedException\nCaused by: java.io.IOException: Failed to connect to h:7078\n",
    ),
    "worker": (
        RetryableError,
        "Python worker of Spark was killed",
        ABORTED + "org.apache.spark.SparkException: Python worker exited unexpectedly (crashed). Consider setting"
        " 'spark.sql.execution.pyspark.udf.faulthandler.enabled'\nCaused by: java.io.EOFException\n",
    ),
    "disk": (RetryableError, "disk of Spark is full", ABORTED + "java.io.IOException: No space left on device\n"),
    "results": (
        RetryableError,
        "exceed spark.driver.maxResultSize",
        "Job aborted due to stage failure: Total size of serialized results of 9 tasks (1025.0 MiB) is bigger than"
        " spark.driver.maxResultSize (1024.0 MiB)",
    ),
    "heap": (RetryableError, "heap of a JVM", ABORTED + "java.lang.OutOfMemoryError: Java heap space\n"),
    "session": (
        RetryableError,
        "session ended during the job",
        "An error occurred while calling o76.collectToPython.\n: org.apache.spark.SparkException: Job 0 cancelled"
        " because SparkContext was shut down\n",
    ),
    "settings": (
        TerminalError,
        "does not accept the job's settings (spark.sql.files.maxPartitionBytes)",
        "[CONFIG_NOT_AVAILABLE] Configuration spark.sql.files.maxPartitionBytes is not available. SQLSTATE: 42K0I",
    ),
    "cancelled": (
        RetryableError,
        "was cancelled",
        ": org.apache.spark.SparkException: [SPARK_JOB_CANCELLED] Job 0 cancelled as part of cancellation of all jobs",
    ),
}


@pytest.mark.parametrize(("kind", "what", "text"), FAILURES.values(), ids=FAILURES)
def test_failure_of_a_cluster_has_its_cause_and_next_step(kind: type[BatchError], what: str, text: str) -> None:
    failure = explain_spark_error(RuntimeError(text))
    assert type(failure) is kind
    assert what in failure.what
    assert failure.next_step
    assert "SECRET" not in str(failure)
    assert "\n" not in str(failure)


def test_every_cause_is_tested_and_has_its_own_words() -> None:
    explained = {
        (found.what, found.next_step)
        for _, _, text in FAILURES.values()
        for found in [explain_spark_error(RuntimeError(text))]
    }
    assert {step for _, step in explained} == {cause.next_step for cause in _CAUSES}
    assert len({cause.what for cause in _CAUSES}) == len(_CAUSES)


def test_error_of_a_task_wins_over_what_spark_says_of_it() -> None:
    text = (
        f"{ABORTED}org.apache.spark.api.python.PythonException: Traceback (most recent call last):\ndaily_batch.errors."
        "InputChangedError: tenant=acme day=2025-08-12: acme/x changed. Next step: run the day again.\n"
        "Caused by: java.io.IOException: No space left on device\n"
    )
    failure = explain_spark_error(RuntimeError(text))
    assert (type(failure), failure.what) == (InputChangedError, "acme/x changed")


@pytest.mark.parametrize("error", [ConnectionRefusedError(111, "Connection refused"), EOFError()])
def test_lost_jvm_is_a_session_that_ended(error: Exception) -> None:
    assert "session ended" in explain_spark_error(error).what


def test_unknown_failure_is_named_by_its_class_only() -> None:
    assert explain_spark_error(KeyError("SECRET")).what == "the Spark job failed (KeyError)"
