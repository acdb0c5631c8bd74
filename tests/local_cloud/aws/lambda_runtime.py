"""What Lambda's runtime does in a function's process: one event after the other, to the handler and back.

Arguments: the handler, and the number of the pipe for its answers. Events come as lines on the standard input.
"""

import json
import os
import sys
import time
import traceback
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tests.local_cloud.common.clock import keep_time


@dataclass(frozen=True)
class Context:
    """The handler's second argument."""

    aws_request_id: str
    invoked_function_arn: str
    deadline: float
    function_version: str = "$LATEST"

    @property
    def function_name(self) -> str:
        """As the environment says it."""
        return os.environ["AWS_LAMBDA_FUNCTION_NAME"]

    @property
    def memory_limit_in_mb(self) -> str:
        """As the environment says it."""
        return os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]

    @property
    def log_group_name(self) -> str:
        """As the environment says it."""
        return os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]

    @property
    def log_stream_name(self) -> str:
        """As the environment says it."""
        return os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]

    def get_remaining_time_in_millis(self) -> int:
        """Until the function is killed."""
        return max(int((self.deadline - time.time()) * 1000), 0)


def main() -> None:
    """Serve until the standard input ends."""
    module, _, name = sys.argv[1].rpartition(".")
    handler = getattr(import_module(module), name)
    with os.fdopen(int(sys.argv[2]), "w", encoding="utf-8") as answers:
        for line in sys.stdin:
            keep_time()
            call = json.loads(line)
            print(_answer(handler, call["event"], Context(**call["context"])), file=answers, flush=True)


def _answer(handler: Any, event: Any, context: Context) -> str:
    try:
        return json.dumps({"result": handler(event, context)})
    except Exception as error:
        traceback.print_exc()
        return json.dumps({"error": type(error).__name__, "message": str(error)})


if __name__ == "__main__":
    main()
