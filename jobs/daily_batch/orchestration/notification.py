"""Notification: post the night's summary to one webhook, once a night.

Watchers claim the night in the metadata store before one of them posts, so a summary is posted at most once. A post
that fails is a log line: the alarms do not depend on it. The webhook's URL is a secret and reaches no log.
"""

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from http.client import HTTPException
from json import dumps
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener
from uuid import uuid4

from daily_batch.domain.calendar import format_timestamp
from daily_batch.errors import RetryableError, UsageError, describe_error
from daily_batch.metadata import MetadataStore, VersionConflictError, keys
from daily_batch.orchestration.night_message import Format, build_message
from daily_batch.orchestration.night_summary import Summary
from daily_batch.settings import Settings
from daily_batch.telemetry import Telemetry

TIMEOUT_SECONDS = 10
SLACK_HOST = "hooks.slack.com"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

ReadSecret = Callable[[str], str]


def notify(
    summary: Summary,
    *,
    settings: Settings,
    store: MetadataStore,
    now: datetime,
    telemetry: Telemetry,
    read_secret: ReadSecret | None = None,
) -> None:
    """Post the night's summary if a webhook is set and no other call has posted it; log what fails.

    Args:
        summary: The night.
        settings: The settings.
        store: The metadata store, in which the night is claimed.
        now: The current time.
        telemetry: The log.
        read_secret: Returns the value of an AWS secret by its ARN; only AWS has one.
    """
    if not (settings.notify_url or settings.notify_secret_arn):
        return
    try:
        key = _night_key(summary, settings)
        if store.get(keys.BATCH, key):
            return
        url = find_url(settings, read_secret)
        if not _claim(store, key, now):
            return
        to = choose_format(settings, url)
        post(url, build_message(summary, to=to, report_url=settings.report_url))
        telemetry.info("the night's summary was posted", day=summary.date, format=to)
    # A notification must not fail the night.
    except Exception as error:
        telemetry.error(f"the night's summary was not posted: {describe_error(error)}", day=summary.date)


def find_url(settings: Settings, read_secret: ReadSecret | None) -> str:
    """Return the webhook's URL, from the setting or from the secret.

    Raises:
        UsageError: It is not an https URL (http is for receivers on the loopback), or the secret cannot be read here.
    """
    if settings.notify_url:
        url = settings.notify_url
    elif read_secret:
        url = read_secret(settings.notify_secret_arn)
    else:
        raise UsageError("only the watcher on AWS reads notify_secret_arn", next_step="set notify_url")
    url = url.strip()
    if not _is_allowed(url):
        raise UsageError("the webhook's URL is not an https URL", next_step="correct it (docs/notifications.md)")
    return url


def _is_allowed(url: str) -> bool:
    try:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
    except ValueError:
        return False
    return bool(host) and (scheme == "https" or (scheme == "http" and host in _LOOPBACK))


def choose_format(settings: Settings, url: str) -> Format:
    """Return the receiver's format: the setting, or for `auto` what follows from the host of the URL."""
    if settings.notify_format != "auto":
        return settings.notify_format
    return "slack" if urlsplit(url).hostname == SLACK_HOST else "teams"


def post(url: str, document: dict[str, Any]) -> None:
    """Post a JSON document, once.

    Raises:
        RetryableError: It was not accepted; the error names the HTTP status or the type of the failure only.
    """
    headers = {"Content-Type": "application/json", "User-Agent": "makoto-daily-batch"}
    request = Request(url, data=dumps(document).encode(), headers=headers, method="POST")  # noqa: S310 - see find_url
    try:
        with build_opener(_RefuseRedirects).open(request, timeout=TIMEOUT_SECONDS):
            return
    except HTTPError as error:
        error.close()
        why = f"HTTP status {error.code}"
    except URLError as error:
        why = type(error.reason).__name__
    except (OSError, HTTPException) as error:
        why = type(error).__name__
    raise RetryableError(
        f"the webhook did not accept it ({why})",
        next_step="check the webhook (docs/notifications.md); the next night's summary is posted again",
    )


class _RefuseRedirects(HTTPRedirectHandler):
    """Treat a redirect as a failure: the summary goes to no other address than the one that is set."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Return no request, so that the opener raises the redirect as an `HTTPError`."""


def _night_key(summary: Summary, settings: Settings) -> str:
    # Deployments may share a metadata store: one for each bucket, or one for some tenants.
    deployment = f"{settings.output} {','.join(settings.tenants)}"
    return keys.notified_key(summary.date, sha256(deployment.encode()).hexdigest()[:8])


def _claim(store: MetadataStore, key: str, now: datetime) -> bool:
    """Claim the right to post; return False if another call has it."""
    claim = uuid4().hex
    item = {"PK": keys.BATCH, "SK": key, "claim": claim, "notified_at": format_timestamp(now)}
    try:
        store.put(item, expected=None)
    except VersionConflictError:
        # The store may have repeated a write whose response was lost, and conflicted with itself.
        stored = store.get(keys.BATCH, key)
        return stored is not None and stored.item.get("claim") == claim
    return True
