"""The Lambda handlers, called in this process as Lambda calls them."""

import importlib
import io
import json
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

CONTEXT = SimpleNamespace(
    function_name="function",
    memory_limit_in_mb=3008,
    invoked_function_arn="arn:aws:lambda:ap-northeast-1:123456789012:function:function",
    aws_request_id="1",
    log_stream_name="stream",
    get_remaining_time_in_millis=lambda: 900_000,
)


@dataclass
class Lambda:
    """Call handlers as Lambda does, which logs what they raise; `queue` has the tasks that they sent."""

    queue: list[Any] = field(default_factory=list)
    log: io.StringIO = field(default_factory=io.StringIO)

    def load(self, name: str) -> ModuleType:
        return importlib.import_module(f"lambda_trigger.{name}")

    def call(self, name: str, event: Any) -> Any:
        module = self.load(name)
        module.logger.handlers[0].setStream(self.log)
        with redirect_stdout(self.log), redirect_stderr(self.log):
            try:
                return module.handler(event, CONTEXT)
            except Exception as error:
                self.log.write("".join(traceback.format_exception(error)))
                raise

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines() if line.startswith("{")]
