"""Run Lambda functions locally: each execution environment is a process with exactly the function's own variables."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.local_cloud.aws.deployment import Function
from tests.local_cloud.aws.iam.authorizer import SECRET
from tests.local_cloud.aws.local_aws import LocalAws
from tests.local_cloud.common.downloads import ROOT
from tests.local_cloud.common.log_tail import LogTail
from tests.local_cloud.common.runtime_process import RuntimeProcess


@dataclass(frozen=True, kw_only=True)
class InvocationResult:
    """Result of an invocation: the return value, or the type and message of an error, and the log lines."""

    result: Any = None
    error: str = ""
    message: str = ""
    seconds: float = 0.0
    lines: tuple[str, ...] = ()


@dataclass
class LocalFunction:
    """A function that runs with the access key of its role. Thread-safe.

    `more` is added to its environment, `on_result` is called after each invocation, and `in_flight` is the number of
    invocations in flight.
    """

    aws: LocalAws
    function: Function
    key: str
    folder: Path
    more: Mapping[str, str] = field(default_factory=dict)
    log_group: str = ""
    on_result: Callable[[InvocationResult], None] = lambda result: None
    in_flight: int = 0
    _version: int = 0
    _idle: list["_Environment"] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def invoke(self, event: Any, *, timeout: float | None = None) -> InvocationResult:
        """Invoke the handler in an idle execution environment or in a new one.

        Args:
            timeout: in seconds; the default is the function's timeout.
        """
        with self._lock:
            environment = self._idle.pop() if self._idle else None
            self.in_flight += 1
            version = self._version
        environment = environment or _Environment(self)
        result = environment.invoke(event, timeout or self.function.timeout)
        with self._lock:
            self.in_flight -= 1
            outdated = version != self._version
            if environment.is_alive and not outdated:
                self._idle.append(environment)
        if environment.is_alive and outdated:
            environment.stop()
        self.on_result(result)
        return result

    def stop(self) -> None:
        """Stop all execution environments; those in use stop after their invocation."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._version += 1
        for environment in idle:
            environment.stop()


class _Environment:
    """One execution environment. Its output goes to a file and, with the function's role, to CloudWatch Logs."""

    def __init__(self, function: LocalFunction) -> None:
        self._function = function
        self._stream = f"{time.strftime('%Y/%m/%d')}/[$LATEST]{uuid.uuid4().hex}"
        folder = function.folder / self._stream.replace("/", "-")
        folder.mkdir(parents=True)
        self._log = LogTail(folder / "log")
        handler, variables = function.function.handler, self._variables(folder)
        self._process = RuntimeProcess(
            "tests.local_cloud.aws.lambda_runtime", handler, env=variables, log=self._log.file
        )
        self._logs = function.aws.client("logs", function.key)
        self._logs.create_log_stream(logGroupName=function.log_group, logStreamName=self._stream)

    @property
    def is_alive(self) -> bool:
        """Whether the process still accepts events."""
        return self._process.is_alive

    def invoke(self, event: Any, timeout: float) -> InvocationResult:
        """Invoke the handler, and kill the process after `timeout` seconds."""
        started = time.time()
        request = str(uuid.uuid4())
        context = {
            "aws_request_id": request,
            "invoked_function_arn": self._function.function.arn,
            "deadline": started + timeout,
        }
        response = self._process.call({"event": event, "context": context}, timeout)
        seconds = time.time() - started
        lines = self._upload_new_lines()
        if response is None:
            self.stop()
            return InvocationResult(
                error="Sandbox.Timedout",
                message=f"Task timed out after {timeout:.2f} seconds",
                seconds=seconds,
                lines=lines,
            )
        if not response:
            self.stop()
            message = "Runtime exited without a response"
            return InvocationResult(error="Runtime.ExitError", message=message, seconds=seconds, lines=lines)
        return InvocationResult(**json.loads(response), seconds=seconds, lines=lines)

    def stop(self) -> None:
        """Kill the process and its children."""
        self._process.stop()

    def _upload_new_lines(self) -> tuple[str, ...]:
        """Send new log lines to CloudWatch Logs and return them."""
        lines = tuple(line for line in self._log.read_lines() if line)
        now = round(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in lines]
        if events:
            self._logs.put_log_events(
                logGroupName=self._function.log_group, logStreamName=self._stream, logEvents=events
            )
        return lines

    def _variables(self, folder: Path) -> dict[str, str]:
        """Return the function's variables, those that Lambda adds, and the services' addresses."""
        function = self._function.function
        temporary = folder / "tmp"
        temporary.mkdir()
        return {
            **function.environment,
            **self._function.more,
            **self._function.aws.environment(self._function.key),
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": "local-token",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_LOG_GROUP_NAME": self._function.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self._stream,
            "LAMBDA_TASK_ROOT": str(ROOT),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(temporary),
        }
