"""The bindings of the Azure Functions, their packages, and host.json."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from azure_trigger.environment import find_name, read_settings, read_timeout
from daily_batch.errors import UsageError
from tests.local_cloud.azure.functions.worker import FunctionsWorker
from tests.support.day_runs import ROOT, child_environment
from tests.support.functions_app import APP, HOST, QUEUES

QUEUE = {"queueName": "makoto-tasks", "connection": "AzureWebJobsStorage"}


# Bindings


def test_each_function_has_its_trigger_and_queue(worker: FunctionsWorker) -> None:
    bindings_by_function = {
        (name, each["type"], each["direction"]): {
            key: value for key, value in each.items() if key not in ("name", "type", "direction")
        }
        for name, bindings in worker.functions.items()
        for each in bindings
    }
    assert bindings_by_function == {
        ("night", "timerTrigger", "IN"): {"schedule": "0 0 17 * * *"},
        ("night", "queue", "OUT"): QUEUE,
        ("start", "httpTrigger", "IN"): {"methods": ["POST"], "authLevel": "FUNCTION", "route": "start"},
        ("start", "http", "OUT"): {},
        ("start", "queue", "OUT"): QUEUE,
        ("worker", "queueTrigger", "IN"): QUEUE,
        ("poison", "queueTrigger", "IN"): {**QUEUE, "queueName": "makoto-tasks-poison"},
        ("watch", "timerTrigger", "IN"): {"schedule": "0 */5 * * * *"},
        ("watch", "queue", "OUT"): QUEUE,
    }


def test_the_library_and_the_worker_index_the_same_functions(worker: FunctionsWorker) -> None:
    program = (
        "import function_app, json; print(json.dumps({each.get_function_name(): [json.loads(binding) for binding in"
        " each.get_raw_bindings()] for each in function_app.app.get_functions()}))"
    )
    environment = {**child_environment(), "PYTHONPATH": f"{APP}:{ROOT}"}
    indexed = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert json.loads(indexed.stdout) == worker.functions


@pytest.mark.parametrize(
    "line", ["def broken(messages: func.QueueMessage) -> None:", "def broken(message: func.TimerRequest) -> None:"]
)
def test_a_binding_that_does_not_fit_its_function_is_refused(line: str, tmp_path: Path) -> None:
    app = (
        "import azure.functions as func\napp = func.FunctionApp()\n"
        f"@app.queue_trigger(arg_name='message', queue_name='q', connection='C')\n{line}\n    pass\n"
    )
    (tmp_path / "function_app.py").write_text(app)
    program = (
        "import pathlib, sys; from tests.local_cloud.azure.functions.worker import take_app;"
        " take_app(pathlib.Path(sys.argv[1]))"
    )
    environment = {**child_environment(), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "ValueError: FunctionLoadError: cannot load the broken function" in refused.stderr


def test_queue_and_schedule_come_from_app_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (find_name("MAKOTO_TASK_QUEUE"), find_name("MAKOTO_SCHEDULE")) == ("makoto-tasks", "0 0 17 * * *")
    monkeypatch.setenv("MAKOTO_TASK_QUEUE", "others")
    assert find_name("MAKOTO_TASK_QUEUE") == "others"
    assert read_settings().tenants  # does not reject the variable, which is no setting


def test_the_app_imports_with_its_own_packages_only() -> None:
    missing = ("pyspark", "pandas", "pyarrow", "numpy", "typer", "rich", "boto3", "botocore", "aws_lambda_powertools")
    program = f"import sys; sys.modules.update(dict.fromkeys({missing!r})); import function_app"
    environment = {**child_environment(), "PYTHONPATH": f"{APP}:{ROOT}"}
    imported = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert imported.returncode == 0, imported.stderr


# host.json


def test_host_json_has_the_guide_s_logging_and_a_current_bundle() -> None:
    assert HOST["version"] == "2.0"
    sampling = {"isEnabled": True, "excludedTypes": "Request"}
    assert HOST["logging"] == {"applicationInsights": {"samplingSettings": sampling}}
    bundle = {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}
    assert HOST["extensionBundle"] == bundle


def test_an_instance_gets_one_message_at_a_time_up_to_three_times() -> None:
    assert (QUEUES["batchSize"], QUEUES["newBatchThreshold"], QUEUES["maxDequeueCount"]) == (1, 0, 3)


def test_redeliveries_outlast_another_worker_of_the_day() -> None:
    hours, minutes, seconds = map(int, QUEUES["visibilityTimeout"].split(":"))
    waits = (QUEUES["maxDequeueCount"] - 1) * timedelta(hours=hours, minutes=minutes, seconds=seconds)
    assert waits > timedelta(seconds=read_timeout(APP / "host.json"))


def test_an_app_setting_overrides_host_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_timeout(APP / "host.json") == 1800
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", "01:10:05")
    assert read_timeout(APP / "host.json") == 4205


@pytest.mark.parametrize("text", ["-1", "soon", "1.00:00:00"])
def test_a_host_without_a_timeout_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", text)
    with pytest.raises(UsageError, match="functionTimeout is not a duration"):
        read_timeout(APP / "host.json")
