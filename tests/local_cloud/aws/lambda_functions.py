"""Lambda on this machine: each environment is a process with a function's own variables and nothing else."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.local_cloud.aws.authorizer import SECRET
from tests.local_cloud.aws.deployment import Function
from tests.local_cloud.aws.local_aws import LocalAws
from tests.local_cloud.common.downloads import ROOT
from tests.local_cloud.common.runtime_process import RuntimeProcess


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an invocation gave: a result, or the name of an error and its words; and the lines of its log."""

    result: Any = None
    error: str = ""
    message: str = ""
    seconds: float = 0.0
    lines: tuple[str, ...] = ()


@dataclass
class LocalFunction:
    """A function, run with the access key of its role; `more` is added to its environment. Threads may share it.

    `told` learns of each answer; `at_work` is how many events it has and has not answered.
    """

    aws: LocalAws
    function: Function
    key: str
    folder: Path
    more: Mapping[str, str] = field(default_factory=dict)
    log_group: str = ""
    told: Callable[[Answer], None] = lambda answer: None
    at_work: int = 0
    _version: int = 0
    _idle: list["_Environment"] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def invoke(self, event: Any, *, timeout: float | None = None) -> Answer:
        """Hand an event to the handler, in an environment that is idle or a new one.

        Args:
            timeout: in seconds; without it the function's own.
        """
        with self._lock:
            environment = self._idle.pop() if self._idle else None
            self.at_work += 1
            version = self._version
        environment = environment or _Environment(self)
        answer = environment.invoke(event, timeout or self.function.timeout)
        with self._lock:
            self.at_work -= 1
            outdated = version != self._version
            if environment.is_alive and not outdated:
                self._idle.append(environment)
        if environment.is_alive and outdated:
            environment.stop()
        self.told(answer)
        return answer

    def stop(self) -> None:
        """End all environments; those at work when they have answered."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._version += 1
        for environment in idle:
            environment.stop()


class _Environment:
    """One process. What it prints goes to a file, and by the function's own rights to its log in CloudWatch."""

    def __init__(self, function: LocalFunction) -> None:
        self._function = function
        self._stream = f"{time.strftime('%Y/%m/%d')}/[$LATEST]{uuid.uuid4().hex}"
        place = function.folder / self._stream.replace("/", "-")
        place.mkdir(parents=True)
        self._log = place / "log"
        self._told = 0
        handler, variables = function.function.handler, self._variables(place)
        self._process = RuntimeProcess("tests.local_cloud.aws.lambda_runtime", handler, env=variables, log=self._log)
        self._logs = function.aws.client("logs", function.key)
        self._logs.create_log_stream(logGroupName=function.log_group, logStreamName=self._stream)

    @property
    def is_alive(self) -> bool:
        """Whether it takes another event."""
        return self._process.is_alive

    def invoke(self, event: Any, timeout: float) -> Answer:
        """Hand it an event; it is killed when the time is over."""
        began = time.time()
        request = str(uuid.uuid4())
        context = {
            "aws_request_id": request,
            "invoked_function_arn": self._function.function.arn,
            "deadline": began + timeout,
        }
        told = self._process.ask({"event": event, "context": context}, timeout)
        seconds = time.time() - began
        lines = self._keep_log()
        if told is None:
            self.stop()
            return Answer(
                error="Sandbox.Timedout",
                message=f"Task timed out after {timeout:.2f} seconds",
                seconds=seconds,
                lines=lines,
            )
        if not told:
            self.stop()
            message = "Runtime exited without an answer"
            return Answer(error="Runtime.ExitError", message=message, seconds=seconds, lines=lines)
        return Answer(**json.loads(told), seconds=seconds, lines=lines)

    def stop(self) -> None:
        """End the process, and those that it started."""
        self._process.stop()

    def _keep_log(self) -> tuple[str, ...]:
        """Give CloudWatch the lines that are new; those."""
        lines = self._log.read_text(errors="replace").splitlines()[self._told :]
        self._told += len(lines)
        now = round(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in lines if line]
        if events:
            self._logs.put_log_events(
                logGroupName=self._function.log_group, logStreamName=self._stream, logEvents=events
            )
        return tuple(line for line in lines if line)

    def _variables(self, place: Path) -> dict[str, str]:
        """The function's own environment, what Lambda adds, and where the services are."""
        function = self._function.function
        temporary = place / "tmp"
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
