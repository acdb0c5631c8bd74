"""template.yaml and samconfig.toml define the resources that the guide describes."""

import re
import tomllib
from typing import Any

import pytest

from daily_batch.errors import UsageError
from daily_batch.settings import load_settings
from tests.local_cloud.aws.cloudformation import Scope, load_template
from tests.local_cloud.aws.deployment import Deployment
from tests.local_cloud.aws.resource_names import Names
from tests.local_cloud.aws.template import TEMPLATE, read_deployment
from tests.local_cloud.common.downloads import ROOT

DATA = {"DataBucketName": "makoto-data", "PackageVersion": "0.1.0-0123456789ab"}


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return read_deployment(parameters=DATA)


def find_properties(deployment: Deployment, kind: str) -> dict[str, Any]:
    """Return the properties of all resources of a type by logical id."""
    return {
        logical_id: resource["Properties"]
        for logical_id, resource in deployment.resources.items()
        if resource["Type"] == kind
    }


def test_defaults_are_the_guides_names_and_sizes(deployment: Deployment) -> None:
    worker = deployment.functions["WorkerFunction"]
    assert (worker.name, worker.memory_mb, worker.timeout) == ("makoto-daily-batch-processor", 3008, 900)
    guide = ["TENANT_ID", "TARGET_DATE_OFFSET", "S3_BUCKET_NAME", "DYNAMODB_TABLE_NAME", "BATCH_TIMEZONE"]
    assert [worker.environment[name] for name in guide] == ["*", "-1", "makoto-data", "makoto-metadata", "Asia/Tokyo"]


def test_message_stays_invisible_longer_than_the_worker_runs(deployment: Deployment) -> None:
    worker = deployment.functions["WorkerFunction"]
    assert worker.source is not None
    queue = deployment.queues[worker.source.queue]
    assert queue.visibility > worker.timeout
    assert (worker.source.batch_size, worker.source.reports_failures) == (1, True)
    assert (queue.max_receives, queue.dead_letters) == (3, "DeadLetterQueue")
    assert deployment.queues["DeadLetterQueue"].retention > queue.retention


def test_each_function_has_its_own_handler_and_role(deployment: Deployment) -> None:
    functions = {name: (each.handler, each.role) for name, each in deployment.functions.items()}
    assert functions == {
        "DispatcherFunction": ("lambda_trigger.dispatcher.handler", "DispatcherRole"),
        "WorkerFunction": ("lambda_trigger.worker.handler", "WorkerRole"),
        "WatcherFunction": ("lambda_trigger.watcher.handler", "WatcherRole"),
    }


@pytest.mark.parametrize("logical_id", ["DispatcherFunction", "WorkerFunction", "WatcherFunction"])
def test_function_environment_loads_as_settings(logical_id: str) -> None:
    parameters = DATA | {
        "DataPrefix": "raw/",
        "OutputBucketName": "makoto-tables",
        "Discovery": "metadata",
    }
    deployment = read_deployment(parameters=parameters, physical={"EmrApplication": "00abc"})
    settings = load_settings(flags={}, environ=deployment.functions[logical_id].environment)
    assert (settings.tenants, settings.spark, settings.discovery) == (("*",), "emr-serverless", "metadata")
    assert (settings.input, settings.output) == ("s3://makoto-data/raw/", "s3://makoto-tables/")
    assert (settings.emr_application_id, settings.emr_vcpus) == ("00abc", deployment.application.vcpus)
    assert settings.emr_job_role_arn == deployment.roles["JobRole"].arn
    assert settings.emr_package == f"s3://{deployment.outputs['ArtifactBucketName']}/emr/0.1.0-0123456789ab"
    assert settings.queue_url == deployment.queues["TaskQueue"].url


@pytest.mark.parametrize(("prefix", "catalog"), [("", ""), ("chat_2", "glue:chat_2")])
def test_the_prefix_of_databases_is_the_functions_catalog(prefix: str, catalog: str) -> None:
    functions = read_deployment(parameters=DATA | {"GluePrefix": prefix}).functions
    assert {load_settings(flags={}, environ=each.environment).catalog for each in functions.values()} == {catalog}


def test_night_schedule_fires_at_two_with_its_scheduled_time(deployment: Deployment) -> None:
    night = deployment.schedules["NightSchedule"]
    assert (night.expression, night.timezone, night.enabled) == ("cron(0 2 * * ? *)", "Asia/Tokyo", True)
    assert night.event("2025-08-12T17:00:00Z") == {"time": "2025-08-12T17:00:00Z"}
    assert night.target == "DispatcherFunction"
    assert deployment.schedules["ReconcileSchedule"].target == "WatcherFunction"


