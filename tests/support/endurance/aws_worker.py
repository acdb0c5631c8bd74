"""The AWS worker's handler, which `crash_once` can kill."""

from typing import Any

from lambda_trigger import worker
from tests.support.endurance.crash_once import crash_if_planned


def handler(event: dict[str, Any], context: Any) -> Any:
    crash_if_planned(event["Records"][0]["body"])
    return worker.handler(event, context)
