"""What tests and the night tell the local cloud, and ask it, beside AWS' own APIs."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from werkzeug.wrappers import Request, Response

from tests.local_cloud.aws.authorizer import SECRET, Gate, Principal
from tests.local_cloud.aws.emr.job_runs import read_outcome
from tests.local_cloud.aws.emr.service import EmrServerless
from tests.local_cloud.aws.iam_actions import Action
from tests.local_cloud.common.clock import machine_now
from tests.local_cloud.common.faults import Fault, Faults

# No bucket can have this name.
PREFIX = "/_local/"
CREDENTIALS_LAST = timedelta(hours=1)


@dataclass(frozen=True)
class Admin:
    """Answers below `/_local/`."""

    gate: Gate
    faults: Faults
    emr: EmrServerless

    def answer(self, request: Request) -> Response:
        """Do what the request asks for."""
        name, _, rest = request.path.removeprefix(PREFIX).partition("/")
        if name == "credentials":
            return _json(_credentials(rest) if rest in self.gate.principals else None)
        if name == "events":
            return _json(self.emr.events[int(request.args.get("after", 0)) :])
        given = json.loads(request.get_data())
        if name == "check":
            action = Action(name=given["action"], resource=given["resource"], context=given.get("context", {}))
            return _json({"allowed": self.gate.first_refused(given["key"], [action]) is None})
        self._change(name, given)
        return _json({})

    def _change(self, name: str, given: Any) -> None:
        if name == "principals":
            for key, each in given.items():
                self.gate.admit(key, _read_principal(each))
        elif name == "faults":
            self.faults.switch_on([Fault(**each) for each in given])
        elif name == "application":
            self.emr.create(given)
        elif name == "outcomes":
            self.emr.outcomes = {tenant: read_outcome(each) for tenant, each in given.items()}
        elif name == "minute":
            self.emr.minute = float(given)
        elif name == "age":
            for run in self.emr.runs.values():
                run.updated -= timedelta(hours=float(given))
        else:
            raise ValueError(f"{name!a} is not known here")


def _read_principal(given: dict[str, Any]) -> Principal:
    session = given.get("session")
    return Principal(
        name=given["name"],
        arn=given.get("arn", ""),
        policies=tuple(given["policies"]),
        session=None if session is None else tuple(session),
        trust=given.get("trust"),
    )


def _credentials(key: str) -> dict[str, str]:
    """As a container's runtime gives them."""
    return {
        "AccessKeyId": key,
        "SecretAccessKey": SECRET,
        "Token": "local-token",
        "Expiration": f"{machine_now() + CREDENTIALS_LAST:%Y-%m-%dT%H:%M:%SZ}",
    }


def _json(document: Any) -> Response:
    return Response(json.dumps(document), 404 if document is None else 200, content_type="application/json")
