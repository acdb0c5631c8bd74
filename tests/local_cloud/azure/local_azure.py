"""Start and access the local Azure: a storage account, a Cosmos DB and a Databricks workspace."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.local_cloud.azure.cosmos import CosmosAccount, serve_cosmos
from tests.local_cloud.azure.databricks.job_runs import JobRun, RunOutcome
from tests.local_cloud.azure.databricks.jobs_api import JobsApi
from tests.local_cloud.azure.databricks.spark_submit import SparkSubmitProgram
from tests.local_cloud.azure.databricks.workspace import Workspace, serve_workspace
from tests.local_cloud.azure.identity.managed_identity import IDENTITY, JOBS_IDENTITY, IdentityEndpoint, serve_identity
from tests.local_cloud.azure.storage.azurite import Azurite, serve_azurite
from tests.local_cloud.azure.storage.blob_gateway import serve_blob_gateway
from tests.local_cloud.common.faults import Fault

# The account's name for programs: with Azurite's own name, delta-rs would use the emulator's public key.
LAKE = "makotolake"


@dataclass(frozen=True, kw_only=True)
class LocalAzure:
    """The services, each at its own address. `folder` has a folder for each run.

    `storage` is Azurite itself, accessed by its key; `gateway` is the address that programs access by their identity.
    """

    storage: Azurite
    gateway: str
    identity_environment: Mapping[str, str] = field(repr=False)
    cosmos: CosmosAccount | None
    host: str
    folder: Path
    workspace: Workspace = field(repr=False)

    @property
    def identity(self) -> IdentityEndpoint:
        """The endpoint that issues tokens for the storage and the workspace."""
        return self.workspace.identity

    def environment(self) -> dict[str, str]:
        """Return the environment variables of a Functions app with a managed identity."""
        return {
            **lake_environment(self.gateway),
            **self.identity_environment,
            "AZURE_CLIENT_ID": IDENTITY,
            **(self.cosmos.environment if self.cosmos else {}),
            "AzureWebJobsStorage": self.storage.connection_string,
            "DATABRICKS_HOST": self.host,
        }

    def url(self, container: str) -> str:
        """Return the URL of a container, as programs use it."""
        return lake_url(container)

    def create_job(self, settings: Mapping[str, Any]) -> int:
        """Create a job in jobs/create's format and return its id."""
        return int(self.workspace.api.handle("jobs/create", settings, caller="admin")["job_id"])

    def simulate(self, **outcomes: RunOutcome) -> None:
        """Simulate the runs of these tenants, or of all with `everyone`, instead of running them."""
        api = self.workspace.api
        api.outcomes = {"*" if tenant == "everyone" else tenant: each for tenant, each in outcomes.items()}

    def inject_faults(self, *faults: Fault) -> None:
        """Inject these faults and no others; a pattern is matched to caller and operation, such as `x jobs/run-now`."""
        self.workspace.faults.replace_all(list(faults))

    def expire_tokens(self) -> None:
        """Make the workspace refuse all tokens that were issued so far."""
        self.workspace.expire_tokens()

    def age_runs(self, hours: float) -> None:
        """Age all runs: move their start so many hours back."""
        for run in self.runs():
            run.started -= round(hours * 3_600_000)

    def runs(self) -> list[JobRun]:
        """Return all runs that were not deleted, in the order of submission."""
        return list(self.workspace.api.runs.values())

    def calls(self) -> list[dict[str, Any]]:
        """Return every call of the Jobs API: caller, operation, and the injected fault, if any."""
        return list(self.workspace.calls)


@contextmanager
def serve_azure(folder: Path, *, cosmos: bool = True) -> Iterator[LocalAzure]:
    """Start an empty local Azure, which ends with the caller even if that is killed.

    Args:
        folder: the folder for the runs.
        cosmos: whether to start a Cosmos DB.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        storage = stack.enter_context(serve_azurite())
        account = stack.enter_context(serve_cosmos()) if cosmos else None
        identity = IdentityEndpoint(clients=(IDENTITY, JOBS_IDENTITY))
        identity_environment = stack.enter_context(serve_identity(identity))
        gateway = stack.enter_context(serve_blob_gateway(storage, identity))
        environment = {**lake_environment(gateway), **identity_environment, "AZURE_CLIENT_ID": JOBS_IDENTITY}
        program = SparkSubmitProgram(folder=folder.resolve() / "runs", environment=environment)
        workspace = Workspace(api=JobsApi(program=program), identity=identity)
        host = stack.enter_context(serve_workspace(workspace))
        yield LocalAzure(
            storage=storage,
            gateway=gateway,
            identity_environment=identity_environment,
            cosmos=account,
            host=host,
            folder=folder,
            workspace=workspace,
        )


def lake_url(container: str) -> str:
    """Return the URL of a container of the account behind the gateway."""
    return f"abfss://{container}@{LAKE}.dfs.core.windows.net"


def lake_environment(gateway: str) -> dict[str, str]:
    """Return the variables by which a process finds the account: an endpoint but no key, so it needs its identity."""
    return {
        "AZURE_STORAGE_CONNECTION_STRING": f"AccountName={LAKE};BlobEndpoint={gateway}",
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
    }
