"""Check a cluster before any day runs on it, report in one line what is missing, and write a day for it to run.

The task of the bundle's smoke job. The driver is checked first, then the workers.
"""

from collections.abc import Mapping
from typing import Annotated

import typer

from daily_batch.cli.group import SingleCommand
from daily_batch.cli.options import (
    HELP_SETTINGS,
    ConfOption,
    DebugOption,
    EnvOption,
    InputOption,
    OutputOption,
    as_flags,
    read_environment,
)
from daily_batch.cli.output import exit_on_error
from daily_batch.domain.url import parse_url
from daily_batch.entrypoints.wheel_task import call_as_task
from daily_batch.errors import UsageError
from daily_batch.orchestration.preflight import FOLDER, SMOKE_MESSAGES, SMOKE_TENANT, TASKS, check_cluster
from daily_batch.settings import load_settings
from daily_batch.storage.scratch import temporary_folder
from daily_batch.storage.stores import Storage
from daily_batch.synthetic import generate

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(cls=SingleCommand, context_settings=HELP_SETTINGS, help=__doc__)
def smoke(
    output: OutputOption = None,
    input: InputOption = None,  # noqa: A002 - the flag's name
    tasks: Annotated[int, typer.Option(min=1, max=1000, help="How many Spark tasks check the workers.")] = TASKS,
    conf: ConfOption = None,
    env: EnvOption = None,
    debug: DebugOption = False,
) -> None:
    """Check the cluster, then write a day of the tenant smoke below {output}/_smoke/input."""
    from daily_batch.pipeline.runners.spark import current_session

    with exit_on_error(debug=debug):
        storage = load_storage(as_flags(input=input, output=output), read_environment(conf, env))
        check_cluster(current_session().spark, storage, tasks=tasks)
        objects = write_input(storage)
        reached = f"the driver and {tasks} tasks reach {storage.input} and {storage.output}, and have their packages"
        print(f"cluster check passed: {reached}; {objects} objects of a day are in {storage.output}/{FOLDER}/input")


def load_storage(flags: Mapping[str, object], environ: Mapping[str, str]) -> Storage:
    """Return the storage of the settings; without an input, the output is also the input.

    Raises:
        UsageError: there is no output.
    """
    settings = load_settings(flags=flags, environ=environ)
    if not settings.output:
        raise UsageError("no output is named", next_step="give --output")
    output = parse_url(settings.output)
    source = parse_url(settings.input) if settings.input else output
    return Storage(input=source, output=output, options=settings.storage_options)


def write_input(storage: Storage) -> int:
    """Write a generated day, the same each time, below the output; return the number of objects."""
    store = storage.open_output()
    with temporary_folder() as folder:
        generate(messages=SMOKE_MESSAGES, layout="export", seed=1, out=folder, tenant=SMOKE_TENANT)
        files = [path for path in sorted((folder / SMOKE_TENANT).rglob("*")) if path.is_file()]
        for path in files:
            store.put(f"{FOLDER}/input/{path.relative_to(folder).as_posix()}", path)
    return len(files)


def main() -> None:
    """Entry point of the Databricks wheel task."""
    call_as_task(app)
