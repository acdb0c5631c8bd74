"""The Azure Functions app: triggers and bindings of each function; their code is in the modules beside this one.

The host finds this file and host.json in the published folder (packaging/makoto_packaging/azure.py).
"""

from pathlib import Path
from typing import List  # noqa: UP035 - the worker does not know list[str]

import azure.functions as func

from azure_trigger.dispatcher import dispatch_night, dispatch_request
from azure_trigger.environment import find_name
from azure_trigger.watcher import reconcile
from azure_trigger.worker import handle, report_poison

HOST = Path(__file__).with_name("host.json")
STORAGE = "AzureWebJobsStorage"
TASKS = find_name("MAKOTO_TASK_QUEUE")
Messages = func.Out[List[str]]  # noqa: UP006

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


# The schedule is in UTC, the only zone of Flex Consumption. A failed call queues tasks again, which does no harm.
@app.function_name("night")
@app.timer_trigger(arg_name="timer", schedule=find_name("MAKOTO_SCHEDULE"))
@app.queue_output(arg_name="tasks", queue_name=TASKS, connection=STORAGE)
@app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:01:00")
def night(timer: func.TimerRequest, tasks: Messages) -> None:
    """Queue one message for each tenant-day of the night, and of nights that were missed."""
    _put(dispatch_night(timer), tasks)


@app.function_name("start")
@app.route(route="start", methods=["POST"], trigger_arg_name="request")
@app.queue_output(arg_name="tasks", queue_name=TASKS, connection=STORAGE)
def start(request: func.HttpRequest, tasks: Messages) -> func.HttpResponse:
    """Queue one message for each tenant-day that an operator requests."""
    response, messages = dispatch_request(request)
    _put(messages, tasks)
    return response


@app.function_name("worker")
@app.queue_trigger(arg_name="message", queue_name=TASKS, connection=STORAGE)
def worker(message: func.QueueMessage, context: func.Context) -> None:
    """Run one tenant-day here, or submit it to Databricks."""
    handle(message, context, host=HOST)


@app.function_name("poison")
@app.queue_trigger(arg_name="message", queue_name=f"{TASKS}-poison", connection=STORAGE)
def poison(message: func.QueueMessage) -> None:
    """Report a message that failed as often as host.json allows."""
    report_poison(message)


@app.function_name("watch")
@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")
@app.queue_output(arg_name="tasks", queue_name=TASKS, connection=STORAGE)
def watch(timer: func.TimerRequest, tasks: Messages) -> None:
    """Settle submitted days, queue again what may succeed, and summarize the night."""
    _put(reconcile(), tasks)


def _put(messages: list[str], tasks: Messages) -> None:
    # An empty list must not reach the host: what it makes of one is undocumented.
    if messages:
        tasks.set(messages)
