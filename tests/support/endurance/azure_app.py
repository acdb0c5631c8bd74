"""The app of Azure, whose worker is killed as `crash_once` says."""

from typing import Any

from azure_trigger import function_app
from tests.support.endurance.crash_once import meet_death

handle = function_app.handle


def handle_or_die(message: Any, *arguments: Any, **named: Any) -> None:
    meet_death(message.get_body().decode())
    handle(message, *arguments, **named)


function_app.handle = handle_or_die
app = function_app.app
