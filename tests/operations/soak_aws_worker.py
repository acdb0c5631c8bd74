"""The worker of AWS that is killed as `soak_worker` says."""

from typing import Any

from soak_worker import meet_death

from lambda_trigger import worker


def handler(event: dict[str, Any], context: Any) -> Any:
    meet_death(event["Records"][0]["body"])
    return worker.handler(event, context)