def test_schedule_parameters_override_the_defaults() -> None:
    parameters = DATA | {
        "ScheduleExpression": "cron(0 17 * * ? *)",
        "ScheduleTimezone": "UTC",
        "ScheduleState": "DISABLED",
    }
    deployment = read_deployment(parameters=parameters)
    night = deployment.schedules["NightSchedule"]
    assert (night.expression, night.timezone, night.enabled) == ("cron(0 17 * * ? *)", "UTC", False)
    # A disabled schedule must not raise the alarm.
    assert "NightMissedAlarm" not in deployment.resources


def test_rule_matches_only_final_states_of_this_application(deployment: Deployment) -> None:
    rule = deployment.rules["JobStateRule"]
    event = {
        "source": "aws.emr-serverless",
        "detail-type": "EMR Serverless Job Run State Change",
        "detail": {"applicationId": deployment.application.id, "state": "SUCCESS", "jobRunId": "00f1"},
    }
    assert rule.matches(event)
    assert not rule.matches({**event, "detail": {**event["detail"], "state": "RUNNING"}})
    assert not rule.matches({**event, "detail": {**event["detail"], "applicationId": "00other"}})
    assert not rule.matches({**event, "detail-type": "EMR Serverless Job Run Retry"})
    assert rule.target == "WatcherFunction"


def test_undelivered_events_go_to_the_dead_letter_queue(deployment: Deployment) -> None:
    dead_letters = deployment.queues["EventDeadLetterQueue"].arn
    for schedule in find_properties(deployment, "AWS::Scheduler::Schedule").values():
        assert schedule["Target"]["DeadLetterConfig"]["Arn"] == dead_letters
    for rule in find_properties(deployment, "AWS::Events::Rule").values():
        assert [target["DeadLetterConfig"]["Arn"] for target in rule["Targets"]] == [dead_letters]
    for name in ("DispatcherFunction", "WatcherFunction"):
        config = find_properties(deployment, "AWS::Serverless::Function")[name]["EventInvokeConfig"]
        assert config["DestinationConfig"]["OnFailure"] == {"Type": "SQS", "Destination": dead_letters}


def test_table_is_created_only_on_request_and_retained() -> None:
    existing = read_deployment(parameters=DATA).table
    created = read_deployment(parameters=DATA | {"CreateMetadataTable": "true"})
    assert (existing.created, created.table.created) == (False, True)
    assert created.table.key_schema == (("PK", "HASH"), ("SK", "RANGE")) == existing.key_schema
    table = created.resources["MetadataTable"]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["Properties"]["SSESpecification"] == {"SSEEnabled": True}
    assert table["Properties"]["DeletionProtectionEnabled"] == "true"


