"""The files of a day that readers see now, brought to this machine."""

from pathlib import Path

from obstore.store import ObjectStore

from daily_batch.domain.contract import Table
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.request import Request
from daily_batch.pipeline.publish import delta_log
from daily_batch.pipeline.publish.parquet import day_folder
from daily_batch.storage.stores import Storage, delta_location


def fetch_day(table: Table, *, request: Request, storage: Storage, folder: Path) -> list[Path]:
    """Copies of the table's files of the day, in `folder`; none when the day, or the table, is not there."""
    store = storage.open_output()
    root = f"{analytics_folder(request.tenant)}/{table.name}"
    if request.table_format == "delta":
        location, options = delta_location(request.output.child(root), storage.options)
        live = delta_log.snapshot_day(delta_log.open_table(location, options), request.day).files
        keys = ["/".join((root, *uri.rsplit("/", 2)[1:])) for uri in sorted(live)]
    else:
        keys = _list_files(store, f"{root}/{day_folder(request.day)}")
    return [_copy(store, key, folder / f"{number}.parquet") for number, key in enumerate(keys)]


def _list_files(store: ObjectStore, prefix: str) -> list[str]:
    return sorted(item["path"] for batch in store.list(f"{prefix}/") for item in batch)


def _copy(store: ObjectStore, key: str, path: Path) -> Path:
    with path.open("wb") as file:
        for block in store.get(key).stream():
            file.write(block)
    return path
