"""Runs over sources that still hold erased users, and where nothing of those may be found afterwards."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from daily_batch.domain.erased import digest_id
from daily_batch.domain.receipt import Receipt
from daily_batch.pipeline.erased_list import ListedErasure, add_to_list, make_key
from daily_batch.pipeline.runners.base import Runner
from daily_batch.storage.stores import Storage
from tests.oracle.compare import assert_agrees
from tests.oracle.day import Oracle, Stored
from tests.support.day_runs import DAY, read_tables, run_day_with
from tests.support.maintenance_days import files_containing


def list_as_erased(storage: Storage, *ids: str, kind: Any = "user", tenant: str = "acme", name: str = "e1") -> None:
    """Add ids to the list as an erasure does, without erasing anything."""
    store = storage.open_output()
    key = make_key(store, tenant)
    digests = tuple(digest_id(key, kind, each) for each in ids)
    add_to_list(store, tenant, ListedErasure(erasure=name, kind=kind, at="2025-08-12", digests=digests))


def check_by_oracle(runner: Runner, source: Path, output: Path, erased: Iterable[str], **settings: Any) -> Receipt:
    """Run the day, and compare rows, rejects and counts with the oracle's, which knows the erased ids in plain."""
    receipt = run_day_with(runner, input=source, output=output, **settings)
    files = (path for path in source.rglob("*") if path.is_file())
    objects = {str(path.relative_to(source)): Stored(path.read_bytes(), path.stat().st_mtime) for path in files}
    expected = Oracle(day=DAY, erased_users=frozenset(erased)).expect(objects)
    assert_agrees(expected, read_tables(output), receipt, day=DAY)
    return receipt


def places_naming(users: Iterable[str], *folders: Path) -> list[str]:
    """Return the files in the folders that name one of the users."""
    return [f"{folder}/{path}" for user in users for folder in folders for path in files_containing(folder, user)]
