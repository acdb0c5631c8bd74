"""The tables that DDL is generated for, or that are registered."""

from dataclasses import dataclass

from daily_batch.catalog import Engine
from daily_batch.catalog.names import plain_schema, schema_prefix
from daily_batch.domain.contract import Table
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.run import TableFormat
from daily_batch.domain.url import StorageUrl
from daily_batch.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Target:
    """A tenant's tables below `output`.

    `catalog` is a catalog and the prefix of its schemas, such as main.chat or glue:chat.
    """

    tenant: str
    output: StorageUrl
    table_format: TableFormat
    catalog: str

    @property
    def schema(self) -> str:
        """The tenant's schema or database, in which the job registers tables too."""
        return plain_schema(schema_prefix(self.catalog), self.tenant)

    @property
    def folder(self) -> StorageUrl:
        """The folder of the tenant's tables."""
        return self.output.child(analytics_folder(self.tenant))

    def table_url(self, table: Table) -> StorageUrl:
        """Return the URL of a table."""
        return self.folder.child(table.name)

    def in_schema(self, prefix: str) -> str:
        """Return the name of a tenant's schema below the catalog's prefix and another, which no tenant's own can be.

        No tenant id begins with `_`.
        """
        return plain_schema(f"{schema_prefix(self.catalog)}__{prefix}", self.tenant)

    def check(self, engine: Engine) -> None:
        """Refuse an output that the engine cannot read; files on a volume cannot be external tables.

        Raises:
            UsageError: it cannot.
        """
        kind = self.output.kind
        match engine:
            case "athena" if kind != "s3":
                raise self._refuse("Athena", "an s3:// output")
            case "synapse" if kind != "abfss":
                raise self._refuse("Synapse", "an abfss:// output")
            case "databricks" if kind == "volume":
                raise self._refuse("an external table", "an abfss:// or s3:// output")

    def _refuse(self, reader: str, required: str) -> UsageError:
        return UsageError(f"{reader} cannot read {self.output}", next_step=f"give {required}", tenant=self.tenant)
