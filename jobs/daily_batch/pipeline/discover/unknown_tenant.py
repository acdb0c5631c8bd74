"""Distinguish a new tenant from a wrong input when the input holds no object of the tenant."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from obstore.exceptions import BaseError
from obstore.store import LocalStore

from daily_batch.domain.keys import TABLES_FOLDER
from daily_batch.errors import TerminalError
from daily_batch.pipeline.discover.object_tree import UNREADABLE, Store, list_root, open_tree
from daily_batch.storage.failures import is_denied

# The number of folders that are listed to explain what is wrong, and that the error message names.
_MAX_LISTED = 20
_MAX_NAMED = 10


def check_tenant_known(
    store: Store, *, tenant: str, export_root: str, list_known_tenants: Callable[[], Sequence[str]], day: str = "-"
) -> None:
    """Raise unless the input holds anything of a tenant, or the tenant is new to an input that looks right.

    Called when a day has no object: a wrong input must not pass for a day without messages.

    Args:
        store: The input root.
        tenant: A validated tenant id.
        export_root: The exports' folder, with `{tenant}` in place of the tenant.
        list_known_tenants: Returns the tenants that the metadata store names.
        day: The business day, for error messages.

    Raises:
        TerminalError: Neither the input nor the metadata store knows the tenant, or the input is not the tenants'.
    """
    if holds_tenant(store, tenant, export_root):
        return
    tenants = list(list_known_tenants())
    others = [each for each in tenants if each != tenant][:_MAX_LISTED]
    if tenant in tenants and any(holds_tenant(store, each, export_root) for each in others):
        return  # it is new
    # List folders that a deployment may not list only now, to explain what is wrong.
    if any(
        name != TABLES_FOLDER for name in _list_if_allowed(lambda: open_tree(store, tenant).list_folders(tenant).names)
    ):
        return
    reason = _find_misplaced(store, tenant)
    if reason is None:
        if tenants == [tenant]:
            return
        reason = _describe_root(store) if tenant not in tenants else "nor of any other tenant of the metadata store"
    raise TerminalError(
        f"the input holds no folder of the tenant; {reason}",
        tenant=tenant,
        day=day,
        next_step="correct --input or the tenant's id; nothing was published",
    )


def holds_tenant(store: Store, tenant: str, export_root: str) -> bool:
    """Return whether the input holds anything of a tenant besides its tables."""
    tree = open_tree(store, tenant)
    if isinstance(store, LocalStore):
        names = tree.list_folders(tenant).names
        return tenant in list_root(store) and list(names) != [TABLES_FOLDER]
    # The identity may be allowed to list only the folders of messages.
    folders = (f"{tenant}/chat", export_root.replace("{tenant}", tenant))
    return any(True for folder in folders if folder != tenant for _ in tree.list_objects(folder, nested=False))


def holds_tenant_folders(store: Store, folder: str, export_root: str) -> bool:
    """Return whether a folder of the root holds what a tenant's folder does: messages, exports or tables."""
    exports = export_root.replace("{tenant}", folder).removeprefix(f"{folder}/").partition("/")[0]
    return not {"chat", exports, TABLES_FOLDER}.isdisjoint(open_tree(store, folder).list_folders(folder).names)


def _find_misplaced(store: Store, tenant: str) -> str | None:
    """Return how the input differs from the right one, if it looks like another level of it."""
    root = list(_list_if_allowed(lambda: list_root(store)))
    if other := [name for name in root if name.lower() == tenant.lower() and name != tenant]:
        return f"there is {other[0][:80]!a}, in another case"
    if tenant not in root and {"chat", "exports"} & set(root):
        return "it holds chat or exports itself, so it is a tenant's own folder: use the folder above it"
    for name in islice(root, _MAX_LISTED):
        if tenant in _list_if_allowed(lambda name=name: _list_folders(store, name)):  # type: ignore[misc]
            return f"the tenant's folder is one level deeper: {name[:80]!a}/{tenant}"
    return None


def _describe_root(store: Store) -> str:
    root = sorted(_list_if_allowed(lambda: list_root(store)))
    if not root:
        return "the input is empty, or its root may not be listed"
    more = f" and {len(root) - _MAX_NAMED:,} more" if len(root) > _MAX_NAMED else ""
    return f"there are {', '.join(ascii(name[:80]) for name in root[:_MAX_NAMED])}{more}"


def _list_folders(store: Store, folder: str) -> Sequence[str]:
    return open_tree(store, folder).list_folders(folder).names


def _list_if_allowed(names: Callable[[], Iterable[str]]) -> Iterable[str]:
    """Return the names, or none if access is denied or a name cannot be read: they only help to explain."""
    try:
        return list(names())
    except UNREADABLE:
        return ()
    except (BaseError, OSError) as error:
        if is_denied(error):
            return ()
        raise
