"""Read receipts from the output, where each run writes its receipt beside the tables."""

from contextlib import suppress
from datetime import date, datetime
from typing import TYPE_CHECKING

import msgspec
from obstore.store import ObjectStore

from daily_batch.domain.receipt import Receipt, receipt_key
from daily_batch.errors import TerminalError
from daily_batch.storage.failures import explained_failures

if TYPE_CHECKING:  # obstore has this name for type checkers only
    from obstore import ObjectMeta

# What decoding raises for a receipt of another version, or for something else.
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError)


def read_receipt(output: ObjectStore, key: str) -> Receipt | None:
    """Return a run's receipt, or None if the run has written none.

    Raises:
        BatchError: The store failed or denied access, or the receipt is of another version.
    """
    with explained_failures():
        try:
            content = bytes(output.get(key).bytes())
        except FileNotFoundError:
            return None
    try:
        return _decode(content)
    except DECODE_ERRORS as error:
        step = "deploy the same version for the job and its submitter, then run the day again"
        raise TerminalError(f"the receipt {key} is not understood", next_step=step) from error


def find_latest_receipt(output: ObjectStore, *, tenant: str, day: date) -> Receipt | None:
    """Return the receipt of the run that published the day last, by the times in the run ids; None if there is none.

    A receipt that cannot be decoded is skipped: it must not prevent the day from being run.
    """
    folder = receipt_key(tenant, day, "").rpartition("/")[0]
    items = (item for batch in output.list(f"{folder}/") for item in batch if item["path"].endswith(".json"))
    for item in sorted(items, key=_time_key, reverse=True):
        with suppress(*DECODE_ERRORS):
            return _decode(bytes(output.get(item["path"]).bytes()))
    return None


def _time_key(item: "ObjectMeta") -> tuple[str, datetime, str]:
    """Return a sort key: the second in the run id, which survives a copy of the output, then the last-modified time."""
    return item["path"].rpartition("/")[2].partition("-")[0], item["last_modified"], item["path"]


def _decode(content: bytes) -> Receipt:
    return msgspec.json.decode(content, type=Receipt)
