"""`makoto-batch redact`: rewrite a tenant's source objects without the records of erased users or rooms."""

from dataclasses import asdict
from typing import Annotated

import typer

from daily_batch.cli.options import (
    ConfirmOption,
    ConfOption,
    DebugOption,
    EnvOption,
    InputOption,
    JsonOption,
    OutputOption,
    TenantOption,
    UserOption,
    UsersOption,
    as_flags,
    examples,
    make_subject,
    read_environment,
    read_ids,
)
from daily_batch.cli.output import DRY_RUN, console, exit_on_error, print_json, print_table
from daily_batch.errors import UsageError

COLUMNS = {
    "object": "object",
    "objects": "objects",
    "records": "records to remove",
    "remaining": "remaining",
    "action": "action",
    "why": "why",
}

app = typer.Typer()


@app.command(
    rich_help_panel="Maintain",
    epilog=examples(
        "makoto-batch redact --tenant acme --user user456 --input samples --output out",
    ),
)
def redact(
    tenant: TenantOption = None,
    user: UserOption = None,
    users: UsersOption = None,
    room: Annotated[list[str] | None, typer.Option(help="ID of an erased room; repeat it for more.")] = None,
    input: InputOption = None,  # noqa: A002 - the flag's name
    output: OutputOption = None,
    confirm: ConfirmOption = False,
    conf: ConfOption = None,
    env: EnvOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Rewrite source exports, and delete message objects, so that nothing of erased users or rooms is left in them."""
    from daily_batch.cli.maintenance import explained_errors, open_targets
    from daily_batch.cli.progress import show_progress
    from daily_batch.maintenance.redact import Redaction

    with exit_on_error(debug=debug, json_output=json):
        targets = open_targets(as_flags(tenant=tenant, input=input, output=output), read_environment(conf, env))
        if len(targets) != 1 or not targets[0].settings.input:
            raise UsageError("a redaction is of one tenant's input", next_step="give --tenant and --input")
        target = targets[0]
        subject = make_subject(target.request.tenant, read_ids(user, users), room or [])
        with show_progress() as open_progress, explained_errors(subject.tenant):
            redaction = Redaction(
                subject=subject,
                tables=target.tables,
                settings=target.settings,
                progress=open_progress(f"tenant={subject.tenant}"),
            )
            rows = [asdict(each) for each in redaction.run(confirm=confirm)]
        if json:
            print_json({"confirmed": confirm, "objects": rows})
        else:
            print_table(COLUMNS, rows)
            if not confirm:
                console().print(DRY_RUN)
        # Something of the subject may be left, and a script must notice.
        raise typer.Exit(1 if confirm and any(row["action"] == "left" for row in rows) else 0)
