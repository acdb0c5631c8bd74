"""Every 5 minutes: settle what was submitted, and say how the night stands."""

from azure_trigger.environment import now, read_settings, write_messages
from azure_trigger.log import open_log
from daily_batch.orchestration import Task
from daily_batch.orchestration.watcher import reconcile as reconcile_night
from daily_batch.telemetry import sanitized_errors


def reconcile() -> list[str]:
    """The messages of what is asked for again.

    The host queues them when this is over. Should it fail to, the ledger still says that they were asked for, and they
    are asked for again hours later.

    Raises:
        BatchError: nobody could be looked after; the next call may.
    """
    tasks = list[Task]()
    with open_log() as telemetry, sanitized_errors(telemetry):
        reconcile_night(read_settings(), now=now(), send=tasks.extend, telemetry=telemetry)
    return write_messages(tasks)
