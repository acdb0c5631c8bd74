"""An emulator of EMR Serverless: it validates requests, honours client tokens and runs the jobs.

Features that it does not know are refused. docs/project/emulators.md lists what it does not prove.
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

from tests.local_cloud.aws.emr.job_runs import ENDED, JobRun, Outcome, Program, describe
from tests.local_cloud.aws.emr.lifecycle import Lifecycle
from tests.local_cloud.aws.emr.rate_limits import RATES, TokenBucket
from tests.local_cloud.aws.emr.validation import InvalidRequestError, read_conf, read_request
from tests.local_cloud.aws.iam.authorizer import Authorizer, Principal
from tests.local_cloud.aws.iam.policies import trusts
from tests.local_cloud.aws.protocol.error_responses import ServiceError, error_response
from tests.local_cloud.aws.protocol.request import AwsRequest

SERVICE = "emr-serverless"
_PATH = re.compile(r"/applications/(?P<application>[^/]+)(?P<runs>/jobruns(?:/(?P<run>[^/]+))?)?/?")
_OPERATIONS = {
    ("GET", False, False): "GetApplication",
    ("GET", True, False): "ListJobRuns",
    ("POST", True, False): "StartJobRun",
    ("GET", True, True): "GetJobRun",
    ("DELETE", True, True): "CancelJobRun",
}


class ApiError(Exception):
    """An error response to the caller."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.error = ServiceError(status, code, message)


@dataclass
class EmrServerless:
    """One application and its job runs. `outcomes`, by tenant or `*` for all, simulates jobs."""

    authorizer: Authorizer
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
    _rates: dict[str, TokenBucket] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _lifecycle: Lifecycle | None = None

    def create(self, application: Mapping[str, Any]) -> None:
        """Replace the application by one in GetApplication's format, and reset its quotas."""
        self.application = application
        self._rates.clear()
        max_runs = application.get("schedulerConfiguration", {}).get("maxConcurrentRuns", 1000)
        self._lifecycle = Lifecycle(
            program=self.program,
            region=self.region,
            account=self.account,
            slots=threading.Semaphore(max_runs),
            simulated=lambda run: self.outcomes.get(run.tenant) or self.outcomes.get("*"),
            minute=lambda: self.minute,
            events=self.events,
        )

    def handle(self, request: AwsRequest) -> Response:
        """Handle a request."""
        try:
            return _json(self._handle(request))
        except InvalidRequestError as error:
            return error_response(SERVICE, ServiceError(400, "ValidationException", str(error)))
        except ApiError as error:
            return error_response(SERVICE, error.error)

    def stop(self) -> None:
        """Kill all jobs."""
        for run in self.runs.values():
            run.cancelled.set()
            self.program.kill(run)

    def _handle(self, request: AwsRequest) -> dict[str, Any]:
        path = _PATH.fullmatch(request.path)
        operation = path and _OPERATIONS.get((request.method, bool(path["runs"]), bool(path["run"])))
        if path is None or operation is None:
            raise ApiError(404, "UnknownOperationException", f"{request.method} {request.path} is not supported")
        with self._lock:
            if not self._rates.setdefault(operation, TokenBucket(*RATES[operation])).take(self.clock()):
                raise ApiError(429, "ThrottlingException", "Rate exceeded")
            path_members = {"applicationId": path["application"]} | ({"jobRunId": path["run"]} if path["run"] else {})
            params = read_request(operation, request, **path_members)
            if params["applicationId"] != self.application.get("applicationId"):
                raise ApiError(
                    404, "ResourceNotFoundException", f"Application {params['applicationId']} does not exist"
                )
            handler = {
                "GetApplication": self._get_application,
                "ListJobRuns": self._list,
                "StartJobRun": self._start,
                "GetJobRun": self._get,
                "CancelJobRun": self._cancel,
            }[operation]
            return handler(params, request)

    def _get_application(self, params: Mapping[str, Any], request: AwsRequest) -> dict[str, Any]:
        return {"application": dict(self.application)}

    def _list(self, params: Mapping[str, Any], request: AwsRequest) -> dict[str, Any]:
        states = params.get("states")
        described = [describe(run) for run in self.runs.values() if not states or run.state in states]
        return {"jobRuns": [{**each, "id": each["jobRunId"], "type": "SPARK"} for each in reversed(described)]}

    def _start(self, params: Mapping[str, Any], request: AwsRequest) -> dict[str, Any]:
        run = self.runs.get(self._tokens.get(params["clientToken"], ""))
        if run is None:
            run = self._create_run(params, request)
        return {"applicationId": params["applicationId"], "jobRunId": run.id, "arn": run.arn}

    def _create_run(self, params: Mapping[str, Any], request: AwsRequest) -> JobRun:
        conf = read_conf(params)
        run_id = f"00{uuid.uuid4().hex[:14]}"
        arn = f"{self.application['arn']}/jobruns/{run_id}"
        principal = self._assume_role(params)
        run = JobRun(
            id=run_id,
            arn=arn,
            release=str(self.application["releaseLabel"]),
            created_by=self.authorizer.name(request.key) or "admin",
            request=params,
            conf=conf,
        )
        self.authorizer.register(run.session_key, principal)
        self._tokens[params["clientToken"]] = run_id
        self.runs[run_id] = run
        assert self._lifecycle is not None, "create() makes the application"  # noqa: S101
        self._lifecycle.start(run)
        return run

    def _assume_role(self, params: Mapping[str, Any]) -> Principal:
        """Return the job's session of its role, with the session policy of the request."""
        role = self.authorizer.find_role(params["executionRoleArn"])
        context = {"aws:SourceAccount": self.account, "aws:SourceArn": str(self.application["arn"])}
        if role is None or (role.trust and not trusts(role.trust, service=f"{SERVICE}.amazonaws.com", context=context)):
            raise InvalidRequestError(f"executionRoleArn: {params['executionRoleArn']} cannot be assumed")
        inline = params.get("executionIamPolicy", {}).get("policy")
        try:
            session = (json.loads(inline),) if inline else None
        except ValueError as error:
            raise InvalidRequestError("executionIamPolicy.policy is not JSON") from error
        name = f"{role.name}/{params.get('name', 'job')}"
        return Principal(name=name, arn=f"{role.arn}/session", policies=role.policies, session=session)

    def _get(self, params: Mapping[str, Any], request: AwsRequest) -> dict[str, Any]:
        return {"jobRun": describe(self._find(params))}

    def _cancel(self, params: Mapping[str, Any], request: AwsRequest) -> dict[str, Any]:
        run = self._find(params)
        if run.state in ENDED:
            raise ApiError(400, "ValidationException", f"Job run {run.id} is in the terminal state {run.state}")
        if not run.cancelled.is_set() and self._lifecycle is not None:
            self._lifecycle.cancel(run)
        return {"applicationId": params["applicationId"], "jobRunId": run.id}

    def _find(self, params: Mapping[str, Any]) -> JobRun:
        run = self.runs.get(params["jobRunId"])
        if run is None:
            raise ApiError(404, "ResourceNotFoundException", f"Job run {params['jobRunId']} does not exist")
        return run


def _json(document: Mapping[str, Any]) -> Response:
    return Response(json.dumps(document), 200, content_type="application/json")