def test_resources_are_private_and_encrypted(deployment: Deployment) -> None:
    (bucket,) = find_properties(deployment, "AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert "BucketEncryption" in bucket
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert all(
        queue["SqsManagedSseEnabled"] is True for queue in find_properties(deployment, "AWS::SQS::Queue").values()
    )
    for logical_id, function in find_properties(deployment, "AWS::Serverless::Function").items():
        assert not {"FunctionUrlConfig", "Policies"} & set(function), logical_id
    (permission,) = find_properties(deployment, "AWS::Lambda::Permission").values()
    assert permission["SourceArn"].endswith(f":rule/{deployment.rules['JobStateRule'].name}")


def test_every_log_group_has_the_retention_parameter(deployment: Deployment) -> None:
    groups = find_properties(deployment, "AWS::Logs::LogGroup")
    assert {group["RetentionInDays"] for group in groups.values()} == {"90"}
    names = {group["LogGroupName"] for group in groups.values()}
    functions = find_properties(deployment, "AWS::Serverless::Function").values()
    assert {function["LoggingConfig"]["LogGroup"] for function in functions} == names - {
        deployment.application.log_group
    }
    assert "/aws/lambda/makoto-daily-batch-processor" in names
    assert deployment.application.log_group in names


def test_each_function_has_the_guides_error_alarm(deployment: Deployment) -> None:
    alarms = [
        alarm
        for alarm in find_properties(deployment, "AWS::CloudWatch::Alarm").values()
        if alarm["MetricName"] == "Errors"
    ]
    alarmed = {alarm["Dimensions"][0]["Value"] for alarm in alarms}
    assert alarmed == {function.name for function in deployment.functions.values()}
    for alarm in alarms:
        assert alarm["Namespace"] == "AWS/Lambda"
        assert (alarm["Statistic"], alarm["Period"], alarm["EvaluationPeriods"]) == ("Sum", 86400, 1)
        assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")


def test_alarms_notify_the_given_topic_or_the_default() -> None:
    topic_arn = "arn:aws:sns:ap-northeast-1:123456789012:on-call"
    with_email = DATA | {"AlarmEmail": "night@example.com"}
    default, emailed = read_deployment(parameters=DATA), read_deployment(parameters=with_email)
    external = read_deployment(parameters=with_email | {"AlarmTopicArn": topic_arn})
    for deployment, topic in ((default, default.outputs["AlarmTopicArn"]), (external, topic_arn)):
        alarms = find_properties(deployment, "AWS::CloudWatch::Alarm").values()
        assert {tuple(alarm["AlarmActions"]) for alarm in alarms} == {(topic,)}
    created = [{"AlarmTopic", "AlarmMail"} & set(each.resources) for each in (default, emailed, external)]
    assert created == [{"AlarmTopic"}, {"AlarmTopic", "AlarmMail"}, set()]


@pytest.mark.parametrize(
    "wrong",
    [
        {"DataBucketName": "CHANGE-ME"},
        {"DataBucketName": "s3://makoto-data"},
        {"PackageVersion": "CHANGE-ME"},
        {"PackageVersion": "0.1.0"},
        {"DataPrefix": "raw"},
        {"OutputPrefix": "*/"},
        {"OutputPrefix": "lake/exports/"},
        {"TenantId": ""},
        {"TenantId": "acme, globex"},
        {"WorkerMemory": "512"},
        {"Discovery": "guess"},
        {"Typo": "x"},
    ],
    ids=str,
)
def test_harmful_parameter_values_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        read_deployment(parameters=DATA | wrong)


@pytest.mark.parametrize("name", DATA)
def test_parameters_without_default_are_required(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        read_deployment(parameters={each: value for each, value in DATA.items() if each != name})


def test_scope_resolves_functions_and_refuses_unknown_ones() -> None:
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Fn::Sub": "${Prefix}-q"}}}
    names = Names(resources={"Q": queue}, physical={}, region="r", account="1", stack="s")
    scope = Scope({"Yes": {"Fn::Equals": [{"Ref": "Prefix"}, "p"]}}, {"Prefix": "p"}, names)
    no_value = {"Ref": "AWS::NoValue"}
    assert scope.resolve({"a": {"Fn::If": ["Yes", [1, no_value], 2]}, "b": no_value}) == {"a": [1]}
    assert (
        scope.resolve({"Fn::Sub": ["${X}/${!X}/${Q.Arn}/${AWS::Region}", {"X": "x"}]}) == "x/${X}/arn:aws:sqs:r:1:p-q/r"
    )
    assert scope.resolve({"Fn::And": [{"Condition": "Yes"}, {"Fn::Not": [{"Condition": "Yes"}]}]}) is False
    for unsupported in ({"Fn::Select": [0, ["a"]]}, {"Fn::GetAtt": ["Q", "Arm"]}):
        with pytest.raises(ValueError, match="not supported"):
            scope.resolve(unsupported)


def test_parameters_are_described_grouped_and_bounded() -> None:
    document = load_template(TEMPLATE)
    groups = document["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(document["Parameters"])
    for name, parameter in document["Parameters"].items():
        assert parameter["Description"].endswith("."), name
        assert {"AllowedValues", "AllowedPattern", "MinValue"} & set(parameter), name


def test_dev_and_prod_share_nothing_and_prod_confirms_changes() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    dev, prod = (config[stage]["deploy"]["parameters"] for stage in ("dev", "prod"))
    parameters = [dict(each.split("=", 1) for each in stage["parameter_overrides"]) for stage in (dev, prod)]
    deployments = [read_deployment(parameters=each | DATA) for each in parameters]
    names = [{each.name for each in (*d.functions.values(), *d.queues.values())} | {d.table.name} for d in deployments]
    assert not names[0] & names[1]
    assert dev["stack_name"] != prod["stack_name"]
    assert (dev["s3_prefix"], prod["s3_prefix"]) == (dev["stack_name"], prod["stack_name"])
    assert (prod["confirm_changeset"], prod["fail_on_empty_changeset"]) == (True, False)
    assert deployments[1].schedules["NightSchedule"].enabled
    assert not re.search(r"\b\d{12}\b", (ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    for each in parameters:
        with pytest.raises(UsageError):  # it has placeholders
            read_deployment(parameters=each)
