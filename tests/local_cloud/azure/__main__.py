"""Run a night on the local Azure, from the timer to finished tables, with Functions, a queue and a Databricks job.

python -m tests.local_cloud.azure --keep
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.local_cloud.azure.databricks.bundle import read_bundle_job
from tests.local_cloud.azure.functions.host import FunctionsHost
from tests.local_cloud.azure.local_azure import LocalAzure, serve_azure
from tests.local_cloud.azure.night import JOB_KEY, AzureNight, app_settings, upload_samples
from tests.local_cloud.common.cli import LARGE_MESSAGES, ZONE, NightDeployment, PrintLine, make_app


@contextmanager
def _deploy(folder: Path, print_line: PrintLine) -> Iterator[NightDeployment]:
    with serve_azure(folder) as azure:
        print_line(f"blobs, queues, a Cosmos DB and a Databricks workspace are up; the workspace at {azure.host}")
        azure.create_job(read_bundle_job(JOB_KEY))
        settings = app_settings(azure, zone=ZONE, more={"MAKOTO_LARGE_MESSAGES": LARGE_MESSAGES})
        host = FunctionsHost(storage=azure.storage, settings=settings, folder=folder / "functions")
        print_line(f"the bundle's job is deployed, and the app's functions: {', '.join(sorted(host.functions))}")
        names = (
            *("AZURE_STORAGE_CONNECTION_STRING", *azure.identity_environment, "AZURE_CLIENT_ID"),
            *("COSMOS_ENDPOINT", "COSMOS_KEY", "BATCH_TIMEZONE", "MAKOTO_INPUT", "MAKOTO_OUTPUT"),
        )
        yield NightDeployment(
            cloud=AzureNight(azure, host),
            upload_samples=lambda day, samples: upload_samples(azure, day=day, zone=ZONE, folder=samples),
            describe_calls=lambda: _describe_calls(azure),
            root=settings["MAKOTO_OUTPUT"],
            variables={name: settings[name] for name in names},
        )


def _describe_calls(azure: LocalAzure) -> str:
    counts = Counter(call["operation"] for call in azure.calls())
    operations = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return f"calls of the Jobs API: {operations}\nthe logs of functions and jobs: {azure.folder}"


if __name__ == "__main__":
    make_app(_deploy, description=__doc__, default_folder=Path(".makoto/local-azure"))()
