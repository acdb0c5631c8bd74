"""Whom `--all-tenants` means."""

import sys
from dataclasses import replace

from daily_batch.errors import Misuse
from daily_batch.ledger.opening import open_ledger
from daily_batch.paths import is_tenant, parse_url
from daily_batch.settings import Settings
from daily_batch.survey import list_tenants


def with_all_tenants(settings: Settings) -> Settings:
    """The settings for every tenant that the metadata store names; where it names none, that has a folder in the input.

    A name that is not allowed is left out, as by the night, and told on standard error.

    Raises:
        Misuse: there is no tenant at all.
    """
    ledger = open_ledger(settings, parse_url(settings.output))
    named = ledger.tenants() or list_tenants(parse_url(settings.input), settings)
    tenants = tuple(filter(is_tenant, named))
    for name in sorted(set(named) - set(tenants)):
        print(f"left out: the tenant id {name[:40]!a} is not allowed (docs/runbooks/days-refused.md)", file=sys.stderr)
    if not tenants:
        raise Misuse("there is no tenant", next_step="check the input, or name tenants")
    return replace(settings, tenants=tenants)
