"""Starts the local Azure, a storage account, a Cosmos DB and a Databricks workspace, and speaks to it."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_cloud.azurite import Azurite, serve_azurite
from local_cloud.cosmos import CosmosAccount, serve_cosmos
from local_cloud.databricks_jobs import JobsApi
from local_cloud.databricks_program import SparkSubmitProgram
from local_cloud.databricks_runs import Ending, JobRun
from local_cloud.faults import Fault
from local_cloud.workspace import IDENTITY, Workspace, serve_workspace


@dataclass(frozen=True, kw_only=True)
class LocalAzure:
    """The services, each at an address of its own. `folder` has a folder for each run."""

    storage: Azurite
    cosmos: CosmosAccount | None
    host: str
    folder: Path
    workspace: Workspace = field(repr=False)

    def environment(self) -> dict[str, str]:
        """What a process needs to find the services, as a Functions app with an identity."""
        return {
            **self.storage.environment,
            **(self.cosmos.environment if self.cosmos else {}),
            "AzureWebJobsStorage": self.storage.connection_string,
            "DATABRICKS_HOST": self.host,
            "IDENTITY_ENDPOINT": f"{self.host}{IDENTITY}",
            "IDENTITY_HEADER": self.workspace.identity_header,
        }

    def create_job(self, settings: Mapping[str, Any]) -> int:
        """Have one more job, as jobs/create takes it; its id."""
        return int(self.workspace.api.answer("jobs/create", settings, caller="admin")["job_id"])

    def pretend(self, **endings: Ending) -> None:
        """Only pretend to run the jobs of these tenants, or of all with `everyone`."""
        api = self.workspace.api
        api.endings = {"*" if tenant == "everyone" else tenant: each for tenant, each in endings.items()}

    def trouble(self, *faults: Fault) -> None:
        """Switch these faults on, and all others off; a call is its caller and operation, as `x jobs/run-now`."""
        self.workspace.faults.switch_on(list(faults))

    def expire_tokens(self) -> None:
        """Take no token any more that was given so far."""
        self.workspace.tokens.clear()

    def age_runs(self, hours: float) -> None:
        """As if all runs had begun so much earlier."""
        for run in self.runs():
            run.started -= round(hours * 3_600_000)

    def runs(self) -> list[JobRun]:
        """All runs so far that were not deleted, in the order in which they were asked for."""
        return list(self.workspace.api.runs.values())

    def calls(self) -> list[dict[str, Any]]:
        """Every call of the Jobs API: caller, operation, and trouble if there was any."""
        return list(self.workspace.calls)


@contextmanager
def serve_azure(folder: Path, *, cosmos: bool = True) -> Iterator[LocalAzure]:
    """The local Azure; nothing is in it yet, and all of it ends with the caller, however that ends.

    Args:
        folder: for the runs' folders.
        cosmos: whether a Cosmos DB is needed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        storage = stack.enter_context(serve_azurite())
        account = stack.enter_context(serve_cosmos()) if cosmos else None
        program = SparkSubmitProgram(folder=folder.resolve() / "runs", environment=storage.environment)
        workspace = Workspace(api=JobsApi(program=program))
        host = stack.enter_context(serve_workspace(workspace))
        yield LocalAzure(storage=storage, cosmos=account, host=host, folder=folder, workspace=workspace)


if __name__ == "__main__":
    from local_cloud.azure_face import app

    app()
