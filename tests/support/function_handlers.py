"""A Lambda handler for tests; each message says what happens to it."""

import os
import time
from typing import Any


def handler(event: Any, context: Any) -> Any:
    if event == "environment":
        return sorted(os.environ)
    if event == "process":
        return os.getpid()
    if event == "time":
        return context.get_remaining_time_in_millis()
    failures = []
    for record in event["Records"]:
        if record["body"] == "raises":
            raise LookupError("wrong")
        if record["body"] == "exits":
            os._exit(1)
        if record["body"] == "sleeps":
            time.sleep(60)
        if record["body"] == "reported":
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
