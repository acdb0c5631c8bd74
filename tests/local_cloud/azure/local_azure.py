"""Starts the local Azure, a storage account, a Cosmos DB and a Databricks workspace, and speaks to it."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.local_cloud.azure.azurite import Azurite, serve_azurite
from tests.local_cloud.azure.blob_gateway import serve_door
from tests.local_cloud.azure.cosmos import CosmosAccount, serve_cosmos
from tests.local_cloud.azure.databricks.job_runs import Ending, JobRun
from tests.local_cloud.azure.databricks.jobs_api import JobsApi
from tests.local_cloud.azure.databricks.spark_submit import SparkSubmitProgram
from tests.local_cloud.azure.databricks.workspace import Workspace, serve_workspace
from tests.local_cloud.azure.managed_identity import IDENTITY, JOBS_IDENTITY, IdentityEndpoint, serve_identity
from tests.local_cloud.common.faults import Fault

# As programs name the account; delta-rs takes Azurite's own name for the emulator, whose key everybody has.
LAKE = "makotolake"


@dataclass(frozen=True, kw_only=True)
class LocalAzure:
    """The services, each at an address of its own. `folder` has a folder for each run.

    `storage` is Azurite itself, which whoever knows its key may use; programs are let in by `door`, by their identity.
    """

    storage: Azurite
    door: str
    identity_environment: Mapping[str, str] = field(repr=False)
    cosmos: CosmosAccount | None
    host: str
    folder: Path
    workspace: Workspace = field(repr=False)

    @property
    def identity(self) -> IdentityEndpoint:
        """Where programs get their tokens, for the storage and the workspace."""
        return self.workspace.identity

    def environment(self) -> dict[str, str]:
        """What a process needs to find the services, as a Functions app with an identity."""
        return {
            **lake_environment(self.door),
            **self.identity_environment,
            "AZURE_CLIENT_ID": IDENTITY,
            **(self.cosmos.environment if self.cosmos else {}),
            "AzureWebJobsStorage": self.storage.connection_string,
            "DATABRICKS_HOST": self.host,
        }

    def url(self, container: str) -> str:
        """A container as programs name it."""
        return lake_url(container)

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
        """Let the workspace take no token any more that was given so far."""
        self.workspace.expire_tokens()

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
        identity = IdentityEndpoint(clients=(IDENTITY, JOBS_IDENTITY))
        known = stack.enter_context(serve_identity(identity))
        door = stack.enter_context(serve_door(storage, identity))
        environment = {**lake_environment(door), **known, "AZURE_CLIENT_ID": JOBS_IDENTITY}
        program = SparkSubmitProgram(folder=folder.resolve() / "runs", environment=environment)
        workspace = Workspace(api=JobsApi(program=program), identity=identity)
        host = stack.enter_context(serve_workspace(workspace))
        yield LocalAzure(
            storage=storage,
            door=door,
            identity_environment=known,
            cosmos=account,
            host=host,
            folder=folder,
            workspace=workspace,
        )


def lake_url(container: str) -> str:
    """A container of the account behind the door."""
    return f"abfss://{container}@{LAKE}.dfs.core.windows.net"


def lake_environment(door: str) -> dict[str, str]:
    """Where a process finds the account: the endpoint and no key, so that its identity must serve."""
    return {
        "AZURE_STORAGE_CONNECTION_STRING": f"AccountName={LAKE};BlobEndpoint={door}",
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
    }
