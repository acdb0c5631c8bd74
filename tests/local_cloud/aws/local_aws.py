"""Starts the local AWS, and speaks to it: as its administrator, or as any of its principals."""

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

import boto3  # type: ignore[import-untyped]  # it carries no types

from tests.local_cloud.aws.authorizer import ADMIN_KEY, SECRET
from tests.local_cloud.aws.dynamodb_local import serve_dynamodb
from tests.local_cloud.aws.emr.job_runs import Outcome
from tests.local_cloud.aws.server import CALLS
from tests.local_cloud.common.downloads import ROOT
from tests.local_cloud.common.faults import Fault

REGION, ACCOUNT = "ap-northeast-1", "123456789012"


@dataclass(frozen=True, kw_only=True)
class LocalAws:
    """The services at one address. `folder` has the log of calls, and a folder for each job."""

    endpoint: str
    folder: Path
    region: str = REGION
    account: str = ACCOUNT

    def environment(self, key: str = ADMIN_KEY) -> dict[str, str]:
        """What a process needs to find the services, as a principal."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def client(self, service: str, key: str = ADMIN_KEY, **more: Any) -> Any:
        """boto3's client of a service, as a principal."""
        if more:
            return _make_client(service, key, self.region, self.endpoint, **more)
        return _keep_client(service, key, self.region, self.endpoint)

    def admit(self, key: str, *, name: str, policies: Sequence[Any], arn: str = "", trust: Any = None) -> str:
        """Let an access key be a role's; the key."""
        role = {"name": name, "arn": arn, "policies": list(policies), "trust": trust}
        self.tell("principals", {key: role})
        return key

    def create_application(self, application: Mapping[str, Any]) -> None:
        """Have this application of EMR Serverless, as GetApplication would tell it, and no other."""
        self.tell("application", dict(application))

    def pretend(self, **outcomes: Outcome) -> None:
        """Only pretend to run the jobs of these tenants, or of all with `everyone`."""
        named = {"*" if tenant == "everyone" else tenant: asdict(each) for tenant, each in outcomes.items()}
        self.tell("outcomes", named)

    def age_jobs(self, hours: float) -> None:
        """As if all job runs had been in their states for so much longer."""
        self.tell("age", hours)

    def shorten_minutes(self, seconds: float) -> None:
        """How long a minute of a job's time limit is from now on."""
        self.tell("minute", seconds)

    def trouble(self, *faults: Fault) -> None:
        """Switch these faults on, and all others off."""
        self.tell("faults", [asdict(fault) for fault in faults])

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """EventBridge's events of job runs so far, but for the first ones."""
        told: list[dict[str, Any]] = self.ask(f"events?after={after}")
        return told

    def check(self, key: str, *, action: str, resource: str) -> bool:
        """Ask whether a principal may do what no API here does, such as to invoke a function; it is in the log too."""
        answer = self.tell("check", {"key": key, "action": action, "resource": resource})
        return bool(answer["allowed"])

    def calls(self) -> list[dict[str, Any]]:
        """Every call but the administrator's: principal, action, resource, context, allowed, sid, why."""
        log = self.folder / CALLS
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def tell(self, path: str, document: Any) -> Any:
        """Change something of the cloud itself; see `admin_api.py`."""
        return self.ask(path, json.dumps(document).encode())

    def ask(self, path: str, body: bytes | None = None) -> Any:
        """Ask the cloud itself; see `admin_api.py`."""
        with urllib.request.urlopen(f"{self.endpoint}/_local/{path}", data=body) as answer:  # noqa: S310 - our own server
            return json.load(answer)


@contextmanager
def serve_aws(
    folder: Path, *, dynamodb: bool = True, region: str = REGION, account: str = ACCOUNT
) -> Iterator[LocalAws]:
    """The local AWS in a process of its own, which ends with the caller however that ends; nothing is in it yet.

    Args:
        folder: for the log of calls and the jobs' folders.
        dynamodb: whether DynamoDB is needed, which takes some seconds more to start.
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
        # A file, for nobody reads a pipe of it; it is empty unless something broke.
        told = stack.enter_context((folder / "server.log").open("wb"))
        server = stack.enter_context(
            subprocess.Popen(program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told)
        )
        assert server.stdout is not None, "a pipe was asked for"  # noqa: S101
        started = server.stdout.readline()
        if not started:
            raise RuntimeError(f"the local AWS did not start; see {folder / 'server.log'}")
        yield LocalAws(endpoint=json.loads(started)["endpoint"], folder=folder, region=region, account=account)


def _make_client(service: str, key: str, region: str, endpoint: str, **more: Any) -> Any:
    session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=SECRET, region_name=region)
    return session.client(service, endpoint_url=endpoint, **more)


# To make one takes a tenth of a second, and threads may share it.
_keep_client = cache(_make_client)
