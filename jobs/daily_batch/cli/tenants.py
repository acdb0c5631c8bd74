"""Resolve the tenants that a command works on: each must be named, and known to a store, input or output."""

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from daily_batch.domain.calendar import FIRST_DAY, LAST_DAY
from daily_batch.domain.keys import analytics_folder, export_root, is_tenant
from daily_batch.domain.url import StorageUrl, parse_url
from daily_batch.errors import UsageError
from daily_batch.ledger import Ledger
from daily_batch.ledger.factory import open_ledger
from daily_batch.pipeline.discover.discover import list_tenants
from daily_batch.pipeline.discover.unknown_tenant import holds_tenant
from daily_batch.settings import Settings
from daily_batch.storage.failures import explained_failures
from daily_batch.storage.stores import open_store


def choose_tenants(settings: Settings, *, all_tenants: bool = False) -> Settings:
    """Return the settings with the tenants that the command works on.

    Raises:
        UsageError: none was named. The deployment guide's default tenant does not count: a user must name one.
    """
    if all_tenants:
        return with_all_tenants(settings)
    if not settings.names_tenants:
        raise UsageError("no tenant is given", next_step="give --tenant or --all-tenants, or set TENANT_ID")
    return settings


def with_all_tenants(settings: Settings) -> Settings:
    """Return the settings with every tenant in the metadata store; without any there, every tenant in the input.

    A name that is not allowed is left out, as the dispatcher does, with a line on standard error.

    Raises:
        UsageError: there is no tenant.
    """
    ledger = open_ledger(settings, parse_url(settings.output))
    named = ledger.tenants() or list_tenants(parse_url(settings.input), settings)
    tenants = tuple(filter(is_tenant, named))
    for name in sorted(set(named) - set(tenants)):
        print(f"skipped: the tenant id {name[:40]!a} is not allowed (docs/runbooks/days-refused.md)", file=sys.stderr)
    if not tenants:
        raise UsageError("there is no tenant", next_step="check the input, or give --tenant")
    return replace(settings, tenants=tenants)


def check_known(tenants: Iterable[str], settings: Settings, output: StorageUrl, *, by_days: bool = False) -> None:
    """Refuse a tenant without tables, an entry in the metadata store or a folder in the input: probably a typo.

    Args:
        by_days: a day in the ledger makes the tenant known as well, even a failed one.

    Raises:
        UsageError: the tenant is unknown.
    """
    for tenant in tenants:
        with explained_failures(tenant):
            known = (
                (by_days and _has_days(tenant, open_ledger(settings, output)))
                or _holds_tables(tenant, settings, output)
                or tenant in open_ledger(settings, output).tenants()
                or _is_in_input(tenant, settings)
            )
        if not known:
            raise UsageError(
                "the tenant is in no ledger, metadata store, input or output that the command knows",
                next_step="correct its id, or give the --output and --input that hold it",
                tenant=tenant,
            )


def _has_days(tenant: str, ledger: Ledger) -> bool:
    days = ledger.days(tenant, FIRST_DAY, LAST_DAY)
    return any(True for _ in days) or ledger.stray_count(tenant) is not None


def _holds_tables(tenant: str, settings: Settings, output: StorageUrl) -> bool:
    if output.kind in ("file", "volume") and not Path(output.path).is_dir():
        return False
    store = open_store(output, settings.storage_options)
    return any(True for _ in store.list(f"{analytics_folder(tenant)}/", chunk_size=1))


def _is_in_input(tenant: str, settings: Settings) -> bool:
    if not settings.input:
        return False
    store = open_store(parse_url(settings.input), settings.storage_options)
    return holds_tenant(store, tenant, export_root(settings.export_template))
