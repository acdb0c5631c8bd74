"""Both clouds' deployments have the same settings; each is the library's default or is explained here."""

from dataclasses import fields
from types import SimpleNamespace
from typing import Any, cast

from azure_trigger.environment import NAMES
from daily_batch.orchestration.watcher import DELIVERIES
from daily_batch.settings import Settings, load_settings
from tests.local_cloud.aws.template import read_deployment
from tests.local_cloud.azure.local_azure import LocalAzure
from tests.local_cloud.azure.night import app_settings as local_app_settings
from tests.support.deployment.bicep_settings import OTHERS, app_settings, load
from tests.support.functions_app import QUEUES

GIVEN = {"DataBucketName": "makoto-data", "PackageVersion": "0.1.0-0123456789ab"}
FUNCTIONS = ("DispatcherFunction", "WorkerFunction", "WatcherFunction")
AWS_ONLY = {"dynamodb_table", "queue_url", "emr_application_id", "emr_job_role_arn", "emr_package", "emr_log_group"}
AZURE_ONLY = {
    *("cosmos_endpoint", "databricks_host", "databricks_job", "databricks_client_id", "function_memory_mb"),
    "drift_minutes",  # Databricks sends no events, so its runs are polled for
}
# Settings that a deployment sets differently from the library, and why.
CHANGED = {
    **dict.fromkeys(("input", "output", "spark"), "where data and Spark are"),
    "tenants": "every tenant that the metadata store lists",
    "look_back": "data that is up to three days late is processed automatically",
}


def test_both_clouds_use_the_same_defaults() -> None:
    deployed = load(app_settings())
    library = load_settings(flags={}, environ={})
    for function in FUNCTIONS:
        aws = load_settings(flags={}, environ=aws_environment(function))
        assert find_differences(aws, deployed) == AWS_ONLY | AZURE_ONLY | {"input", "output", "spark"}
        assert find_differences(aws, library) == AWS_ONLY | set(CHANGED)
    assert find_differences(deployed, library) == AZURE_ONLY | set(CHANGED)


def test_cloud_specific_settings_name_a_service_of_that_cloud() -> None:
    aws = {
        read_origin(name, aws_environment("WorkerFunction")) for name in set_names(aws_environment("WorkerFunction"))
    }
    azure = {read_origin(name, app_settings()) for name in set_names(app_settings())}
    assert aws - azure == {
        "DYNAMODB_TABLE_NAME",
        *(f"MAKOTO_{each.upper()}" for each in AWS_ONLY - {"dynamodb_table"}),
    } | {"MAKOTO_EMR_VCPUS", "MAKOTO_EMR_PYTHON"}
    assert azure - aws == {"COSMOS_ENDPOINT", *(f"MAKOTO_{each.upper()}" for each in AZURE_ONLY - {"cosmos_endpoint"})}


def test_local_night_uses_the_deployed_settings() -> None:
    azure = SimpleNamespace(url=lambda container: container, environment=dict)
    local = local_app_settings(cast(LocalAzure, azure), zone="Asia/Tokyo")
    assert set(local) <= set(app_settings()) - set(OTHERS) - set(NAMES)
    unchanged = set(local) - {"MAKOTO_INPUT", "MAKOTO_OUTPUT", "MAKOTO_DATABRICKS_CLIENT_ID"}
    assert {name: local[name] for name in unchanged} == {name: app_settings()[name] for name in unchanged}


def test_both_queues_deliver_a_message_as_often_as_the_watcher_expects() -> None:
    queue = read_deployment(parameters=GIVEN).queues["TaskQueue"]
    assert (queue.max_receives, QUEUES["maxDequeueCount"]) == (DELIVERIES, DELIVERIES)


def aws_environment(function: str) -> dict[str, str]:
    return dict(read_deployment(parameters=GIVEN).functions[function].environment)


def set_names(environ: dict[str, str]) -> list[str]:
    origins = load(environ).origins
    return [name for name, where in origins.items() if where in environ]


def read_origin(name: str, environ: dict[str, str]) -> str:
    return load(environ).origins[name]


def find_differences(one: Settings, other: Settings) -> set[str]:
    values: list[dict[str, Any]] = [
        {each.name: getattr(x, each.name) for each in fields(Settings)} for x in (one, other)
    ]
    return {name for name in values[0] if name != "origins" and values[0][name] != values[1][name]}
