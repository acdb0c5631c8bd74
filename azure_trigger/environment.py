"""The environment of the functions: clock, settings, names, and the host's time limit."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from daily_batch.errors import UsageError
from daily_batch.orchestration import Task, write_task
from daily_batch.settings import Settings, load_settings

# App settings that the host needs before any setting of the library is read, with their defaults.
NAMES = {"MAKOTO_TASK_QUEUE": "makoto-tasks", "MAKOTO_SCHEDULE": "0 0 17 * * *"}


def now() -> datetime:
    """Return the current time, with its zone."""
    return datetime.now(UTC)


def find_name(variable: str) -> str:
    """Return an app setting's value, or its default."""
    return os.environ.get(variable) or NAMES[variable]


def read_settings() -> Settings:
    """Return the settings of the app."""
    return load_settings(flags={}, environ={name: value for name, value in os.environ.items() if name not in NAMES})


def read_timeout(host: Path) -> int:
    """Return the seconds after which the host ends a function.

    Args:
        host: Path of host.json; an app setting overrides it, as it does for the host.

    Raises:
        UsageError: It is not a time, or there is no limit.
    """
    setting = "AzureFunctionsJobHost__functionTimeout"
    text = os.environ.get(setting) or json.loads(host.read_text(encoding="utf-8"))["functionTimeout"]
    try:
        hours, minutes, seconds = map(int, text.split(":"))
    except ValueError as error:
        raise UsageError("functionTimeout is not a duration", next_step="give it as 00:30:00, in host.json") from error
    return hours * 3600 + minutes * 60 + seconds


def write_messages(tasks: Sequence[Task]) -> list[str]:
    """Return tasks as messages for an output binding, without duplicates."""
    return list(dict.fromkeys(map(write_task, tasks)))
