"""Translate a store's errors while listing into errors that say whether a retry can help."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from obstore.exceptions import BaseError, InvalidPathError
from obstore.store import LocalStore

from daily_batch.errors import BatchError, RetryableError, TerminalError
from daily_batch.storage.failures import explain_access, is_denied

MAX_NAME_LENGTH = 300

Item = TypeVar("Item")


def explain_failures(listing: Iterable[Item], *, tenant: str, day: str) -> Iterator[Item]:
    """Yield from a listing, and translate the store's errors into errors with a next step.

    The store's own text becomes the error's cause and stays out of its message, because it holds request URLs. Only a
    name that no store client can read is quoted: nothing else would identify the object.

    Raises:
        TerminalError: Access is denied, the root does not exist, or no store client can read an object's name.
        BatchError: An error of the listing itself, with tenant and day added.
        RetryableError: Any other error, after the store client's own retries.
    """
    try:
        yield from listing
    except BatchError as error:
        error.add_context(tenant, day)
        raise
    except (BaseError, OSError) as error:
        raise _explain(error, tenant, day) from error


def check_root(store: object, *, tenant: str, day: str) -> None:
    """Raise if a local root does not exist: unlike a missing bucket, it would list as empty.

    Raises:
        TerminalError: The folder does not exist, or the tenant's folder is a link to another folder of the input.
    """
    if not isinstance(store, LocalStore):
        return
    root = Path(str(store.prefix))
    if not root.is_dir():
        raise missing_root(tenant, day)
    # A link to elsewhere on the machine is the operator's choice; in the input root all other folders are other
    # tenants'.
    home, real = (root / tenant).resolve(), root.resolve()
    if home != real / tenant and (home.is_relative_to(real) or real.is_relative_to(home)):
        raise TerminalError(
            "the tenant's folder is a link to another place in the input",
            tenant=tenant,
            day=day,
            next_step="replace the link by the tenant's own folder, or remove it",
        )


def missing_root(tenant: str, day: str) -> TerminalError:
    """Return the error for an input root that does not exist."""
    what = "the input's bucket, container or folder does not exist"
    return TerminalError(what, tenant=tenant, day=day, next_step="check the input URL")


def _explain(error: BaseError | OSError, tenant: str, day: str) -> BatchError:
    text = str(error)
    if isinstance(error, InvalidPathError):
        match = re.search(r'parsing Path "([^"]*)"', text)
        name = (match[1] if match else text)[:MAX_NAME_LENGTH]
        return TerminalError(
            f"the object name {name!a} has an empty part, a part . or .., a control character, or is not UTF-8",
            tenant=tenant,
            day=day,
            next_step="rename that object (in S3, with boto3 installed, it would be a reject)",
        )
    if access_error := explain_access(error, tenant=tenant, day=day):
        return access_error
    # obstore has no exception of its own for listing a bucket that does not exist.
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
