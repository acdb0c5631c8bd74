"""Upload the sample tenants to the local AWS and register them in the metadata table."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from daily_batch.metadata.keys import TENANT, TENANTS
from daily_batch.synthetic import ExpectedCounts
from tests.local_cloud.aws.local_aws import LocalAws
from tests.local_cloud.common.sample_tenants import SAMPLES, Sample, write_samples


def upload_samples(
    aws: LocalAws,
    *,
    bucket: str,
    table: str,
    day: date,
    zone: str,
    folder: Path,
    samples: Mapping[str, Sample] = SAMPLES,
) -> dict[str, ExpectedCounts]:
    """Write the samples, upload them to a bucket, and register their tenants in the metadata table."""
    for tenant in samples:
        register_tenant(aws, table=table, tenant=tenant)
    expected = write_samples(folder, day=day, zone=zone, samples=samples)
    for tenant in expected:
        _upload(aws.client("s3"), bucket, folder / tenant)
    return expected


def register_tenant(aws: LocalAws, *, table: str, tenant: str) -> None:
    """Add a tenant to the metadata table."""
    item = {"PK": TENANTS, "SK": f"{TENANT}{tenant}", "tenant_id": tenant}
    aws.client("dynamodb").put_item(TableName=table, Item={name: {"S": value} for name, value in item.items()})


def _upload(client: Any, bucket: str, folder: Path) -> None:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        client.put_object(Bucket=bucket, Key=str(path.relative_to(folder.parent)), Body=path.read_bytes())
