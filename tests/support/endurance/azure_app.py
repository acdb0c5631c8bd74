"""The Azure app, whose worker `crash_once` can kill."""

from typing import Any

from azure_trigger import function_app
from azure_trigger.worker import handle
from tests.support.endurance.crash_once import crash_if_planned


def handle_or_crash(message: Any, *arguments: Any, **named: Any) -> None:
    crash_if_planned(message.get_body().decode())
    handle(message, *arguments, **named)


vars(function_app)["handle"] = handle_or_crash
app = function_app.app
