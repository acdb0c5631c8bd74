"""template.yaml and samconfig.toml: what SAM and cfn-lint say of them, and what they promise."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from daily_batch.errors import UsageError
from daily_batch.settings import load_settings
from tests.local_cloud.aws.cloudformation import Scope, load_template
from tests.local_cloud.aws.deployment import Deployment
from tests.local_cloud.aws.resource_names import Names
from tests.local_cloud.aws.template import TEMPLATE, read_deployment
from tests.support.deployment.sam_cli import ROOT, run

DATA = {"DataBucketName": "makoto-data", "PackageVersion": "0.1.0-0123456789ab"}
# What Lambda takes of a function with its layers, in bytes.
UNZIPPED = 262_144_000
# What a linter must not let pass: what is replaced, and by what.
MISTAKES = {
    "property": ("VisibilityTimeout:", "VisibilityTimout:"),
    "reference": ("!GetAtt TaskQueue.Arn", "!GetAtt TaskQeueu.Arn"),
    "attribute": ("!GetAtt JobRole.Arn", "!GetAtt JobRole.Arm"),
    "value": ("Architecture: ARM64", "Architecture: ARM46"),
    "parameter": ("!Ref LogRetentionDays", "!Ref LogRetentionDay"),
    "effect": ("Effect: Deny", "Effect: Denied"),
    "principal": ("Principal: {Service: lambda", "Principle: {Service: lambda"),
    "range": ("MaximumRetryAttempts: 10,", "MaximumRetryAttempts: 1000,"),
}


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return read_deployment(parameters=DATA)


def of_type(deployment: Deployment, kind: str) -> dict[str, Any]:
    return {
        logical_id: resource["Properties"]
        for logical_id, resource in deployment.resources.items()
        if resource["Type"] == kind
    }


def test_sam_finds_the_template_valid_without_an_account(tmp_path: Path) -> None:
    answer = run("sam", ["validate", "--lint"], home=tmp_path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "valid SAM Template" in answer.stdout


def test_cfn_lint_finds_nothing(tmp_path: Path) -> None:
    answer = run("cfn-lint", [str(TEMPLATE)], home=tmp_path)
    assert (answer.returncode, answer.stdout) == (0, "")


def test_cfn_lint_refuses_mistakes(tmp_path: Path) -> None:
    text, files = TEMPLATE.read_text(encoding="utf-8"), {}
    for name, (right, wrong) in MISTAKES.items():
        assert right in text
        files[str(tmp_path / f"{len(files)}.yaml")] = name
        (tmp_path / f"{len(files) - 1}.yaml").write_text(text.replace(right, wrong), encoding="utf-8")
    answer = run("cfn-lint", ["--format", "json", *files], home=tmp_path)
    refused = {files[found["Filename"]] for found in json.loads(answer.stdout) if found["Level"] == "Error"}
    assert refused == set(MISTAKES)


def test_sam_builds_what_fits_into_a_function(deployment: Deployment, tmp_path: Path) -> None:
    built = tmp_path / "built"
    answer = run("sam", ["build", "--build-dir", str(built)], home=tmp_path)
    assert answer.returncode == 0, answer.stderr
    layer = sum_files(built / "DependenciesLayer")
    assert (built / "DependenciesLayer/python/duckdb").exists()
    for logical_id, function in deployment.functions.items():
        module = function.handler.rpartition(".")[0].replace(".", "/")
        assert (built / logical_id / f"{module}.py").exists()
        assert (built / logical_id / "daily_batch/orchestration/dispatch.py").exists()
        assert sum_files(built / logical_id) + layer < UNZIPPED


def sum_files(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_the_guides_names_and_sizes_are_the_defaults(deployment: Deployment) -> None:
    worker = deployment.functions["WorkerFunction"]
    assert (worker.name, worker.memory_mb, worker.timeout) == ("makoto-daily-batch-processor", 3008, 900)
    guide = ["TENANT_ID", "TARGET_DATE_OFFSET", "S3_BUCKET_NAME", "DYNAMODB_TABLE_NAME", "BATCH_TIMEZONE"]
    assert [worker.environment[name] for name in guide] == ["*", "-1", "makoto-data", "makoto-metadata", "Asia/Tokyo"]


def test_a_message_is_not_given_out_while_the_worker_may_be_at_work_on_it(deployment: Deployment) -> None:
    worker = deployment.functions["WorkerFunction"]
    assert worker.source is not None
    queue = deployment.queues[worker.source.queue]
    assert queue.visibility > worker.timeout
    assert (worker.source.batch_size, worker.source.reports_failures) == (1, True)
    assert (queue.max_receives, queue.dead_letters) == (3, "DeadLetterQueue")
    assert deployment.queues["DeadLetterQueue"].retention > queue.retention


def test_each_function_names_a_handler_and_a_role_of_its_own(deployment: Deployment) -> None:
    functions = {name: (each.handler, each.role) for name, each in deployment.functions.items()}
    assert functions == {
        "DispatcherFunction": ("lambda_trigger.dispatcher.handler", "DispatcherRole"),
        "WorkerFunction": ("lambda_trigger.worker.handler", "WorkerRole"),
        "WatcherFunction": ("lambda_trigger.watcher.handler", "WatcherRole"),
    }


@pytest.mark.parametrize("logical_id", ["DispatcherFunction", "WorkerFunction", "WatcherFunction"])
def test_a_functions_environment_is_its_settings(logical_id: str) -> None:
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


def test_the_night_begins_at_two_and_says_which_night_it_is(deployment: Deployment) -> None:
    night = deployment.schedules["NightSchedule"]
    assert (night.expression, night.timezone, night.enabled) == ("cron(0 2 * * ? *)", "Asia/Tokyo", True)
    assert night.event("2025-08-12T17:00:00Z") == {"time": "2025-08-12T17:00:00Z"}
    assert night.target == "DispatcherFunction"
    assert deployment.schedules["ReconcileSchedule"].target == "WatcherFunction"


def test_the_guides_schedule_can_be_given() -> None:
    parameters = DATA | {
        "ScheduleExpression": "cron(0 17 * * ? *)",
        "ScheduleTimezone": "UTC",
        "ScheduleState": "DISABLED",
    }
    deployment = read_deployment(parameters=parameters)
    night = deployment.schedules["NightSchedule"]
    assert (night.expression, night.timezone, night.enabled) == ("cron(0 17 * * ? *)", "UTC", False)
    # Nobody is woken by a night that was switched off.
    assert "NightMissedAlarm" not in deployment.resources


def test_only_the_ends_of_this_applications_jobs_reach_the_watcher(deployment: Deployment) -> None:
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


def test_what_calls_a_function_keeps_what_it_could_not_deliver(deployment: Deployment) -> None:
    kept = deployment.queues["EventDeadLetterQueue"].arn
    for schedule in of_type(deployment, "AWS::Scheduler::Schedule").values():
        assert schedule["Target"]["DeadLetterConfig"]["Arn"] == kept
    for rule in of_type(deployment, "AWS::Events::Rule").values():
        assert [target["DeadLetterConfig"]["Arn"] for target in rule["Targets"]] == [kept]
    for name in ("DispatcherFunction", "WatcherFunction"):
        invoked = of_type(deployment, "AWS::Serverless::Function")[name]["EventInvokeConfig"]
        assert invoked["DestinationConfig"]["OnFailure"] == {"Type": "SQS", "Destination": kept}


def test_the_table_is_made_only_where_there_is_none() -> None:
    there = read_deployment(parameters=DATA).table
    made = read_deployment(parameters=DATA | {"CreateMetadataTable": "true"})
    assert (there.created, made.table.created) == (False, True)
    assert made.table.key_schema == (("PK", "HASH"), ("SK", "RANGE")) == there.key_schema
    table = made.resources["MetadataTable"]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["Properties"]["SSESpecification"] == {"SSEEnabled": True}
    assert table["Properties"]["DeletionProtectionEnabled"] == "true"


def test_nothing_is_public_and_all_is_encrypted(deployment: Deployment) -> None:
    (bucket,) = of_type(deployment, "AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert "BucketEncryption" in bucket
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert all(queue["SqsManagedSseEnabled"] is True for queue in of_type(deployment, "AWS::SQS::Queue").values())
    for logical_id, function in of_type(deployment, "AWS::Serverless::Function").items():
        assert not {"FunctionUrlConfig", "Policies"} & set(function), logical_id
    (permission,) = of_type(deployment, "AWS::Lambda::Permission").values()
    assert permission["SourceArn"].endswith(f":rule/{deployment.rules['JobStateRule'].name}")


def test_every_log_is_kept_for_as_long_as_is_said(deployment: Deployment) -> None:
    groups = of_type(deployment, "AWS::Logs::LogGroup")
    assert {group["RetentionInDays"] for group in groups.values()} == {"90"}
    names = {group["LogGroupName"] for group in groups.values()}
    functions = of_type(deployment, "AWS::Serverless::Function").values()
    assert {function["LoggingConfig"]["LogGroup"] for function in functions} == names - {
        deployment.application.log_group
    }
    assert "/aws/lambda/makoto-daily-batch-processor" in names
    assert deployment.application.log_group in names


def test_the_guides_alarm_is_there_for_each_function(deployment: Deployment) -> None:
    alarms = [
        alarm for alarm in of_type(deployment, "AWS::CloudWatch::Alarm").values() if alarm["MetricName"] == "Errors"
    ]
    watched = {alarm["Dimensions"][0]["Value"] for alarm in alarms}
    assert watched == {function.name for function in deployment.functions.values()}
    for alarm in alarms:
        assert alarm["Namespace"] == "AWS/Lambda"
        assert (alarm["Statistic"], alarm["Period"], alarm["EvaluationPeriods"]) == ("Sum", 86400, 1)
        assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")


def test_alarms_go_to_the_topic_that_is_given_else_to_one_of_our_own() -> None:
    given = "arn:aws:sns:ap-northeast-1:123456789012:on-call"
    mail = DATA | {"AlarmEmail": "night@example.com"}
    own, mailed = read_deployment(parameters=DATA), read_deployment(parameters=mail)
    elsewhere = read_deployment(parameters=mail | {"AlarmTopicArn": given})
    for deployment, topic in ((own, own.outputs["AlarmTopicArn"]), (elsewhere, given)):
        alarms = of_type(deployment, "AWS::CloudWatch::Alarm").values()
        assert {tuple(alarm["AlarmActions"]) for alarm in alarms} == {(topic,)}
    made = [{"AlarmTopic", "AlarmMail"} & set(each.resources) for each in (own, mailed, elsewhere)]
    assert made == [{"AlarmTopic"}, {"AlarmTopic", "AlarmMail"}, set()]


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
def test_values_that_could_do_harm_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        read_deployment(parameters=DATA | wrong)


@pytest.mark.parametrize("name", DATA)
def test_what_no_default_can_know_must_be_given(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        read_deployment(parameters={each: value for each, value in DATA.items() if each != name})


def test_functions_are_resolved_and_unknown_ones_refused() -> None:
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Fn::Sub": "${Prefix}-q"}}}
    names = Names(resources={"Q": queue}, physical={}, region="r", account="1", stack="s")
    scope = Scope({"Yes": {"Fn::Equals": [{"Ref": "Prefix"}, "p"]}}, {"Prefix": "p"}, names)
    nothing = {"Ref": "AWS::NoValue"}
    assert scope.resolve({"a": {"Fn::If": ["Yes", [1, nothing], 2]}, "b": nothing}) == {"a": [1]}
    assert (
        scope.resolve({"Fn::Sub": ["${X}/${!X}/${Q.Arn}/${AWS::Region}", {"X": "x"}]}) == "x/${X}/arn:aws:sqs:r:1:p-q/r"
    )
    assert scope.resolve({"Fn::And": [{"Condition": "Yes"}, {"Fn::Not": [{"Condition": "Yes"}]}]}) is False
    for unknown in ({"Fn::Select": [0, ["a"]]}, {"Fn::GetAtt": ["Q", "Arm"]}):
        with pytest.raises(ValueError, match="not supported"):
            scope.resolve(unknown)


def test_parameters_are_explained_and_in_a_group() -> None:
    document = load_template(TEMPLATE)
    groups = document["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(document["Parameters"])
    for name, parameter in document["Parameters"].items():
        assert parameter["Description"].endswith("."), name
        bounded = {"AllowedValues", "AllowedPattern", "MinValue"} & set(parameter)
        assert bounded, name


def test_dev_and_prod_are_apart_and_prod_asks_first() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    dev, prod = (config[stage]["deploy"]["parameters"] for stage in ("dev", "prod"))
    told = [dict(each.split("=", 1) for each in stage["parameter_overrides"]) for stage in (dev, prod)]
    deployments = [read_deployment(parameters=each | DATA) for each in told]
    names = [{each.name for each in (*d.functions.values(), *d.queues.values())} | {d.table.name} for d in deployments]
    assert not names[0] & names[1]
    assert dev["stack_name"] != prod["stack_name"]
    assert (dev["s3_prefix"], prod["s3_prefix"]) == (dev["stack_name"], prod["stack_name"])
    assert (prod["confirm_changeset"], prod["fail_on_empty_changeset"]) == (True, False)
    assert deployments[1].schedules["NightSchedule"].enabled
    assert not re.search(r"\b\d{12}\b", (ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    for each in told:
        with pytest.raises(UsageError):  # nobody deploys it as it is
            read_deployment(parameters=each)
