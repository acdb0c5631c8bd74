"""Both clouds' watcher functions post the night's summary once, and never log the webhook's URL."""

from datetime import UTC, date, datetime
from pathlib import Path

import boto3
import pytest

from daily_batch.domain.url import parse_url
from daily_batch.ledger.factory import open_ledger
from daily_batch.settings import load_settings
from tests.support.functions_app import FunctionsApp
from tests.support.lambda_handlers import Lambda
from tests.support.webhook_receiver import PATH, Receiver

DAY = date(2025, 8, 12)
NIGHT = datetime(2025, 8, 12, 17, 15, tzinfo=UTC)  # 02:15 JST of the 13th
REGION = "ap-northeast-1"
SCHEDULED = {"time": "2025-08-12T17:15:00Z"}
POSTED = "the night's summary was posted"


def fail_days(output: Path, *tenants: str) -> None:
    """Record that each tenant's day has failed permanently, which ends the night."""
    ledger = open_ledger(load_settings(flags={"output": str(output)}, environ={}), parse_url(str(output)))
    for tenant in tenants:
        lease = ledger.acquire(tenant, DAY, owner="another-host:1:1", run_id=tenant)
        ledger.fail(lease, "the output is denied", retryable=False)


def titles(receiver: Receiver) -> list[str]:
    return [post.document["attachments"][0]["content"]["body"][0]["text"] for post in receiver.posts]


@pytest.fixture
def watcher(aws: Lambda, s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lambda:
    """The watcher's Lambda, at night, with a Secrets Manager."""
    for name, value in {
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws.load("watcher"), "now", lambda: NIGHT)
    fail_days(tmp_path / "out", "acme")
    return aws


def create_secret(name: str, value: str) -> str:
    answer = boto3.client("secretsmanager", region_name=REGION).create_secret(Name=name, SecretString=value)
    return str(answer["ARN"])


def test_watcher_on_aws_posts_to_the_url_in_its_secret_once(
    watcher: Lambda, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKOTO_NOTIFY_SECRET_ARN", create_secret("posted-once", f"{receiver.url}\n"))
    summaries = [watcher.call("watcher", SCHEDULED) for _ in range(2)]
    assert [summary["states"] for summary in summaries] == [{"FAILED": 1}, {"FAILED": 1}]
    assert titles(receiver) == ["makoto-daily-batch, 2025-08-12: 0 of 1 tenants completed, 1 need attention"]
    assert [line["message"] for line in watcher.lines if line.get("message") == POSTED] == [POSTED]
    assert PATH not in watcher.log.getvalue()


def test_watcher_on_aws_goes_on_without_its_secret(
    watcher: Lambda, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = create_secret("deleted", receiver.url)
    boto3.client("secretsmanager", region_name=REGION).delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    monkeypatch.setenv("MAKOTO_NOTIFY_SECRET_ARN", arn)
    assert watcher.call("watcher", SCHEDULED)["ended"]
    (error,) = [line["message"] for line in watcher.lines if line.get("level") == "ERROR"]
    assert "(ResourceNotFoundException)" in error
    assert receiver.posts == []
    assert PATH not in watcher.log.getvalue()


def test_watcher_on_azure_posts_once(app: FunctionsApp, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKOTO_NOTIFY_URL", receiver.url)
    monkeypatch.setattr("azure_trigger.watcher.now", lambda: NIGHT)
    fail_days(app.folder / "out", "acme", "globex")
    for _ in range(2):
        assert app.fire_timer("watch").error is None
    assert titles(receiver) == ["makoto-daily-batch, 2025-08-12: 0 of 2 tenants completed, 2 need attention"]
    assert len(app.log_lines(POSTED)) == 1
    assert PATH not in str(app.log_lines())


def test_watcher_on_azure_logs_a_key_vault_reference_that_is_not_resolved(
    app: FunctionsApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKOTO_NOTIFY_URL", "@Microsoft.KeyVault(VaultName=makoto-vault;SecretName=webhook)")
    monkeypatch.setattr("azure_trigger.watcher.now", lambda: NIGHT)
    fail_days(app.folder / "out", "acme", "globex")
    assert app.fire_timer("watch").error is None
    assert [line["message"] for line in app.log_lines() if line["message"].startswith("the night's summary")] == [
        "the night's summary was not posted: the webhook's URL is not an https URL. "
        "Next step: correct it (docs/notifications.md)."
    ]
