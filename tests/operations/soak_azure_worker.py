"""The app of Azure, whose worker is killed as `soak_worker` says."""

from typing import Any

from soak_worker import meet_death

from azure_trigger import function_app

handle = function_app.handle


def handle_or_die(message: Any, *arguments: Any, **named: Any) -> None:
    meet_death(message.get_body().decode())
    handle(message, *arguments, **named)


function_app.handle = handle_or_die
app = function_app.app
