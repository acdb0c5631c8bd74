"""The app of Azure, whose worker is killed as `crash_once` says."""

from typing import Any

from azure_trigger import function_app
from tests.support.endurance.crash_once import meet_death

deal_with = function_app.deal_with


def deal_or_die(message: Any, *arguments: Any, **named: Any) -> None:
    meet_death(message.get_body().decode())
    deal_with(message, *arguments, **named)


function_app.deal_with = deal_or_die
app = function_app.app
