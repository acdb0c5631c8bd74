"""The definition of every setting: type, bounds, default and description, in groups.

docs/settings.md, `--show-config` and the help of flags derive from it. Each group is a base class of `Settings`, so
every setting is an attribute of it.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from daily_batch.domain.keys import EXPORT_TEMPLATE
from daily_batch.domain.quality_rules import QualityRules, Rule
from daily_batch.domain.run import Discovery, InputLayout, RunnerChoice, TableFormat
from daily_batch.domain.setting import Setting

DEFAULT_RULES = QualityRules({"max_unreadable": Rule(limit=0.01), "max_rejected": Rule(limit=0.1)})


@dataclass(frozen=True, kw_only=True)
class TenantsAndDays:
    """Tenants and days."""

    tenants: Annotated[
        tuple[str, ...],
        Setting("Tenant ids, separated by commas. Commands require them explicitly.", variable="TENANT_ID"),
    ] = ("default_tenant",)
    date: Annotated[str, Setting("Business day, `yyyy-mm-dd`. Empty: `target_date_offset` applies.")] = ""
    target_date_offset: Annotated[
        int,
        Setting("Days from today, in `timezone`, to the business day; -1 is yesterday.", variable="TARGET_DATE_OFFSET"),
    ] = -1
    timezone: Annotated[str, Setting("IANA time zone of the business day.", variable="BATCH_TIMEZONE", job=True)] = (
        "Asia/Tokyo"
    )
    naive_timezone: Annotated[
        str, Setting("IANA time zone of timestamps that name none.", variable="NAIVE_TIMEZONE", job=True)
    ] = "UTC"


@dataclass(frozen=True, kw_only=True)
class InputAndOutput:
    """Input and output.

    Locations are a folder, `file:///…`, `s3://bucket/prefix`,
    `abfss://container@account.dfs.core.windows.net/prefix` or `/Volumes/…`. The variable `S3_BUCKET_NAME` sets both to
    `s3://` and the bucket.
    """

    input: Annotated[str, Setting("Folder or URL that holds `{tenant}/…`.")] = ""
    output: Annotated[str, Setting("Folder or URL for `{tenant}/analytics/…`.")] = ""
    layout: Annotated[
        InputLayout,
        Setting("How messages are stored. `auto`: as an export if the export folder holds an object."),
    ] = "auto"
    export_template: Annotated[str, Setting("Export folder of a tenant-day, relative to the input.", job=True)] = (
        EXPORT_TEMPLATE
    )
    table_format: Annotated[TableFormat, Setting("Format of the tables.")] = "delta"
    catalog: Annotated[
        str,
        Setting(
            "Catalog in which the tables are registered (docs/reading.md): `glue:PREFIX` for databases `PREFIX_tenant`"
            " of the Glue Data Catalog, or Unity Catalog's `catalog.schema`, such as `main.chat`, by Spark.",
            job=True,
            pattern=r"^(glue:[a-z0-9][a-z0-9_]{0,63}|[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)?$",
        ),
    ] = ""
    discovery: Annotated[
        Discovery,
        Setting("Find active rooms by listing, or by `updated_at` in the metadata store.", job=True),
    ] = "listing"
    slack_seconds: Annotated[
        int,
        Setting("Largest difference between a file name's time and the message's own, seconds.", job=True, ge=0),
    ] = 900


@dataclass(frozen=True, kw_only=True)
class Partitioning:
    """Partitioning of the work."""

    buckets: Annotated[
        int, Setting("Parts of a day, by hash of the room. 0: from the bytes of the manifest.", job=True, ge=0)
    ] = 0
    target_file_bytes: Annotated[int, Setting("Target size of each Parquet file, bytes.", job=True, ge=1)] = 134_217_728


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Audit and quality rules (docs/quality.md).

    `quality` is a table: `[quality]` in a file, JSON in `MAKOTO_QUALITY`.
    """

    max_reject_ratio: Annotated[
        float,
        Setting("A day fails if at least this ratio of its records is rejected. 1.0: no limit.", job=True, ge=0, le=1),
    ] = 0.5
    max_unreadable_ratio: Annotated[
        float,
        Setting(
            "A day fails if at least this ratio of its objects cannot be read. 1.0: no limit.", job=True, ge=0, le=1
        ),
    ] = 0.5
    min_rows_ratio: Annotated[
        float,
        Setting(
            "A run fails if it would leave fewer messages than this ratio of the published ones, unless"
            " `--allow-shrink` is given. 0: no limit, but a day never loses its last object without the flag.",
            job=True,
            ge=0,
            le=1,
        ),
    ] = 0.5
    quality: Annotated[QualityRules, Setting("Quality rules for all tenants and for each tenant.", job=True)] = (
        DEFAULT_RULES
    )


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Choice of the runner (docs/routing.md)."""

    runner: Annotated[RunnerChoice, Setting("Runner of a day. `auto`: by the predicted size and cost.")] = "auto"
    small_messages: Annotated[
        int, Setting("Up to this number of messages, the reason for a local run is the free tier.", ge=0)
    ] = 1_000
    large_messages: Annotated[int, Setting("Above this number of messages, a day goes to Spark.", ge=0)] = 100_000
    function_memory_mb: Annotated[
        int, Setting("Memory of this process, MB. 0: the limit of the machine, container or function.", ge=0)
    ] = 0
    time_limit_seconds: Annotated[
        int,
        Setting(
            "Time limit of a local run, after which the day goes to Spark; below the function's own timeout. 0: none.",
            ge=0,
        ),
    ] = 0


@dataclass(frozen=True, kw_only=True)
class SparkJobs:
    """Spark jobs."""

    spark: Annotated[
        Literal["here", "spark-submit", "emr-serverless", "databricks"],
        Setting("Where Spark runs: in this process, in a process of its own, or on a service."),
    ] = "here"
    job_wait_minutes: Annotated[
        int, Setting("A job that waits longer for workers is cancelled and resubmitted.", ge=1, le=10_080)
    ] = 60
    job_timeout_minutes: Annotated[int, Setting("The service ends a job that runs longer.", ge=1, le=10_080)] = 360
    look_first: Annotated[
        bool, Setting("A job checks its environment before its day, as `makoto-batch smoke` does.", job=True)
    ] = False
    max_attempts: Annotated[int, Setting("Submissions of a day whose jobs end without publishing it.", ge=1)] = 3
    max_usd: Annotated[
        float,
        Setting(
            "Most that one job of a day may cost by prediction, USD; a job above it, or of unknown cost, is not"
            " submitted (docs/costs.md). 0: no ceiling.",
            ge=0,
            le=1_000_000,
        ),
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class EmrServerless:
    """EMR Serverless (docs/deploy-aws.md)."""

    emr_application_id: Annotated[str, Setting("Id of the application.")] = ""
    emr_job_role_arn: Annotated[str, Setting("ARN of the role that jobs run as.")] = ""
    emr_package: Annotated[str, Setting("`s3://bucket/prefix` of what `make package-emr` built.")] = ""
    emr_python: Annotated[
        str,
        Setting("Python of the release and the package (docs/upgrading.md).", pattern=r"^3\.[0-9]{1,2}$"),
    ] = "3.11"
    emr_log_group: Annotated[str, Setting("CloudWatch log group of jobs. Empty: the application's own logging.")] = ""
    emr_vcpus: Annotated[
        int, Setting("Concurrent vCPUs of one job, within the account's quota (L-D05C8A75).", ge=1)
    ] = 16
    kms_key_arn: Annotated[str, Setting("ARN of the key that encrypts the data bucket, if it is not S3's own.")] = ""


@dataclass(frozen=True, kw_only=True)
class Databricks:
    """Databricks (docs/deploy-azure.md)."""

    databricks_host: Annotated[
        str, Setting("URL of the workspace, `https://adb-….azuredatabricks.net`.", variable="DATABRICKS_HOST")
    ] = ""
    databricks_job: Annotated[str, Setting("Name or id of the bundle's job.")] = ""
    databricks_auth: Annotated[
        Literal["entra", "sdk"],
        Setting("This process's Azure identity, or what databricks-sdk finds (OAuth, a profile)."),
    ] = "entra"
    databricks_client_id: Annotated[
        str,
        Setting("Client id of a user-assigned managed identity. Empty: the system-assigned one, or who is signed in."),
    ] = ""


@dataclass(frozen=True, kw_only=True)
class Orchestration:
    """Orchestration."""

    look_back: Annotated[
        int, Setting("Days before the business day that a schedule enqueues too, if they changed.", ge=0, le=366)
    ] = 0
    max_range_days: Annotated[
        int, Setting("Longest range of days in one request (`--from`, `--to`, or an event).", ge=1)
    ] = 366
    queue_url: Annotated[str, Setting("URL of the queue of tenant-days.")] = ""


@dataclass(frozen=True, kw_only=True)
class LedgerAndMetadata:
    """Ledger and metadata store (docs/ledger.md)."""

    ledger: Annotated[
        str,
        Setting(
            "`dynamodb`, `cosmos` or an SQLite file's path. Empty: the configured store, else a file.",
            job=True,
        ),
    ] = ""
    # Bounded so that a lease further in the future is known to come from a wrong clock (daily_batch.ledger.entry).
    lease_seconds: Annotated[
        int, Setting("Duration of a lease: how long a day stays locked after its run died elsewhere.", ge=1, le=3_600)
    ] = 120
    dynamodb_table: Annotated[
        str, Setting("DynamoDB table of the metadata store.", variable="DYNAMODB_TABLE_NAME", job=True)
    ] = ""
    cosmos_endpoint: Annotated[
        str, Setting("Cosmos DB account of the metadata store.", variable="COSMOS_ENDPOINT", job=True)
    ] = ""
    cosmos_key: Annotated[
        str, Setting("Key of the Cosmos DB account. A secret: never write it to a file.", variable="COSMOS_KEY")
    ] = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """Monitoring (docs/metrics.md)."""

    due: Annotated[
        str,
        Setting(
            "Local time of the next day by which a day must be complete.", pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$"
        ),
    ] = "06:00"
    drift_minutes: Annotated[
        int,
        Setting("Delay after which a job's end without an event counts as drift; 10 where jobs are polled.", ge=0),
    ] = 2
    unusual_factor: Annotated[
        float,
        Setting("A day is unusual if its messages differ by this factor from the same weekdays of four weeks.", ge=1),
    ] = 3.0
    unusual_floor: Annotated[int, Setting("A day is unusual only if it differs by this many messages, too.", ge=0)] = (
        100
    )


@dataclass(frozen=True, kw_only=True)
class Notifications:
    """Notifications (docs/notifications.md)."""

    notify_url: Annotated[
        str,
        Setting("Webhook to which the watcher posts each night's summary. A secret: never write it to a file."),
    ] = field(default="", repr=False)
    notify_secret_arn: Annotated[
        str,
        Setting(
            "ARN of the AWS secret that holds the webhook's URL.",
            pattern=r"^(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+)?$",
        ),
    ] = ""
    notify_format: Annotated[
        Literal["auto", "slack", "teams"],
        Setting("Form of the post. `auto`: Slack's for `hooks.slack.com`, else that of a Teams workflow."),
    ] = "auto"
    report_url: Annotated[
        str,
        Setting("Address of the report, to which the post links.", pattern=r"^(https://[^\s<>|]+)?$"),
    ] = ""


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    """Maintenance of the tables (docs/maintenance.md)."""

    retention_days: Annotated[
        int, Setting("A vacuum removes older days and their receipts. 0: keeps every day.", ge=0)
    ] = 0
    maintain_spark_bytes: Annotated[
        int,
        Setting("Larger days (vacuum: tables), bytes, are maintained by Spark where there is one.", ge=1),
    ] = 8_589_934_592
