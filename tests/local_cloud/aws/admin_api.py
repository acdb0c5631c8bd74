"""The admin API of the local AWS, by which tests set up principals, faults and simulated jobs."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from werkzeug.wrappers import Request, Response

from tests.local_cloud.aws.emr.job_runs import read_outcome
from tests.local_cloud.aws.emr.service import EmrServerless
from tests.local_cloud.aws.iam.actions import Action
from tests.local_cloud.aws.iam.authorizer import SECRET, Authorizer, Principal
from tests.local_cloud.common.clock import machine_now
from tests.local_cloud.common.faults import Fault, Faults

# No bucket can have this name, so the prefix hides none.
PREFIX = "/_local/"
CREDENTIALS_LAST = timedelta(hours=1)


@dataclass(frozen=True)
class Admin:
    """Serve the paths below `/_local/`."""

    authorizer: Authorizer
    faults: Faults
    emr: EmrServerless

    def handle(self, request: Request) -> Response:
        """Handle a request."""
        name, _, rest = request.path.removeprefix(PREFIX).partition("/")
        if name == "credentials":
            return _json(_credentials(rest) if rest in self.authorizer.principals else None)
        if name == "events":
            return _json(self.emr.events[int(request.args.get("after", 0)) :])
        document = json.loads(request.get_data())
        if name == "check":
            action = Action(name=document["action"], resource=document["resource"], context=document.get("context", {}))
            return _json({"allowed": self.authorizer.first_denied(document["key"], [action]) is None})
        self._change(name, document)
        return _json({})

    def _change(self, name: str, document: Any) -> None:
        if name == "principals":
            for key, each in document.items():
                self.authorizer.register(key, _read_principal(each))
        elif name == "faults":
            self.faults.replace_all([Fault(**each) for each in document])
        elif name == "application":
            self.emr.create(document)
        elif name == "outcomes":
            self.emr.outcomes = {tenant: read_outcome(each) for tenant, each in document.items()}
        elif name == "minute":
            self.emr.minute = float(document)
        elif name == "age":
            for run in self.emr.runs.values():
                run.updated -= timedelta(hours=float(document))
        else:
            raise ValueError(f"the admin API has no {name!a}")


def _read_principal(document: dict[str, Any]) -> Principal:
    session = document.get("session")
    return Principal(
        name=document["name"],
        arn=document.get("arn", ""),
        policies=tuple(document["policies"]),
        session=None if session is None else tuple(session),
        trust=document.get("trust"),
    )


def _credentials(key: str) -> dict[str, str]:
    """Return credentials in the form of the container credentials endpoint."""
    return {
        "AccessKeyId": key,
        "SecretAccessKey": SECRET,
        "Token": "local-token",
        "Expiration": f"{machine_now() + CREDENTIALS_LAST:%Y-%m-%dT%H:%M:%SZ}",
    }


def _json(document: Any) -> Response:
    return Response(json.dumps(document), 404 if document is None else 200, content_type="application/json")
