"""Check what a run needs before it starts: packages, identity, network, permissions, and atomic writes for Delta."""

import importlib
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from obstore.exceptions import AlreadyExistsError, UnauthenticatedError

from daily_batch.domain.keys import analytics_folder, export_folder
from daily_batch.domain.request import Request
from daily_batch.domain.url import StorageUrl
from daily_batch.errors import RetryableError, TerminalError
from daily_batch.pipeline.discover.discover import open_storage
from daily_batch.pipeline.runners.databricks_serverless import find_obstacle
from daily_batch.settings import Settings
from daily_batch.storage.failures import explain_failure, is_denied
from daily_batch.storage.stores import Storage

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

PACKAGES = (
    "arro3.core",
    "backports.zstd",
    "deltalake",
    "duckdb",
    "isal",
    "msgspec",
    "obstore",
    "pandas",
    "psutil",
    "pyarrow",
)
# A closed network does not answer, so a check must not wait as long as a run does.
FAST_FAILURE = {"timeout": "20s", "connect_timeout": "5s", "max_retries": "2", "retry_timeout": "20s"}
FOLDER = "_smoke"
# The generated day of a smoke test.
SMOKE_TENANT = "smoke"
SMOKE_MESSAGES = 2_000
# How many Spark tasks check the workers at once.
TASKS = 8
_MISSING_MODULE = re.compile(r"No module named '([\w.]{1,80})'")


@dataclass(frozen=True, kw_only=True)
class DayFolders:
    """Folders that a tenant's job may access: the day's export, and the tenant's tables."""

    read: str
    write: str


# What a deployment may access.
EVERYWHERE = DayFolders(read="", write=FOLDER)


def find_missing(storage: Storage, folders: DayFolders = EVERYWHERE) -> str:
    """Return the first thing that is missing, as a line without a full stop; empty if nothing is."""
    for place in ("input", "output"):
        if obstacle := find_obstacle(getattr(storage, place), os.environ):
            return f"{place} {getattr(storage, place)}: {obstacle}"
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            return f"the package {package} cannot be imported ({error.name or type(error).__name__})"
    quick = replace(storage, options={**storage.options, **FAST_FAILURE})
    for place, check in (("input", _read_input), ("output", _write_output)):
        where = f"{place} {getattr(storage, place)}"
        try:
            if missing := check(quick, folders):
                return f"{where}: {missing}"
        except Exception as error:
            return _describe_missing(error, place, getattr(storage, place))
    return ""


def _describe_missing(error: Exception, place: str, url: StorageUrl) -> str:
    """Return what is missing, by an error: an identity, a permission, or a connection."""
    where = f"{place} {url}"
    known = explain_failure(error)
    if known is None:
        return f"{where}: unexpected {type(error).__name__}"
    if isinstance(error, UnauthenticatedError):
        return f"missing identity: {where}: {known.what}"
    if is_denied(error):
        return f"missing permission: {'read from' if place == 'input' else 'write to'} {url}: {known.what}"
    if isinstance(known, RetryableError):
        return f"no connection: {where}: {known.what}"
    return f"{where}: {known.what}"


def _read_input(storage: Storage, folders: DayFolders) -> str:
    store = storage.open_input()
    found = next(iter(store.list(folders.read or None, chunk_size=1)), ())
    if folders.read and not found:
        return f"no object exists in {folders.read}"
    if folders.read:
        store.get_range(found[0]["path"], start=0, length=1)
    return ""


def _write_output(storage: Storage, folders: DayFolders) -> str:
    store, key = storage.open_output(), f"{folders.write}/probe-{uuid.uuid4().hex}"
    store.put(key, b"1", mode="create")
    try:
        if bytes(store.get(key).bytes()) != b"1":
            return "an object was read back with other content"
        store.put(key, b"2", mode="create")
    except AlreadyExistsError:
        return ""
    finally:
        store.delete(key)
    return "a create-only write replaced an existing object, so Delta's commits would not be safe there"


def check_job(request: Request, settings: Settings) -> None:
    """Check what a day's job needs before it runs, with the tenant's own permissions on the tenant's own folders.

    Raises:
        TerminalError: something is missing; the message says where and what.
    """
    from daily_batch.pipeline.runners.spark import current_session

    folders = DayFolders(
        read=export_folder(settings.export_template, request.tenant, request.day),
        write=f"{analytics_folder(request.tenant)}/{FOLDER}",
    )
    check_cluster(current_session().spark, open_storage(request, settings), folders=folders)


def check_cluster(
    spark: "SparkSession", storage: Storage, *, tasks: int = TASKS, folders: DayFolders = EVERYWHERE
) -> None:
    """Check from the driver, then from the workers, in `tasks` Spark tasks.

    Raises:
        TerminalError: something is missing; the message says where and what.
    """
    page = "docs/deploy-aws.md" if storage.output.kind == "s3" else "docs/deploy-azure.md"
    step = f"see {page} on what a job needs"
    if missing := find_missing(storage, folders):
        raise TerminalError(f"driver check failed: {missing}", next_step=step)
    numbers = spark.range(0, tasks, 1, tasks)
    check = partial(_check_worker, storage=storage.anchored(), folders=folders)
    try:
        rows = numbers.mapInArrow(check, "missing string").collect()
    except Exception as error:
        module = _MISSING_MODULE.search(str(error))
        cause = f"the package {module[1]} cannot be imported" if module else f"no task ran ({type(error).__name__})"
        raise TerminalError(f"worker check failed: {cause}", next_step=step) from error
    if found := sorted({row["missing"] for row in rows} - {""}):
        raise TerminalError(f"worker check failed: {found[0]}", next_step=step)


def _check_worker(
    batches: "Iterator[pa.RecordBatch]", *, storage: Storage, folders: DayFolders
) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    for _ in batches:
        pass
    yield pa.RecordBatch.from_pydict({"missing": [find_missing(storage, folders)]})
