"""The tables that DDL is generated for, and the quoting of names and strings."""

from dataclasses import dataclass

from daily_batch.catalog.unity import plain_schema
from daily_batch.domain.contract import Table
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.run import TableFormat
from daily_batch.domain.url import StorageUrl
from daily_batch.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Target:
    """A tenant's tables below `output`.

    `catalog` is a catalog and the prefix of its schemas, such as main.chat; see `catalog/unity.py`.
    """

    tenant: str
    output: StorageUrl
    table_format: TableFormat
    catalog: str

    @property
    def schema(self) -> str:
        """The tenant's schema or database, in which the job registers tables too."""
        return plain_schema(self.catalog.split(".")[1], self.tenant)

    @property
    def folder(self) -> StorageUrl:
        """The folder of the tenant's tables."""
        return self.output.child(analytics_folder(self.tenant))

    def table_url(self, table: Table) -> StorageUrl:
        """Return the URL of a table."""
        return self.folder.child(table.name)

    def refuse(self, engine: str, required: str) -> UsageError:
        """Return the error that the engine cannot read the output."""
        return UsageError(f"{engine} cannot read {self.output}", next_step=f"give {required}", tenant=self.tenant)


def quote_name(name: str) -> str:
    """Quote a name for Hive and Spark."""
    return f"`{name.replace('`', '``')}`"


def quote_value(value: str) -> str:
    """Quote a string for Hive and Spark."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
