"""The nightly notification: posted once, when the night has ended or is due; its failures are log lines."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest

from daily_batch.errors import RetryableError
from daily_batch.metadata import Item, MetadataStore, VersionConflictError, VersionedItem
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration import notification
from daily_batch.orchestration.notification import choose_format, notify
from daily_batch.settings import Settings, load_settings
from tests.support.day_runs import DAY
from tests.support.local_night import LocalNight
from tests.support.night_summaries import CONTENT, make_summary
from tests.support.recording_telemetry import RecordingTelemetry
from tests.support.webhook_receiver import PATH, Receiver, receive_webhooks

DUE = datetime(2025, 8, 12, 21, 0, tzinfo=UTC)  # 06:00 JST
POSTED, FAILED = "the night's summary was posted", "the night's summary was not posted"
SUMMARY = make_summary()


@pytest.fixture
def posting(night: LocalNight, receiver: Receiver) -> LocalNight:
    """A night whose watcher has a webhook."""
    night.settings["notify_url"] = receiver.url
    return night


def make_settings(**flags: object) -> Settings:
    return load_settings(flags={"output": "out", "tenants": "acme", **flags}, environ={})


def fail_day(night: LocalNight, *, retryable: bool, error: str = CONTENT) -> None:
    lease = night.ledger.acquire("acme", DAY, owner="another-host:1:1", run_id=uuid4().hex)
    night.ledger.fail(lease, error, retryable=retryable)


def titles(receiver: Receiver) -> list[str]:
    return [post.document["attachments"][0]["content"]["body"][0]["text"] for post in receiver.posts]


def logged(telemetry: RecordingTelemetry) -> list[str]:
    return [message for _, message, _ in telemetry.lines if message.startswith((POSTED, FAILED))]


# When


def test_summary_is_posted_once_over_many_calls(
    posting: LocalNight, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    posting.handle()
    lines = [logged(posting.run_watcher(monkeypatch)) for _ in range(3)]
    posting.clock.now = DUE
    lines.append(logged(posting.run_watcher(monkeypatch)))
    assert lines == [[POSTED], [], [], []]
    assert titles(receiver) == ["makoto-daily-batch, 2025-08-12: 1 of 1 tenants completed"]
    (post,) = receiver.posts
    assert post.path == PATH
    assert post.headers["Content-Type"] == "application/json"


def test_summary_waits_for_the_due_time_while_days_are_missing(
    posting: LocalNight, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    posting.clock.now = DUE - timedelta(seconds=1)
    posting.run_watcher(monkeypatch)
    assert receiver.posts == []
    posting.clock.now = DUE
    posting.run_watcher(monkeypatch)
    assert titles(receiver) == ["makoto-daily-batch, 2025-08-12: 0 of 1 tenants completed, 1 need attention"]


def test_each_night_has_its_own_post(posting: LocalNight, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for days in range(3):
        posting.clock.now = DUE + timedelta(days=days)
        posting.run_watcher(monkeypatch)
    assert [title.split()[1] for title in titles(receiver)] == ["2025-08-12:", "2025-08-13:", "2025-08-14:"]


def test_permanently_failed_day_ends_the_night(
    posting: LocalNight, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_day(posting, retryable=False)
    posting.run_watcher(monkeypatch)
    assert len(receiver.posts) == 1


def test_failed_day_that_the_queue_delivers_again_does_not_end_the_night(
    posting: LocalNight, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for deliveries_left in (2, 1, 0):
        fail_day(posting, retryable=True)
        posting.run_watcher(monkeypatch)
        assert len(receiver.posts) == (deliveries_left == 0)


def test_failed_job_that_is_queued_again_does_not_end_the_night(
    posting: LocalNight, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    posting.settings |= {"runner": "spark", "max_attempts": 2}
    posting.handle()
    posting.service.end = "FAILED"
    for _ in range(2):  # the first call queues the day, the second finds it queued
        posting.run_watcher(monkeypatch)
    assert receiver.posts == []
    posting.handle()
    posting.run_watcher(monkeypatch)
    assert len(receiver.posts) == 1


def test_nothing_is_posted_or_claimed_without_a_webhook(night: LocalNight, monkeypatch: pytest.MonkeyPatch) -> None:
    night.handle()
    assert logged(night.run_watcher(monkeypatch)) == []
    assert list(night.ledger.store.query("BATCH", first="A", last="~")) == []


# Once


@dataclass
class MeetingStore:
    """A store in which two calls both find no claim before either of them writes one."""

    store: MetadataStore
    barrier: Barrier = field(default_factory=lambda: Barrier(2, timeout=60))

    def get(self, pk: str, sk: str) -> VersionedItem | None:
        found = self.store.get(pk, sk)
        if found is None:
            self.barrier.wait()
        return found

    def put(self, item: Item, *, expected: str | None) -> str:
        return self.store.put(item, expected=expected)

    def query(self, pk: str, *, first: str, last: str) -> Iterator[Item]:
        return self.store.query(pk, first=first, last=last)


def post_summary(store: MetadataStore, **flags: object) -> RecordingTelemetry:
    telemetry = RecordingTelemetry()
    notify(SUMMARY, settings=make_settings(**flags), store=store, now=DUE, telemetry=telemetry)
    return telemetry


def test_two_concurrent_calls_post_once(receiver: Receiver, tmp_path: Path) -> None:
    store = MeetingStore(SqliteStore(tmp_path / "ledger.sqlite"))
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(post_summary, store, notify_url=receiver.url) for _ in range(2)]
        lines = [logged(call.result()) for call in calls]
    assert sorted(lines) == [[], [POSTED]]
    assert len(receiver.posts) == 1


def test_deployments_that_share_a_metadata_store_post_one_summary_each(receiver: Receiver, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger.sqlite")
    for deployment in ({"output": "a"}, {"output": "b"}, {"output": "b", "tenants": "globex"}):
        for _ in range(2):
            post_summary(store, notify_url=receiver.url, **deployment)
    assert len(receiver.posts) == 3


@dataclass(frozen=True)
class RepeatingStore(SqliteStore):
    """A store that repeats a write whose response was lost, and so conflicts with itself."""

    def put(self, item: Item, *, expected: str | None) -> str:
        super().put(item, expected=expected)
        return super().put(item, expected=expected)


def test_claim_whose_response_was_lost_is_recognized(receiver: Receiver, tmp_path: Path) -> None:
    store = RepeatingStore(tmp_path / "ledger.sqlite")
    with pytest.raises(VersionConflictError):
        store.put({"PK": "a", "SK": "b"}, expected=None)
    for _ in range(2):
        post_summary(store, notify_url=receiver.url)
    assert len(receiver.posts) == 1


@dataclass(frozen=True)
class UnavailableStore(SqliteStore):
    def put(self, item: Item, *, expected: str | None) -> str:
        raise RetryableError("the table throttles", next_step="run the day again")


def test_summary_that_cannot_be_claimed_is_posted_by_a_later_call(receiver: Receiver, tmp_path: Path) -> None:
    lines = logged(post_summary(UnavailableStore(tmp_path / "ledger.sqlite"), notify_url=receiver.url))
    assert lines == [f"{FAILED}: the table throttles. Next step: run the day again."]
    assert receiver.posts == []
    post_summary(SqliteStore(tmp_path / "ledger.sqlite"), notify_url=receiver.url)
    assert len(receiver.posts) == 1


# What


@pytest.mark.parametrize("form", ["slack", "teams"])
def test_error_text_is_never_posted(
    posting: LocalNight, receiver: Receiver, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    posting.settings |= {"notify_format": form, "report_url": "https://reports.example.com/night.html"}
    fail_day(posting, retryable=False)
    posting.run_watcher(monkeypatch)
    (post,) = receiver.posts
    text = json.dumps(post.document)
    assert "docs/runbooks/days-failed.md" in text and "https://reports.example.com/night.html" in text
    assert "Bob" not in text and "another-host" not in text
    assert set(post.document) == ({"text", "blocks"} if form == "slack" else {"type", "attachments"})


@pytest.mark.parametrize(
    ("url", "setting", "form"),
    [
        ("https://hooks.slack.com/services/T/B/x", "auto", "slack"),
        ("https://hooks.slack.com.example.com/services/T/B/x", "auto", "teams"),
        ("https://example.com/hooks.slack.com", "auto", "teams"),
        (
            "https://prod-1.japaneast.logic.azure.com:443/workflows/a/triggers/manual/paths/invoke?sig=x",
            "auto",
            "teams",
        ),
        ("https://hooks.slack.com/services/T/B/x", "teams", "teams"),
        ("https://example.com/x", "slack", "slack"),
    ],
)
def test_format_follows_from_the_host_unless_it_is_set(url: str, setting: str, form: str) -> None:
    assert choose_format(make_settings(notify_format=setting), url) == form


# Failures


def assert_no_url(telemetry: RecordingTelemetry) -> None:
    assert "secret" not in str(telemetry.lines)


@pytest.mark.parametrize(
    ("response", "why"),
    [
        ({"status": 500}, "HTTP status 500"),
        ({"status": 403}, "HTTP status 403"),
        ({"drops": True}, "RemoteDisconnected"),
        ({"hangs": True}, "TimeoutError"),
    ],
)
def test_failed_post_is_one_log_line_without_the_url_and_is_not_repeated(
    posting: LocalNight, receiver: Receiver, response: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification, "TIMEOUT_SECONDS", 0.2 if "hangs" in response else 60)
    for name, value in response.items():
        setattr(receiver, name, value)
    posting.handle()
    telemetry = posting.run_watcher(monkeypatch)
    ((message, facts),) = telemetry.errors
    assert message.startswith(f"{FAILED}: the webhook did not accept it ({why}). Next step: ")
    assert facts == {"day": "2025-08-12"}
    assert_no_url(telemetry)
    assert posting.run_watcher(monkeypatch).errors == []
    assert receiver.arrived.wait(60)
    assert len(receiver.posts) == 1


def test_refused_connection_is_one_log_line(posting: LocalNight, monkeypatch: pytest.MonkeyPatch) -> None:
    posting.handle()
    with socket.socket() as bound:  # it does not listen
        bound.bind(("127.0.0.1", 0))
        posting.settings["notify_url"] = f"http://127.0.0.1:{bound.getsockname()[1]}{PATH}"
        telemetry = posting.run_watcher(monkeypatch)
    ((message, _),) = telemetry.errors
    assert "(ConnectionRefusedError)" in message
    assert_no_url(telemetry)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(receiver: Receiver, tmp_path: Path, status: int) -> None:
    with receive_webhooks() as other:
        receiver.status, receiver.location = status, other.url
        telemetry = post_summary(SqliteStore(tmp_path / "ledger.sqlite"), notify_url=receiver.url)
        assert other.posts == []
    assert f"(HTTP status {status})" in logged(telemetry)[0]
    assert_no_url(telemetry)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/secret",
        "http://127.0.0.1.example.com/secret",
        "https:///secret",
        "https://[secret",
        "ftp://127.0.0.1/secret",
        "file:///secret",
        "secret",
        "@Microsoft.KeyVault(VaultName=makoto-vault;SecretName=secret)",
    ],
)
def test_url_that_is_not_https_is_refused_before_the_claim(url: str, receiver: Receiver, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger.sqlite")
    telemetry = post_summary(store, notify_url=url)
    assert logged(telemetry) == [
        f"{FAILED}: the webhook's URL is not an https URL. Next step: correct it (docs/notifications.md)."
    ]
    assert_no_url(telemetry)
    post_summary(store, notify_url=f" {receiver.url}\n")
    assert len(receiver.posts) == 1


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:port/secret", "https://127.0.0.1/secret of it", f"https://{'x' * 70}/secret"]
)
def test_malformed_url_is_a_log_line_without_it(url: str, tmp_path: Path) -> None:
    telemetry = post_summary(SqliteStore(tmp_path / "ledger.sqlite"), notify_url=url)
    assert len(logged(telemetry)) == 1
    assert_no_url(telemetry)


def test_failed_notification_leaves_the_nights_summary(
    posting: LocalNight, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.status = 500
    posting.handle()
    telemetry = posting.run_watcher(monkeypatch)
    (summary,) = [facts["summary"] for _, message, facts in telemetry.lines if message == "the night"]
    assert summary["ended"]


# The secret on AWS

ARN = "arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:makoto-webhook-AbCdEf"


def test_url_is_read_from_the_secret_only_when_a_summary_is_posted(receiver: Receiver, tmp_path: Path) -> None:
    read: list[str] = []

    def read_secret(arn: str) -> str:
        read.append(arn)
        return f"{receiver.url}\n"

    settings, store = make_settings(notify_secret_arn=ARN), SqliteStore(tmp_path / "ledger.sqlite")
    for _ in range(3):
        telemetry = RecordingTelemetry()
        notify(SUMMARY, settings=settings, store=store, now=DUE, telemetry=telemetry, read_secret=read_secret)
    assert (read, len(receiver.posts)) == ([ARN], 1)


def test_secret_that_cannot_be_read_is_a_log_line_and_is_read_again(receiver: Receiver, tmp_path: Path) -> None:
    def deny(arn: str) -> str:
        raise RetryableError("the secret cannot be read (AccessDeniedException)", next_step="allow it")

    settings, store = make_settings(notify_secret_arn=ARN), SqliteStore(tmp_path / "ledger.sqlite")
    telemetry = RecordingTelemetry()
    notify(SUMMARY, settings=settings, store=store, now=DUE, telemetry=telemetry, read_secret=deny)
    assert logged(telemetry) == [f"{FAILED}: the secret cannot be read (AccessDeniedException). Next step: allow it."]
    notify(SUMMARY, settings=settings, store=store, now=DUE, telemetry=telemetry, read_secret=lambda _: receiver.url)
    assert len(receiver.posts) == 1
