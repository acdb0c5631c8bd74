"""Which tables DDL is about, and how its texts are quoted."""

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

    `catalog` is a catalog and the beginning of the schemas' names, as for `catalog/unity.py`: main.chat.
    """

    tenant: str
    output: StorageUrl
    table_format: TableFormat
    catalog: str

    @property
    def schema(self) -> str:
        """The tenant's schema or database, the one that the job itself registers tables in."""
        return plain_schema(self.catalog.split(".")[1], self.tenant)

    @property
    def folder(self) -> StorageUrl:
        """Where the tenant's tables lie."""
        return self.output.child(analytics_folder(self.tenant))

    def place(self, table: Table) -> StorageUrl:
        """The table's folder."""
        return self.folder.child(table.name)

    def refuse(self, engine: str, wanted: str) -> UsageError:
        """The error that the engine cannot read the output."""
        return UsageError(f"{engine} cannot read {self.output}", next_step=f"give {wanted}", tenant=self.tenant)


def quote_name(name: str) -> str:
    """A name for Hive and Spark."""
    return f"`{name.replace('`', '``')}`"


def quote_value(value: str) -> str:
    """A text for Hive and Spark."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
