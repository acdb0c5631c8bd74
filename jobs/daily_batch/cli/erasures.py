"""`makoto-batch erasures`: list a tenant's erasures, or lift them, so that later runs publish the ids again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from daily_batch.cli.options import (
    ConfirmOption,
    ConfOption,
    DebugOption,
    EnvOption,
    JsonOption,
    OutputOption,
    TenantOption,
    UserOption,
    UsersOption,
    as_flags,
    examples,
    read_environment,
    read_ids,
)
from daily_batch.cli.output import DRY_RUN, console, exit_on_error, print_json, print_table
from daily_batch.errors import UsageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from daily_batch.domain.erased import Kind
    from daily_batch.pipeline.erased_list import ListedErasure

COLUMNS = {"erasure": "erasure", "at": "time", "kind": "kind", "ids": "ids"}
LIFTED = "runs publish the ids from now on. Next step: run their days again, as with backfill."

app = typer.Typer()


@app.command(
    rich_help_panel="Maintain",
    epilog=examples(
        "makoto-batch erasures --tenant acme --output out",
        "makoto-batch erasures --tenant acme --output out --user user456",
    ),
)
def erasures(
    tenant: TenantOption = None,
    output: OutputOption = None,
    user: UserOption = None,
    users: UsersOption = None,
    room: Annotated[list[str] | None, typer.Option(help="ID of a room; repeat it for more.")] = None,
    lift: Annotated[str | None, typer.Option(help="Lift this erasure, of the given IDs or of all of its IDs.")] = None,
    confirm: ConfirmOption = False,
    conf: ConfOption = None,
    env: EnvOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the erasures that every run honours, of all IDs or of the given ones; lift one when confirmed."""
    from daily_batch.cli.maintenance import explained_errors, open_targets
    from daily_batch.pipeline.erased_list import add_to_list, read_list

    with exit_on_error(debug=debug, json_output=json):
        targets = open_targets(as_flags(tenant=tenant, output=output), read_environment(conf, env))
        if len(targets) != 1:
            raise UsageError("erasures are of one tenant", next_step="name one with --tenant")
        name, store = targets[0].request.tenant, targets[0].tables.open()
        with explained_errors(name):
            wanted = _digests(store, name, users=read_ids(user, users), rooms=room or [])
            every = read_list(store, name)
            chosen = [each for each in every if wanted is None or not wanted.isdisjoint(each.digests)]
            if lift is not None:
                chosen = [_choose(chosen, lift, wanted, tenant=name)]
            lifts = [
                replace(each, at=datetime.now(UTC).isoformat(timespec="seconds"), lifts=True) for each in chosen if lift
            ]
            for each in lifts if confirm else ():
                add_to_list(store, name, each)
        rows = [_as_row(each) for each in chosen]
        if json:
            print_json({"erasures": rows, "lifted": bool(lifts and confirm)})
            return
        print_table(COLUMNS, rows)
        if lift:
            console().print(LIFTED if confirm else DRY_RUN)


def _digests(store: "ObjectStore", tenant: str, *, users: Sequence[str], rooms: Sequence[str]) -> frozenset[str] | None:
    """Return the digests of the given ids; None without any."""
    from daily_batch.domain.erased import digest_id
    from daily_batch.pipeline.erased_list import find_key

    if not (users or rooms):
        return None
    key = find_key(store, tenant)
    kinds: dict[Kind, Sequence[str]] = {"user": users, "room": rooms}
    return frozenset(digest_id(key, kind, each) for kind, ids in kinds.items() for each in ids if key)


def _choose(
    listed: "Sequence[ListedErasure]", erasure: str, wanted: frozenset[str] | None, *, tenant: str
) -> "ListedErasure":
    """Return the erasure to lift, with the digests to take away.

    Raises:
        UsageError: there is none, or nothing of it is left to lift.
    """
    found = next((each for each in listed if each.erasure == erasure and each.digests), None)
    if found is None:
        what = "there is no such erasure of these ids" if wanted is not None else "there is no such erasure"
        raise UsageError(what, next_step="list them without --lift", tenant=tenant)
    return replace(found, digests=tuple(each for each in found.digests if wanted is None or each in wanted))


def _as_row(entry: "ListedErasure") -> dict[str, object]:
    return {"erasure": entry.erasure, "at": entry.at, "kind": entry.kind, "ids": len(entry.digests)}
