"""Watcher: every 5 minutes, settle submitted days and summarize the night."""

from azure_trigger.environment import now, read_settings, write_messages
from azure_trigger.log import open_log
from daily_batch.orchestration import Task
from daily_batch.orchestration.watcher import reconcile as reconcile_night
from daily_batch.telemetry import sanitized_errors


def reconcile() -> list[str]:
    """Return the messages of the days to queue again.

    The host queues them after this function returns. If it fails to, the ledger still records them as queued, and they
    are queued again hours later.

    Raises:
        BatchError: No tenant could be reconciled; the next call may succeed.
    """
    tasks = list[Task]()
    with open_log() as telemetry, sanitized_errors(telemetry):
        reconcile_night(read_settings(), now=now(), send=tasks.extend, telemetry=telemetry)
    return write_messages(tasks)
