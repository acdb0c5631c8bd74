"""A tenant of which the input holds nothing: is it new, or is the input the wrong one?"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from obstore.exceptions import BaseError
from obstore.store import LocalStore

from daily_batch.domain.keys import TABLES_FOLDER
from daily_batch.errors import TerminalError
from daily_batch.pipeline.discover.object_tree import UNREADABLE, Store, list_root, open_tree
from daily_batch.storage.failures import is_denied

_LOOKED_INTO = 20
_NAMED = 10


def check_tenant_known(
    store: Store, *, tenant: str, export_root: str, named: Callable[[], Sequence[str]], day: str = "-"
) -> None:
    """Return if the input holds anything of a tenant, or if the metadata store names it and the input looks right.

    Asked when a day has no object: a wrong input must not pass for a day without messages.

    Args:
        store: the input root.
        export_root: the folder of exports, `{tenant}` in the place of the tenant.
        named: gives the tenants that the metadata store names.

    Raises:
        Terminal: nobody knows the tenant, or the input is another than the tenants' own.
    """
    if holds_tenant(store, tenant, export_root):
        return
    tenants = list(named())
    others = [each for each in tenants if each != tenant][:_LOOKED_INTO]
    if tenant in tenants and any(holds_tenant(store, each, export_root) for each in others):
        return  # it is new
    # What a deployment may not list comes last: only where something is wrong.
    if any(name != TABLES_FOLDER for name in _try(lambda: open_tree(store, tenant).list_folders(tenant).names)):
        return
    why = _find_misplaced(store, tenant)
    if why is None:
        if tenants == [tenant]:
            return
        why = _describe_root(store) if tenant not in tenants else "nor of any other tenant of the metadata store"
    raise TerminalError(
        f"the input holds no folder of the tenant; {why}",
        tenant=tenant,
        day=day,
        next_step="correct --input or the tenant's id; nothing was published",
    )


def holds_tenant(store: Store, tenant: str, export_root: str) -> bool:
    """Whether the input holds anything of a tenant but its tables."""
    tree = open_tree(store, tenant)
    if isinstance(store, LocalStore):
        names = tree.list_folders(tenant).names
        return tenant in list_root(store) and list(names) != [TABLES_FOLDER]
    # An identity may list only where messages are.
    folders = (f"{tenant}/chat", export_root.replace("{tenant}", tenant))
    return any(True for folder in folders if folder != tenant for _ in tree.list_objects(folder, nested=False))


def _find_misplaced(store: Store, tenant: str) -> str | None:
    """What is there instead, where the input looks like another level of the right one."""
    root = list(_try(lambda: list_root(store)))
    if other := [name for name in root if name.lower() == tenant.lower() and name != tenant]:
        return f"there is {other[0][:80]!a}, in another case"
    if tenant not in root and {"chat", "exports"} & set(root):
        return "it holds chat or exports itself, so it is a tenant's own folder: give the folder above"
    for name in islice(root, _LOOKED_INTO):
        if tenant in _try(lambda name=name: _folders(store, name)):  # type: ignore[misc]
            return f"it lies one level deeper: {name[:80]!a}/{tenant}"
    return None


def _describe_root(store: Store) -> str:
    root = sorted(_try(lambda: list_root(store)))
    if not root:
        return "the input is empty, or its root may not be listed"
    more = f" and {len(root) - _NAMED:,} more" if len(root) > _NAMED else ""
    return f"there are {', '.join(ascii(name[:80]) for name in root[:_NAMED])}{more}"


def _folders(store: Store, folder: str) -> Sequence[str]:
    return open_tree(store, folder).list_folders(folder).names


def _try(names: Callable[[], Iterable[str]]) -> Iterable[str]:
    """Names, or none where this identity may not list them or a name cannot be read: they only help to explain."""
    try:
        return list(names())
    except UNREADABLE:
        return ()
    except (BaseError, OSError) as error:
        if is_denied(error):
            return ()
        raise
