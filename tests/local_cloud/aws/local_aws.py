"""Start the local AWS and access it as its administrator or as any of its principals."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3

from tests.local_cloud.aws.dynamodb_local import serve_dynamodb
from tests.local_cloud.aws.emr.job_runs import Outcome
from tests.local_cloud.aws.iam.authorizer import ADMIN_KEY, SECRET
from tests.local_cloud.aws.server import CALLS
from tests.local_cloud.common.downloads import ROOT
from tests.local_cloud.common.faults import Fault

REGION, ACCOUNT = "ap-northeast-1", "123456789012"


@dataclass(frozen=True, kw_only=True)
class LocalAws:
    """The local AWS at one address. `folder` has the log of calls and a folder for each job."""

    endpoint: str
    folder: Path
    region: str = REGION
    account: str = ACCOUNT

    def environment(self, key: str = ADMIN_KEY) -> dict[str, str]:
        """Return the environment variables by which a process reaches the services as a principal."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def client(self, service: str, key: str = ADMIN_KEY, **more: Any) -> Any:
        """Return boto3's client of a service for a principal."""
        if more:
            return _make_client(service, key, self.region, self.endpoint, **more)
        return _get_cached_client(service, key, self.region, self.endpoint)

    def register_principal(
        self, key: str, *, name: str, policies: Sequence[Any], arn: str = "", trust: Any = None
    ) -> str:
        """Assign an access key to a role and return the key."""
        role = {"name": name, "arn": arn, "policies": list(policies), "trust": trust}
        self._change("principals", {key: role})
        return key

    def create_application(self, application: Mapping[str, Any]) -> None:
        """Replace the EMR Serverless application by one in GetApplication's format."""
        self._change("application", dict(application))

    def simulate(self, **outcomes: Outcome) -> None:
        """Simulate the jobs of these tenants, or of all with `everyone`, instead of running them."""
        named = {"*" if tenant == "everyone" else tenant: asdict(each) for tenant, each in outcomes.items()}
        self._change("outcomes", named)

    def age_jobs(self, hours: float) -> None:
        """Age all job runs: they have been in their state for so many hours longer."""
        self._change("age", hours)

    def set_minute_seconds(self, seconds: float) -> None:
        """Set the length of a minute of the jobs' time limits."""
        self._change("minute", seconds)

    def inject_faults(self, *faults: Fault) -> None:
        """Inject these faults and no others."""
        self._change("faults", [asdict(fault) for fault in faults])

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """Return EventBridge's events of job runs, without the first `after`."""
        events: list[dict[str, Any]] = self._query(f"events?after={after}")
        return events

    def check(self, key: str, *, action: str, resource: str) -> bool:
        """Authorize and log an action that no API here serves, such as invoking a function."""
        response = self._change("check", {"key": key, "action": action, "resource": resource})
        return bool(response["allowed"])

    def calls(self) -> list[dict[str, Any]]:
        """Return every call but the administrator's: principal, action, resource, context, allowed, sid, why."""
        log = self.folder / CALLS
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def _change(self, path: str, document: Any) -> Any:
        """Change the state of the cloud by its admin API (`admin_api.py`)."""
        return self._query(path, json.dumps(document).encode())

    def _query(self, path: str, body: bytes | None = None) -> Any:
        """Query the admin API (`admin_api.py`)."""
        with urllib.request.urlopen(f"{self.endpoint}/_local/{path}", data=body) as response:  # noqa: S310 - our own server
            return json.load(response)


@contextmanager
def serve_aws(
    folder: Path, *, dynamodb: bool = True, region: str = REGION, account: str = ACCOUNT
) -> Iterator[LocalAws]:
    """Start an empty local AWS in a process of its own, which ends with the caller even if that is killed.

    Args:
        folder: the folder for the log of calls and for the jobs.
        dynamodb: whether to start DynamoDB, which takes some seconds.
    """
    with ExitStack() as stack:
        table_server = stack.enter_context(serve_dynamodb()) if dynamodb else "-"
        folder.mkdir(parents=True, exist_ok=True)
        program = [
            sys.executable,
            "-m",
            "tests.local_cloud.aws.server",
            str(folder.resolve()),
            region,
            account,
            table_server,
        ]
        # A file, because nothing would drain a pipe. It stays empty unless the server fails.
        log = stack.enter_context((folder / "server.log").open("wb"))
        server = stack.enter_context(
            subprocess.Popen(program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        )
        assert server.stdout is not None, "stdout is a pipe"  # noqa: S101
        started = server.stdout.readline()
        if not started:
            raise RuntimeError(f"the local AWS did not start; see {folder / 'server.log'}")
        yield LocalAws(endpoint=json.loads(started)["endpoint"], folder=folder, region=region, account=account)


def _make_client(service: str, key: str, region: str, endpoint: str, **more: Any) -> Any:
    session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=SECRET, region_name=region)
    return session.client(service, endpoint_url=endpoint, **more)


# Clients are cached, because creating one takes a tenth of a second; they are thread-safe.
_get_cached_client = cache(_make_client)
