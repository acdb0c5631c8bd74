"""`makoto-batch smoke`: a generated day through the service that runs large days, before the first night."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from daily_batch.cli.options import (
    ConfOption,
    DebugOption,
    EnvOption,
    InputOption,
    JsonOption,
    OutputOption,
    as_flags,
    examples,
    read_environment,
)
from daily_batch.cli.output import exit_on_error, print_json
from daily_batch.errors import UsageError, error_context

SECRET_REFERENCE = "@Microsoft.KeyVault("  # noqa: S105 - stands for a secret that only the function app can read

app = typer.Typer()


@app.command(
    rich_help_panel="Prepare",
    epilog=examples(
        "aws lambda get-function-configuration --function-name makoto-daily-batch-processor \\",
        "    --query Environment.Variables > worker.json",
        "makoto-batch smoke --variables worker.json",
    ),
)
def smoke(
    input: InputOption = None,  # noqa: A002 - the flag's name
    output: OutputOption = None,
    variables: Annotated[
        str | None,
        typer.Option(
            help="JSON file of the worker's environment variables, as AWS or Azure list them; - for standard input."
        ),
    ] = None,
    wait_minutes: Annotated[int, typer.Option(min=1, max=720, help="How long to wait for the job.")] = 30,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the generated day and its tables.")] = False,
    conf: ConfOption = None,
    env: EnvOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Run a generated day on EMR Serverless or Databricks as a worker would, say what is missing, then remove it."""
    from daily_batch.cli.progress import show_progress
    from daily_batch.orchestration.preflight import SMOKE_TENANT
    from daily_batch.orchestration.smoke import run_smoke_test
    from daily_batch.synthetic.write import SAMPLE_DAY

    with exit_on_error(debug=debug, json_output=json):
        with error_context(SMOKE_TENANT, SAMPLE_DAY.isoformat()), show_progress() as open_progress:
            result = run_smoke_test(
                as_flags(input=input, output=output),
                read_environment(conf, env) | _read_variables(variables),
                wait_minutes=wait_minutes,
                keep=keep,
                progress=open_progress(f"tenant={SMOKE_TENANT} day={SAMPLE_DAY}"),
                on_remaining=lambda line: print(f"left: {line}", file=sys.stderr),
            )
        if json:
            print_json(asdict(result))
        else:
            print(result)


def _read_variables(file: str | None) -> dict[str, str]:
    """Read the worker's variables, as AWS and Azure print them, without references to secrets.

    `aws lambda get-function-configuration` prints an object, `az functionapp config appsettings` a list of objects.

    Raises:
        UsageError: the file is neither.
    """
    import msgspec

    class AppSetting(msgspec.Struct):
        name: str
        value: str

    if file is None:
        return {}
    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        given = msgspec.json.decode(text, type=dict[str, str] | list[AppSetting])
    except (OSError, msgspec.MsgspecError) as error:
        what = f"the worker's variables cannot be read ({type(error).__name__})"
        step = 'give a file, or - for standard input, of {"NAME": "value"} or [{"name": …, "value": …}]'
        raise UsageError(what, next_step=step) from error
    pairs = given.items() if isinstance(given, dict) else ((each.name, each.value) for each in given)
    return {name: value for name, value in pairs if not value.startswith(SECRET_REFERENCE)}
