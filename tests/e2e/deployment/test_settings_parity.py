"""Both clouds' deployments carry the same settings: each is the library's own default, or is explained here."""

from dataclasses import fields
from types import SimpleNamespace
from typing import Any, cast

from azure_trigger.environment import NAMES
from daily_batch.settings import Settings, load_settings
from tests.local_cloud.aws.template import read_deployment
from tests.local_cloud.azure.local_azure import LocalAzure
from tests.local_cloud.azure.night import app_settings as local_app_settings
from tests.support.deployment.bicep_settings import OTHERS, app_settings, load

GIVEN = {"DataBucketName": "makoto-data", "PackageVersion": "0.1.0-0123456789ab"}
FUNCTIONS = ("DispatcherFunction", "WorkerFunction", "WatcherFunction")
OF_AWS = {"dynamodb_table", "queue_url", "emr_application_id", "emr_job_role_arn", "emr_package", "emr_log_group"}
OF_AZURE = {
    *("cosmos_endpoint", "databricks_host", "databricks_job", "databricks_client_id", "function_memory_mb"),
    "drift_minutes",  # Databricks sends no events, so its runs are polled for
}
# What a deployment sets otherwise than the library would, and why.
CHOSEN = {
    **dict.fromkeys(("input", "output", "spark"), "where everything is"),
    "tenants": "every tenant that the metadata store names",
    "look_back": "what came late in three days is seen without anybody's doing",
}


def test_what_both_clouds_set_is_the_same_and_the_librarys_default() -> None:
    deployed = load(app_settings())
    library = load_settings(flags={}, environ={})
    for function in FUNCTIONS:
        aws = load_settings(flags={}, environ=of_aws(function))
        assert differences(aws, deployed) == OF_AWS | OF_AZURE | {"input", "output", "spark"}
        assert differences(aws, library) == OF_AWS | set(CHOSEN)
    assert differences(deployed, library) == OF_AZURE | set(CHOSEN)


def test_a_setting_of_one_cloud_alone_names_a_service_of_it() -> None:
    aws = {origin(name, of_aws("WorkerFunction")) for name in settings_of(of_aws("WorkerFunction"))}
    azure = {origin(name, app_settings()) for name in settings_of(app_settings())}
    assert aws - azure == {
        "DYNAMODB_TABLE_NAME",
        *(f"MAKOTO_{each.upper()}" for each in OF_AWS - {"dynamodb_table"}),
    } | {"MAKOTO_EMR_VCPUS", "MAKOTO_EMR_PYTHON"}
    assert azure - aws == {"COSMOS_ENDPOINT", *(f"MAKOTO_{each.upper()}" for each in OF_AZURE - {"cosmos_endpoint"})}


def test_the_local_night_sets_what_the_deployment_sets() -> None:
    service = SimpleNamespace(url=lambda container: container, environment=dict)
    local = local_app_settings(cast(LocalAzure, service), zone="Asia/Tokyo")
    assert set(local) <= set(app_settings()) - set(OTHERS) - set(NAMES)
    same = set(local) - {"MAKOTO_INPUT", "MAKOTO_OUTPUT", "MAKOTO_DATABRICKS_CLIENT_ID"}
    assert {name: local[name] for name in same} == {name: app_settings()[name] for name in same}


def of_aws(function: str) -> dict[str, str]:
    return dict(read_deployment(parameters=GIVEN).functions[function].environment)


def settings_of(environ: dict[str, str]) -> list[str]:
    origins = load(environ).origins
    return [name for name, where in origins.items() if where in environ]


def origin(name: str, environ: dict[str, str]) -> str:
    return load(environ).origins[name]


def differences(one: Settings, other: Settings) -> set[str]:
    values: list[dict[str, Any]] = [
        {each.name: getattr(x, each.name) for each in fields(Settings)} for x in (one, other)
    ]
    return {name for name in values[0] if name != "origins" and values[0][name] != values[1][name]}
