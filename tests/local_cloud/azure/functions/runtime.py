"""Run a Functions app in a separate process: pass the host's calls to Microsoft's worker library.

Arguments: the app's folder, and the file descriptor of the pipe for responses. An empty call returns the app's
functions. Calls come as lines on standard input.
"""

import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.local_cloud.azure.functions.worker import FunctionsWorker, http_request, queue_message, take_app, timer
from tests.local_cloud.common.clock import sync_clock


def main() -> None:
    """Serve until standard input ends."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    worker = take_app(Path(sys.argv[1]))
    with os.fdopen(int(sys.argv[2]), "w", encoding="utf-8") as responses:
        for line in sys.stdin:
            sync_clock()
            call = json.loads(line)
            result = asdict(_call(worker, call)) if call else worker.functions
            print(json.dumps(result), file=responses, flush=True)


def _call(worker: FunctionsWorker, call: dict[str, Any]) -> Any:
    match call["kind"]:
        case "timer":
            return worker.call(call["name"], data=timer(next_=call["next"]))
        case "http":
            return worker.call(call["name"], data=http_request(call["body"].encode()))
        case _:
            data, metadata = queue_message(call["body"], inserted=call["inserted"], dequeued=call["dequeued"])
            return worker.call(call["name"], data=data, metadata=metadata)


if __name__ == "__main__":
    main()
