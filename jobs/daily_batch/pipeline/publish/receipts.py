"""Receipts as they lie beside the tables."""

from contextlib import suppress
from datetime import date, datetime
from typing import TYPE_CHECKING

import msgspec
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from daily_batch.domain.receipt import Receipt, receipt_key
from daily_batch.errors import TerminalError
from daily_batch.storage.failures import explain_failure

if TYPE_CHECKING:  # obstore has this name for type checkers only
    from obstore import ObjectMeta

# What decoding raises where a receipt is of another version, or no receipt at all.
UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


def read_receipt(output: ObjectStore, key: str) -> Receipt | None:
    """The receipt of a run; None when the run has written none.

    Raises:
        BatchError: the store does not answer or refuses, or the receipt is one of another version.
    """
    try:
        stored = output.get(key).bytes()
    except FileNotFoundError:
        return None
    except (BaseError, OSError) as error:
        raise explain_failure(error, tenant="-", day="-") or error from error
    try:
        return _decode(bytes(stored))
    except UNREADABLE as error:
        step = "run the job's version and the submitter's alike, then run the day again"
        raise TerminalError(f"the receipt {key} is not understood", next_step=step) from error


def find_last(output: ObjectStore, *, tenant: str, day: date) -> Receipt | None:
    """The receipt of the run that published the day last, by the times in the runs' ids; None where there is none.

    One that is not understood is passed over: it must not keep its day from being run.
    """
    folder = receipt_key(tenant, day, "").rpartition("/")[0]
    found = (item for batch in output.list(f"{folder}/") for item in batch if item["path"].endswith(".json"))
    for item in sorted(found, key=_age, reverse=True):
        with suppress(*UNREADABLE):
            return _decode(bytes(output.get(item["path"]).bytes()))
    return None


def _age(item: "ObjectMeta") -> tuple[str, datetime, str]:
    """By the second in a run's id, which a copy of the output keeps; within it by when the receipt was written."""
    return item["path"].rpartition("/")[2].partition("-")[0], item["last_modified"], item["path"]


def _decode(stored: bytes) -> Receipt:
    return msgspec.json.decode(stored, type=Receipt)
