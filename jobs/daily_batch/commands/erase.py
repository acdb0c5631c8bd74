"""`makoto-batch erase`: a user or a room out of every table of a tenant; looked for first, removed when confirmed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import msgspec

from daily_batch.cli.console import show_progress
from daily_batch.cli.maintenance import Place, explained, open_places
from daily_batch.cli.output import console, guarded, print_json, print_rows
from daily_batch.errors import UsageError
from daily_batch.ledger.factory import open_ledger
from daily_batch.ledger.process import current_process, current_user
from daily_batch.maintenance.erasure import Erasure
from daily_batch.maintenance.evidence import Evidence, evidence_key
from daily_batch.maintenance.subject import Person
from daily_batch.pipeline.runners.base import Progress
from daily_batch.storage.scratch import RetainedFolder, remove_abandoned
from daily_batch.storage.stores import open_store

if TYPE_CHECKING:
    from daily_batch.cli.maintenance import StartSpark

COLUMNS = {
    "date": "date",
    "format": "format",
    "state": "state",
    "messages": "messages",
    "rejects": "rejects",
    "doubtful": "of them doubtful",
    "old_files": "old files",
}


@dataclass(frozen=True, kw_only=True)
class EraseOptions:
    """Whom: a user or a room. Without `confirm` nothing is changed."""

    user: str | None = None
    room: str | None = None
    mentions: bool = False
    confirm: bool = False
    by: str | None = None
    as_json: bool = False
    debug: bool = False


def erase_command(flags: Mapping[str, object], options: EraseOptions, *, spark: "StartSpark | None" = None) -> int:
    """Look for a person's rows, remove them if that is confirmed, and return the exit status."""

    def erase() -> int:
        places = open_places(flags, spark=spark)
        if len(places) != 1:
            raise UsageError("an erasure is of one tenant", next_step="name one with --tenant")
        place, person = places[0], _person(places[0].request.tenant, options)
        with show_progress() as open_progress, explained(person.tenant):
            sources = _find_sources(place, person)
            evidence = _erase(place, person, options, open_progress(f"tenant={person.tenant}"))
        # The search has removed what dead runs left; what stays is for a person to judge.
        _tell(evidence, place, sources, remove_abandoned(), options)
        return 0

    return guarded(erase, debug=options.debug)


def _person(tenant: str, options: EraseOptions) -> Person:
    if (options.user is None) == (options.room is None):
        raise UsageError("whom to erase is not clear", next_step="give either --user or --room", tenant=tenant)
    if options.user is not None:
        return Person(tenant, "user", options.user, mentions=options.mentions)
    return Person(tenant, "room", str(options.room), mentions=options.mentions)


def _erase(place: Place, person: Person, options: EraseOptions, progress: Progress) -> Evidence:
    erasure = Erasure(
        person=person,
        request=place.request,
        settings=place.settings,
        tables=place.tables,
        ledger=open_ledger(place.settings, place.request.output),
        owner=current_process(),
        by=options.by or current_user(),
        progress=progress,
        find_deleter=place.delete_on_spark,
    )
    return erasure.run() if options.confirm else erasure.look()


def _find_sources(place: Place, person: Person) -> bool | None:
    """Whether objects of theirs are still in the input; None where no input is named, so nobody looked."""
    if not place.settings.input:
        return None
    if re.search(r"[/\x00-\x1f\x7f]", person.id) or person.id in (".", ".."):
        return False  # no folder can have that name
    chat, store = f"{person.tenant}/chat", open_store(place.request.input, place.settings.storage_options)
    if person.kind == "user":
        prefixes = [f"{chat}/{person.id}/"]
    else:
        users = store.list_with_delimiter(f"{chat}/")["common_prefixes"]
        prefixes = [f"{user.rstrip('/')}/{person.id}/" for user in users]
    return any(next(iter(store.list(prefix, chunk_size=1)), None) for prefix in prefixes)


def _tell(
    evidence: Evidence, place: Place, sources: bool | None, kept: Sequence[RetainedFolder], options: EraseOptions
) -> None:
    if options.as_json:
        value = msgspec.to_builtins(asdict(evidence))
        folders = [{"folder": str(each.folder), "why": each.why} for each in kept]
        told = {"evidence": value, "source_objects_remain": sources, "temporary_folders_remain": folders}
        print_json({"confirmed": options.confirm, **told})
        return
    print_rows(COLUMNS, [_as_row(evidence, number) for number in range(len(evidence.days))])
    say = console().print
    if options.confirm:
        say(f"erased; evidence: {place.request.output}/{evidence_key(evidence.tenant, evidence.erasure)}")
        say(f"nothing older than {evidence.ended} can be read of these tables")
    else:
        say("a dry run: nothing was changed. To erase, give --confirm as well.")
    if evidence.mentions and not options.mentions:
        say(f"{evidence.mentions:,} messages of others name the id; they stay (--mentions takes them, too)")
    if sources:
        say("warning: source objects are still in the input. Delete them: a run of their day brings the rows back.")
    elif sources is None or place.request.layout != "messages":
        say("exports are not looked into: delete the person there as well, or a run of the day brings the rows back")
    for each in kept:
        say(f"warning: the temporary folder {each.folder} may hold messages and stays: {each.why}", markup=False)


def _as_row(evidence: Evidence, number: int) -> dict[str, object]:
    day = evidence.days[number]
    return {
        "date": day.date.isoformat(),
        "format": day.format,
        "state": day.state,
        "messages": day.tables["messages"].removed if "messages" in day.tables else 0,
        "rejects": day.tables["rejects"].removed if "rejects" in day.tables else 0,
        "doubtful": sum(table.doubtful for table in day.tables.values()),
        "old_files": day.old_files,
    }
