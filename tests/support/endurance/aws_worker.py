"""The worker of AWS that is killed as `crash_once` says."""

from typing import Any

from lambda_trigger import worker
from tests.support.endurance.crash_once import meet_death


def handler(event: dict[str, Any], context: Any) -> Any:
    meet_death(event["Records"][0]["body"])
    return worker.handler(event, context)
