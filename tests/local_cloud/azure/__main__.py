"""Run a night on the local Azure, from the timer to finished tables, with Functions, a queue and a Databricks job.

python -m tests.local_cloud.azure --keep
"""

import shutil
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from daily_batch.domain.calendar import business_day
from tests.local_cloud.azure.databricks.bundle import read_bundle_job
from tests.local_cloud.azure.functions.host import FunctionsHost
from tests.local_cloud.azure.local_azure import LocalAzure, serve_azure
from tests.local_cloud.azure.night import JOB_KEY, AzureNight, app_settings, upload_samples
from tests.local_cloud.common.cli import (
    LARGE_MESSAGES,
    ZONE,
    Folder,
    Keep,
    describe_volumes,
    exit_statuses,
    make_app,
    print_summary,
    serve_until_interrupted,
    timed_printer,
)
from tests.local_cloud.common.night import Night
from tests.local_cloud.common.sample_tenants import SAMPLES

app = make_app()


@app.command(help=__doc__)
def main(keep: Keep = False, folder: Folder = Path(".makoto/local-azure")) -> None:
    """Run one night."""
    say = timed_printer()
    shutil.rmtree(folder, ignore_errors=True)
    with exit_statuses(folder), ExitStack() as context:
        azure = context.enter_context(serve_azure(folder))
        say(f"blobs, queues, a Cosmos DB and a Databricks workspace are up; the workspace at {azure.host}")
        azure.create_job(read_bundle_job(JOB_KEY))
        settings = app_settings(azure, zone=ZONE, more={"MAKOTO_LARGE_MESSAGES": LARGE_MESSAGES})
        host = FunctionsHost(storage=azure.storage, settings=settings, folder=folder / "functions")
        say(f"the bundle's job is deployed, and the app's functions: {', '.join(sorted(host.functions))}")
        day = business_day(datetime.now(UTC), offset=-1, zone=ZONE)
        truths = upload_samples(azure, day=day, zone=ZONE, folder=folder / "input")
        say(f"{len(SAMPLES)} tenants have written on {day}: {describe_volumes(truths)}")
        report = Night(cloud=AzureNight(azure, host), day=day, tenants=list(SAMPLES), say=say).run()
        print_summary(report, root=settings["MAKOTO_OUTPUT"])
        print(f"\ncalls of the Jobs API: {_tell_calls(azure)}\nthe logs of functions and jobs: {azure.folder}")
        if keep:
            shown = ("AZURE_STORAGE_CONNECTION_STRING", *azure.identity_environment, "AZURE_CLIENT_ID")
            more = ("COSMOS_ENDPOINT", "COSMOS_KEY", "BATCH_TIMEZONE", "MAKOTO_INPUT", "MAKOTO_OUTPUT")
            serve_until_interrupted({name: settings[name] for name in (*shown, *more)}, day=day)


def _tell_calls(azure: LocalAzure) -> str:
    counts = Counter(call["operation"] for call in azure.calls())
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    app()
