"""The night on Azure Functions: what calls which function, and what it is given. What they do is beside this file.

The host finds this file and host.json in the folder that is published (deploy/azure.py).
"""

from pathlib import Path
from typing import List  # noqa: UP035 - the worker does not know list[str]

import azure.functions as func

from azure_trigger.dispatcher import ask_at_night, ask_for_person
from azure_trigger.environment import find_name
from azure_trigger.watcher import reconcile
from azure_trigger.worker import deal_with, tell_poison

HOST = Path(__file__).with_name("host.json")
STORAGE = "AzureWebJobsStorage"
TASKS = find_name("MAKOTO_TASK_QUEUE")
Messages = func.Out[List[str]]  # noqa: UP006

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


# The schedule is in UTC: Flex Consumption knows no other zone. What failed is queued again, which does no harm.
@app.function_name("night")
@app.timer_trigger(arg_name="timer", schedule=find_name("MAKOTO_SCHEDULE"))
@app.queue_output(arg_name="tasks", queue_name=TASKS, connection=STORAGE)
@app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:01:00")
def night(timer: func.TimerRequest, tasks: Messages) -> None:
    """One message for each tenant-day of the night, and of nights that were missed."""
    _put(ask_at_night(timer), tasks)


@app.function_name("start")
@app.route(route="start", methods=["POST"], trigger_arg_name="request")
@app.queue_output(arg_name="tasks", queue_name=TASKS, connection=STORAGE)
def start(request: func.HttpRequest, tasks: Messages) -> func.HttpResponse:
    """One message for each tenant-day that a person asks for."""
    answer, messages = ask_for_person(request)
    _put(messages, tasks)
    return answer


@app.function_name("worker")
@app.queue_trigger(arg_name="message", queue_name=TASKS, connection=STORAGE)
def worker(message: func.QueueMessage, context: func.Context) -> None:
    """One tenant-day, run here or submitted to Databricks."""
    deal_with(message, context, host=HOST)


@app.function_name("poison")
@app.queue_trigger(arg_name="message", queue_name=f"{TASKS}-poison", connection=STORAGE)
def poison(message: func.QueueMessage) -> None:
    """A message that failed as often as host.json allows."""
    tell_poison(message)


@app.function_name("watch")
@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")
@app.queue_output(arg_name="tasks", queue_name=TASKS, connection=STORAGE)
def watch(timer: func.TimerRequest, tasks: Messages) -> None:
    """Ends what was submitted, asks again for what may succeed, and tells how the night stands."""
    _put(reconcile(), tasks)


def _put(messages: list[str], tasks: Messages) -> None:
    # A list of none would be for the host to make sense of.
    if messages:
        tasks.set(messages)
