"""What the functions find around them: clock, settings, names, and the host's limit of time."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from daily_batch.errors import UsageError
from daily_batch.orchestration import Task, write_task
from daily_batch.settings import Settings, load_settings

# What the host must know before any setting is read, and its default: app settings, but no settings of the library.
NAMES = {"MAKOTO_TASK_QUEUE": "makoto-tasks", "MAKOTO_SCHEDULE": "0 0 17 * * *"}


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def find_name(variable: str) -> str:
    """The app setting's value, or its default."""
    return os.environ.get(variable) or NAMES[variable]


def read_settings() -> Settings:
    """The settings of the app."""
    return load_settings(flags={}, environ={name: value for name, value in os.environ.items() if name not in NAMES})


def read_timeout(host: Path) -> int:
    """Seconds after which the host ends a function.

    Args:
        host: host.json; as with the host, an app setting wins over it.

    Raises:
        UsageError: it is no time, or there is no limit.
    """
    setting = "AzureFunctionsJobHost__functionTimeout"
    text = os.environ.get(setting) or json.loads(host.read_text(encoding="utf-8"))["functionTimeout"]
    try:
        hours, minutes, seconds = map(int, text.split(":"))
    except ValueError as error:
        raise UsageError("functionTimeout is no time", next_step="give it as 00:30:00, in host.json") from error
    return hours * 3600 + minutes * 60 + seconds


def write_messages(tasks: Sequence[Task]) -> list[str]:
    """Tasks as the messages of an output binding, none twice."""
    return list(dict.fromkeys(map(write_task, tasks)))
