"""`makoto-batch erase`: search every table of a tenant for users or rooms, and remove them when confirmed."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from daily_batch.cli.options import (
    ConfirmOption,
    ConfOption,
    DebugOption,
    EnvOption,
    InputOption,
    JsonOption,
    LedgerOption,
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

if TYPE_CHECKING:
    from daily_batch.cli.maintenance import TenantTarget
    from daily_batch.maintenance.evidence import ErasedDay, Evidence
    from daily_batch.maintenance.subject import Subject
    from daily_batch.storage.scratch import RetainedFolder

COLUMNS = {
    "date": "date",
    "format": "format",
    "state": "state",
    "messages": "messages",
    "rejects": "rejects",
    "doubtful": "of them doubtful",
    "old_files": "old files",
}

app = typer.Typer()


@app.command(
    rich_help_panel="Maintain",
    epilog=examples(
        "makoto-batch erase --tenant acme --user user456 --output out",
        "makoto-batch erase --tenant acme --user user456 --user user789 --output out --confirm",
    ),
)
def erase(
    context: typer.Context,
    tenant: TenantOption = None,
    user: UserOption = None,
    users: UsersOption = None,
    room: Annotated[list[str] | None, typer.Option(help="ID of a room to erase; repeat it for more.")] = None,
    input: InputOption = None,  # noqa: A002 - the flag's name
    output: OutputOption = None,
    ledger: LedgerOption = None,
    mentions: Annotated[
        bool, typer.Option("--mentions", help="Also erase messages of others that contain the ID as a word.")
    ] = False,
    confirm: ConfirmOption = False,
    by: Annotated[
        str | None, typer.Option(help="Who asked for it, for the evidence. Default: this machine's user.")
    ] = None,
    conf: ConfOption = None,
    env: EnvOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Erase users or rooms from all tables of a tenant, their old versions and every later run; leave evidence."""
    from daily_batch.cli.maintenance import explained_errors, open_targets
    from daily_batch.cli.progress import show_progress
    from daily_batch.ledger.factory import open_ledger
    from daily_batch.ledger.process import current_process, current_user
    from daily_batch.maintenance.erasure import Erasure
    from daily_batch.storage.scratch import remove_abandoned

    flags = as_flags(tenant=tenant, input=input, output=output, ledger=ledger)
    with exit_on_error(debug=debug, json_output=json):
        targets = open_targets(flags, read_environment(conf, env), start_spark=context.obj)
        if len(targets) != 1:
            raise UsageError("an erasure is of one tenant", next_step="name one with --tenant")
        target = targets[0]
        subject = make_subject(target.request.tenant, read_ids(user, users), room or [], mentions=mentions)
        with show_progress() as open_progress, explained_errors(subject.tenant):
            sources = _has_sources(target, subject)
            erasure = Erasure(
                subject=subject,
                request=target.request,
                settings=target.settings,
                tables=target.tables,
                ledger=open_ledger(target.settings, target.request.output),
                owner=current_process(),
                by=by or current_user(),
                progress=open_progress(f"tenant={subject.tenant}"),
                choose_deleter=target.delete_on_spark,
            )
            evidence = erasure.run() if confirm else erasure.plan()
        # The search has removed the folders of dead runs; an operator must decide about those that remain.
        leftovers = remove_abandoned()
        if json:
            print_json(_as_value(evidence, leftovers, confirmed=confirm, sources=sources))
        else:
            _print_evidence(evidence, target, leftovers, confirmed=confirm, mentions=mentions, sources=sources)


def _has_sources(target: "TenantTarget", subject: "Subject") -> bool | None:
    """Return whether the input still holds objects of the subject; None without an input, so nothing was listed."""
    from daily_batch.maintenance.redact import list_source_folders
    from daily_batch.storage.stores import open_store

    if not target.settings.input:
        return None
    store = open_store(target.request.input, target.settings.storage_options)
    folders = list_source_folders(store, subject)
    return any(next(iter(store.list(folder, chunk_size=1)), None) for folder in folders)


def _as_value(
    evidence: "Evidence", leftovers: "Sequence[RetainedFolder]", *, confirmed: bool, sources: bool | None
) -> dict[str, object]:
    import msgspec

    return {
        "confirmed": confirmed,
        "evidence": msgspec.to_builtins(asdict(evidence)),
        "source_objects_remain": sources,
        "temporary_folders_remain": [{"folder": str(each.folder), "why": each.why} for each in leftovers],
    }


def _print_evidence(
    evidence: "Evidence",
    target: "TenantTarget",
    leftovers: "Sequence[RetainedFolder]",
    *,
    confirmed: bool,
    mentions: bool,
    sources: bool | None,
) -> None:
    from daily_batch.maintenance.evidence import evidence_key

    print_table(COLUMNS, [_as_row(day) for day in evidence.days])
    print_line = console().print
    if confirmed:
        print_line(f"erased; evidence: {target.request.output}/{evidence_key(evidence.tenant, evidence.erasure)}")
        print_line(f"no version of these tables from before {evidence.ended} can be read")
    else:
        print_line(DRY_RUN)
    if evidence.mentions is None:
        print_line("messages of others were not searched for so many IDs")
    elif evidence.mentions and not mentions:
        print_line(f"{evidence.mentions:,} messages of others contain the ID and stay (--mentions erases them too)")
    if sources:
        print_line(
            "source objects are still in the input; no run reads them. makoto-batch redact removes them there as well."
        )
    elif sources is None or target.request.layout != "messages":
        print_line(
            "exports were not searched; no run publishes the rows. makoto-batch redact removes them there as well."
        )
    for each in leftovers:
        line = f"warning: the temporary folder {each.folder} may hold messages and stays: {each.why}"
        print_line(line, markup=False)


def _as_row(day: "ErasedDay") -> dict[str, object]:
    return {
        "date": day.date.isoformat(),
        "format": day.format,
        "state": day.state,
        "messages": day.tables["messages"].removed if "messages" in day.tables else 0,
        "rejects": day.tables["rejects"].removed if "rejects" in day.tables else 0,
        "doubtful": sum(table.doubtful for table in day.tables.values()),
        "old_files": day.old_files,
    }
