"""What a process lacks for a day's work: packages, an identity, a way to the storage, or the write that Delta needs."""

import importlib
import os
import uuid
from dataclasses import replace

from obstore.exceptions import AlreadyExistsError

from daily_batch.failures import explain_failure
from daily_batch.runners.serverless import find_obstacle
from daily_batch.storage import Storage

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
# A closed network answers nothing: no day's patience for it.
IMPATIENT = {"timeout": "20s", "connect_timeout": "5s", "max_retries": "2", "retry_timeout": "20s"}
FOLDER = "_smoke"


def find_lack(storage: Storage) -> str:
    """The first thing that is missing here, in a line without an end; empty where nothing is."""
    for place in ("input", "output"):
        if obstacle := find_obstacle(getattr(storage, place), os.environ):
            return f"{place} {getattr(storage, place)}: {obstacle}"
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            return f"the package {package} cannot be imported ({error.name or type(error).__name__})"
    quick = replace(storage, options={**storage.options, **IMPATIENT})
    for place, look in (("input", _read_input), ("output", _write_output)):
        try:
            lack = look(quick)
        except Exception as error:
            known = explain_failure(error, tenant="-", day="-")
            lack = known.what if known else f"unexpected {type(error).__name__}"
        if lack:
            return f"{place} {getattr(storage, place)}: {lack}"
    return ""


def _read_input(storage: Storage) -> str:
    next(iter(storage.open_input().list(chunk_size=1)), None)
    return ""


def _write_output(storage: Storage) -> str:
    store, key = storage.open_output(), f"{FOLDER}/probe-{uuid.uuid4().hex}"
    store.put(key, b"1", mode="create")
    try:
        if bytes(store.get(key).bytes()) != b"1":
            return "an object is not read as it was written"
        store.put(key, b"2", mode="create")
    except AlreadyExistsError:
        return ""
    finally:
        store.delete(key)
    return "an object was written twice that may be written once: Delta's commits would not be safe there"
