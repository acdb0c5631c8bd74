"""A stand-in for EMR Serverless: it judges requests as the service does, knows tokens, and really runs jobs.

What it does not know of the service it refuses. docs/standins.md says what it does not prove.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug.wrappers import Response

from tests.local_cloud.aws.authorizer import Gate, Principal
from tests.local_cloud.aws.emr.job_runs import ENDED, JobRun, Outcome, Program, describe
from tests.local_cloud.aws.emr.lifecycle import Walk
from tests.local_cloud.aws.emr.rate_limits import RATES, Rate
from tests.local_cloud.aws.emr.validation import InvalidRequest, read_conf, read_request
from tests.local_cloud.aws.error_responses import Trouble, answer_trouble
from tests.local_cloud.aws.iam import trusts
from tests.local_cloud.aws.request import AwsRequest

SERVICE = "emr-serverless"
_PATH = re.compile(r"/applications/(?P<application>[^/]+)(?P<runs>/jobruns(?:/(?P<run>[^/]+))?)?/?")
_OPERATIONS = {
    ("GET", False, False): "GetApplication",
    ("GET", True, False): "ListJobRuns",
    ("POST", True, False): "StartJobRun",
    ("GET", True, True): "GetJobRun",
    ("DELETE", True, True): "CancelJobRun",
}


class Refused(Exception):
    """An error that the caller is told."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.trouble = Trouble(status, code, message)


@dataclass
class EmrServerless:
    """One application and its job runs. `outcomes` by tenant, or for all by `*`: those jobs are only pretended."""

    gate: Gate
    program: Program
    account: str
    region: str
    clock: Callable[[], float] = time.monotonic
    application: Mapping[str, Any] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    minute: float = 60.0
    runs: dict[str, JobRun] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    _tokens: dict[str, str] = field(default_factory=dict)
    _rates: dict[str, Rate] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _walk: Walk | None = None

    def create(self, application: Mapping[str, Any]) -> None:
        """Have this application, as GetApplication would tell it, and no other; its quotas begin anew."""
        self.application = application
        self._rates.clear()
        most = application.get("schedulerConfiguration", {}).get("maxConcurrentRuns", 1000)
        self._walk = Walk(
            program=self.program,
            region=self.region,
            account=self.account,
            slots=threading.Semaphore(most),
            pretend=lambda run: self.outcomes.get(run.tenant) or self.outcomes.get("*"),
            minute=lambda: self.minute,
            events=self.events,
        )

    def answer(self, request: AwsRequest) -> Response:
        """Do what the request asks for."""
        try:
            return _json(self._answer(request))
        except InvalidRequest as error:
            return answer_trouble(SERVICE, Trouble(400, "ValidationException", str(error)))
        except Refused as error:
            return answer_trouble(SERVICE, error.trouble)

    def stop(self) -> None:
        """End all jobs."""
        for run in self.runs.values():
            run.cancelled.set()
            self.program.end(run)

    def _answer(self, request: AwsRequest) -> dict[str, Any]:
        path = _PATH.fullmatch(request.path)
        operation = path and _OPERATIONS.get((request.method, bool(path["runs"]), bool(path["run"])))
        if path is None or operation is None:
            raise Refused(404, "UnknownOperationException", f"{request.method} {request.path} is not known here")
        with self._lock:
            if not self._rates.setdefault(operation, Rate(*RATES[operation])).take(self.clock()):
                raise Refused(429, "ThrottlingException", "Rate exceeded")
            named = {"applicationId": path["application"]} | ({"jobRunId": path["run"]} if path["run"] else {})
            asked = read_request(operation, request, **named)
            if asked["applicationId"] != self.application.get("applicationId"):
                raise Refused(404, "ResourceNotFoundException", f"Application {asked['applicationId']} does not exist")
            do = {
                "GetApplication": self._get_application,
                "ListJobRuns": self._list,
                "StartJobRun": self._start,
                "GetJobRun": self._get,
                "CancelJobRun": self._cancel,
            }[operation]
            return do(asked, request)

    def _get_application(self, asked: Mapping[str, Any], request: AwsRequest) -> dict[str, Any]:
        return {"application": dict(self.application)}

    def _list(self, asked: Mapping[str, Any], request: AwsRequest) -> dict[str, Any]:
        states = asked.get("states")
        told = [describe(run) for run in self.runs.values() if not states or run.state in states]
        return {"jobRuns": [{**each, "id": each["jobRunId"], "type": "SPARK"} for each in reversed(told)]}

    def _start(self, asked: Mapping[str, Any], request: AwsRequest) -> dict[str, Any]:
        run = self.runs.get(self._tokens.get(asked["clientToken"], ""))
        if run is None:
            run = self._make(asked, request)
        return {"applicationId": asked["applicationId"], "jobRunId": run.id, "arn": run.arn}

    def _make(self, asked: Mapping[str, Any], request: AwsRequest) -> JobRun:
        conf = read_conf(asked)
        number = f"00{uuid.uuid4().hex[:14]}"
        arn = f"{self.application['arn']}/jobruns/{number}"
        principal = self._take_role(asked)
        run = JobRun(
            id=number,
            arn=arn,
            release=str(self.application["releaseLabel"]),
            created_by=self.gate.name(request.key) or "admin",
            request=asked,
            conf=conf,
        )
        self.gate.admit(run.session_key, principal)
        self._tokens[asked["clientToken"]] = number
        self.runs[number] = run
        assert self._walk is not None, "there is no application"  # noqa: S101
        self._walk.begin(run)
        return run

    def _take_role(self, asked: Mapping[str, Any]) -> Principal:
        """The job's session of its role, bound by the policy that came with the request."""
        role = self.gate.find_role(asked["executionRoleArn"])
        given = {"aws:SourceAccount": self.account, "aws:SourceArn": str(self.application["arn"])}
        if role is None or (role.trust and not trusts(role.trust, service=f"{SERVICE}.amazonaws.com", context=given)):
            raise InvalidRequest(f"executionRoleArn: {asked['executionRoleArn']} cannot be assumed")
        inline = asked.get("executionIamPolicy", {}).get("policy")
        try:
            session = (json.loads(inline),) if inline else None
        except ValueError as error:
            raise InvalidRequest("executionIamPolicy.policy is no JSON") from error
        name = f"{role.name}/{asked.get('name', 'job')}"
        return Principal(name=name, arn=f"{role.arn}/session", policies=role.policies, session=session)

    def _get(self, asked: Mapping[str, Any], request: AwsRequest) -> dict[str, Any]:
        return {"jobRun": describe(self._find(asked))}

    def _cancel(self, asked: Mapping[str, Any], request: AwsRequest) -> dict[str, Any]:
        run = self._find(asked)
        if run.state in ENDED:
            raise Refused(400, "ValidationException", f"Job run {run.id} is in the terminal state {run.state}")
        if not run.cancelled.is_set() and self._walk is not None:
            self._walk.cancel(run)
        return {"applicationId": asked["applicationId"], "jobRunId": run.id}

    def _find(self, asked: Mapping[str, Any]) -> JobRun:
        run = self.runs.get(asked["jobRunId"])
        if run is None:
            raise Refused(404, "ResourceNotFoundException", f"Job run {asked['jobRunId']} does not exist")
        return run


def _json(document: Mapping[str, Any]) -> Response:
    return Response(json.dumps(document), 200, content_type="application/json")
