"""What a store's errors while listing mean: whether trying again can help."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from obstore.exceptions import BaseError, InvalidPathError
from obstore.store import LocalStore

from daily_batch.errors import BatchError, RetryableError, TerminalError
from daily_batch.storage.failures import explain_access, is_denied

LONGEST_NAME = 300

Item = TypeVar("Item")


def explain_failures(listing: Iterable[Item], *, tenant: str, day: str) -> Iterator[Item]:
    """Pass a listing on; turn a store's error into one that a person can act upon.

    The store's own words stay out of the message, for they hold request addresses; they are its cause. Only a name that
    no store client can read is quoted, for nobody would find it otherwise.

    Raises:
        Terminal: denied, no such root, or a name that no store client can read.
        BatchError: one that the listing itself raised, with tenant and day.
        Retryable: anything else, after the store client's own retries.
    """
    try:
        yield from listing
    except BatchError as error:
        error.add_context(tenant, day)
        raise
    except (BaseError, OSError) as error:
        raise _explain(error, tenant, day) from error


def check_root(store: object, *, tenant: str, day: str) -> None:
    """Refuse a local root that is not there: its listing is empty, where a missing bucket's is an error.

    Raises:
        Terminal: there is no such folder, or the tenant's is a link to another tenant's.
    """
    if not isinstance(store, LocalStore):
        return
    root = Path(str(store.prefix))
    if not root.is_dir():
        raise missing_root(tenant, day)
    # Elsewhere on the machine the operator has put it; in the input root all other folders are other tenants'.
    home, real = (root / tenant).resolve(), root.resolve()
    if home != real / tenant and (home.is_relative_to(real) or real.is_relative_to(home)):
        raise TerminalError(
            "the tenant's folder is a link to another place in the input",
            tenant=tenant,
            day=day,
            next_step="remove that link, or put the tenant's own folder there",
        )


def missing_root(tenant: str, day: str) -> TerminalError:
    """The error for an input root that is not there."""
    what = "the input's bucket, container or folder does not exist"
    return TerminalError(what, tenant=tenant, day=day, next_step="check the input URL")


def _explain(error: BaseError | OSError, tenant: str, day: str) -> BatchError:
    text = str(error)
    if isinstance(error, InvalidPathError):
        found = re.search(r'parsing Path "([^"]*)"', text)
        name = (found[1] if found else text)[:LONGEST_NAME]
        return TerminalError(
            f"the name of the object {name!a} holds an empty part, a part . or .., a control character, or no UTF-8",
            tenant=tenant,
            day=day,
            next_step="rename that object (in S3, with boto3 installed, it would be a reject)",
        )
    if known := explain_access(error, tenant=tenant, day=day):
        return known
    # obstore has no exception of its own for a listing in a missing bucket.
    if isinstance(error, FileNotFoundError) or "status code: 404" in text:
        return missing_root(tenant, day)
    if is_denied(error):
        return TerminalError(
            "listing the input was denied",
            tenant=tenant,
            day=day,
            next_step="allow this identity to list and read the tenant's prefixes",
        )
    return RetryableError(
        f"listing the input failed ({type(error).__name__}); nothing was published",
        tenant=tenant,
        day=day,
        next_step="run the day again",
    )
