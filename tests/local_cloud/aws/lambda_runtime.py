"""Lambda's runtime in a function's process: pass events to the handler one by one and return the results.

Arguments: the handler, and the file descriptor of the pipe for responses. Events come as lines on standard input.
"""

import json
import os
import sys
import time
import traceback
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tests.local_cloud.common.clock import sync_clock


@dataclass(frozen=True)
class Context:
    """The context object, the handler's second argument."""

    aws_request_id: str
    invoked_function_arn: str
    deadline: float
    function_version: str = "$LATEST"

    @property
    def function_name(self) -> str:
        """The value of Lambda's environment variable."""
        return os.environ["AWS_LAMBDA_FUNCTION_NAME"]

    @property
    def memory_limit_in_mb(self) -> str:
        """The value of Lambda's environment variable."""
        return os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]

    @property
    def log_group_name(self) -> str:
        """The value of Lambda's environment variable."""
        return os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]

    @property
    def log_stream_name(self) -> str:
        """The value of Lambda's environment variable."""
        return os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function is killed."""
        return max(int((self.deadline - time.time()) * 1000), 0)


def main() -> None:
    """Serve until standard input ends."""
    module, _, name = sys.argv[1].rpartition(".")
    handler = getattr(import_module(module), name)
    with os.fdopen(int(sys.argv[2]), "w", encoding="utf-8") as responses:
        for line in sys.stdin:
            sync_clock()
            call = json.loads(line)
            print(_respond(handler, call["event"], Context(**call["context"])), file=responses, flush=True)


def _respond(handler: Any, event: Any, context: Context) -> str:
    try:
        return json.dumps({"result": handler(event, context)})
    except Exception as error:
        traceback.print_exc()
        return json.dumps({"error": type(error).__name__, "message": str(error)})


if __name__ == "__main__":
    main()
