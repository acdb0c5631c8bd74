"""Says in one line what a cluster lacks before any day is run on it, and lays a day down for it to run.

The task of the bundle's smoke job: the driver is asked first, then every worker.
"""

import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from daily_batch.cli.options import Debug, Input, Output, as_flags
from daily_batch.cli.output import guarded
from daily_batch.domain.keys import analytics_folder, export_folder
from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.entrypoints.daily_messages import call_as_task
from daily_batch.errors import TerminalError, UsageError
from daily_batch.orchestration.preflight import EVERYWHERE, FOLDER, DayFolders, find_missing
from daily_batch.pipeline.discover.discover import open_storage
from daily_batch.settings import Settings, load_settings
from daily_batch.storage.scratch import temporary_folder
from daily_batch.storage.stores import Storage
from daily_batch.synthetic import generate

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
    from pyspark.sql import SparkSession

TENANT = "smoke"
MESSAGES = 2_000
TASKS = 8
_ABSENT = re.compile(r"No module named '([\w.]{1,80})'")

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help=__doc__)
def smoke(
    output: Output = None,
    input: Input = None,  # noqa: A002 - the flag's name
    tasks: Annotated[int, typer.Option(min=1, max=1000, help="So many look at once, on whatever worker.")] = TASKS,
    debug: Debug = False,
) -> None:
    """Look, then lay a day of the tenant smoke below {output}/_smoke/input."""
    from daily_batch.pipeline.runners.spark import current_session

    def look() -> int:
        storage = open_places(as_flags(input=input, output=output), os.environ)
        check_cluster(current_session().spark, storage, tasks=tasks)
        objects = lay_day(storage)
        told = f"the driver and {tasks} tasks reach {storage.input} and {storage.output}, and have their packages"
        print(f"nothing is lacking: {told}; {objects} objects of a day are in {storage.output}/{FOLDER}/input")
        return 0

    raise typer.Exit(guarded(look, debug=debug))


def open_places(flags: Mapping[str, object], environ: Mapping[str, str]) -> Storage:
    """The storage of the settings; the output stands for an input that nobody named.

    Raises:
        UsageError: there is no output.
    """
    settings = load_settings(flags=flags, environ=environ)
    if not settings.output:
        raise UsageError("no output is named", next_step="give --output")
    output = parse_url(settings.output)
    source = parse_url(settings.input) if settings.input else output
    return Storage(input=source, output=output, options=settings.storage_options)


def look_first(request: Request, settings: Settings) -> None:
    """What a job does before its day, if it was asked to look: as its tenant, where the tenant's job may.

    Raises:
        Terminal: something is lacking; the message says where and what.
    """
    from daily_batch.pipeline.runners.spark import current_session

    folders = DayFolders(
        read=export_folder(settings.export_template, request.tenant, request.day),
        write=f"{analytics_folder(request.tenant)}/{FOLDER}",
    )
    check_cluster(current_session().spark, open_storage(request, settings), tasks=TASKS, folders=folders)


def check_cluster(spark: "SparkSession", storage: Storage, *, tasks: int, folders: DayFolders = EVERYWHERE) -> None:
    """Look from the driver and from the workers.

    Raises:
        Terminal: something is lacking; the message says where and what.
    """
    page = "docs/deploy-aws.md" if storage.output.kind == "s3" else "docs/deploy-azure.md"
    step = f"see {page} on what a job needs"
    if lack := find_missing(storage, folders):
        raise TerminalError(f"the driver lacks: {lack}", next_step=step)
    numbers = spark.range(0, tasks, 1, tasks)
    try:
        rows = numbers.mapInArrow(partial(_look, storage=storage.anchored(), folders=folders), "lack string").collect()
    except Exception as error:
        absent = _ABSENT.search(str(error))
        lack = f"the package {absent[1]} cannot be imported" if absent else f"no task ran ({type(error).__name__})"
        raise TerminalError(f"the workers lack: {lack}", next_step=step) from error
    if lacks := sorted({row["lack"] for row in rows} - {""}):
        raise TerminalError(f"the workers lack: {lacks[0]}", next_step=step)


def lay_day(storage: Storage) -> int:
    """Write a generated day of the tenant `smoke` to the output; the same objects each time. Returns how many."""
    store = storage.open_output()
    with temporary_folder() as folder:
        generate(messages=MESSAGES, layout="export", seed=1, out=folder, tenant=TENANT)
        files = [path for path in sorted((folder / TENANT).rglob("*")) if path.is_file()]
        for path in files:
            store.put(f"{FOLDER}/input/{path.relative_to(folder).as_posix()}", path)
    return len(files)


def _look(batches: "Iterator[pa.RecordBatch]", *, storage: Storage, folders: DayFolders) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    for _ in batches:
        pass
    yield pa.RecordBatch.from_pydict({"lack": [find_missing(storage, folders)]})


def main() -> None:
    """Entry point of Databricks' wheel task."""
    call_as_task(app)
