"""`makoto-batch ddl`: the statements with which a reader's engine knows the tables; nothing is opened or asked."""

import os
import sys
from collections.abc import Mapping

from daily_batch.catalog.ddl import Engine, make_script, make_statements
from daily_batch.catalog.target import Target
from daily_batch.cli.output import guarded, print_json
from daily_batch.cli.tenants import choose_tenants
from daily_batch.domain.keys import check_tenant
from daily_batch.domain.url import parse_url
from daily_batch.errors import UsageError
from daily_batch.settings import Settings, load_settings

USUAL_CATALOG = "main.chat"


def ddl_command(flags: Mapping[str, object], *, engine: Engine, as_json: bool = False, debug: bool = False) -> int:
    """Print the statements of each tenant and return the exit status."""

    def tell() -> int:
        targets = _targets(choose_tenants(load_settings(flags=flags, environ=os.environ)))
        if as_json:
            print_json([{"tenant": target.tenant, "statements": make_statements(engine, target)} for target in targets])
        else:
            sys.stdout.write("\n".join(make_script(engine, target) for target in targets))
        return 0

    return guarded(tell, debug=debug)


def _targets(settings: Settings) -> list[Target]:
    if not settings.output:
        raise UsageError("no output is named", next_step="give --output, or set MAKOTO_OUTPUT or S3_BUCKET_NAME")
    return [
        Target(
            tenant=check_tenant(tenant),
            output=parse_url(settings.output),
            table_format=settings.table_format,
            catalog=settings.catalog or USUAL_CATALOG,
        )
        for tenant in settings.tenants
    ]
