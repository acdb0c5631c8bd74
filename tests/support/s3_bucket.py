"""A bucket of the local S3 server, for tests and the processes that they start."""

from pathlib import Path
from typing import Any, NamedTuple

import boto3

REGION = "us-east-1"
KEY = "test"


class Bucket(NamedTuple):
    """A bucket, with the connection options of each library."""

    endpoint: str
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    @property
    def options(self) -> dict[str, str]:
        """The storage options of a run."""
        return {name.lower(): value for name, value in self.environment.items()}

    @property
    def reader_options(self) -> dict[str, str]:
        """The storage options of delta-rs and polars, which allow plain HTTP only on request."""
        return {**self.options, "aws_allow_http": "true"}

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables through which a process finds the server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
        }

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=KEY,
        )

    def upload(self, folder: Path, prefix: str = "") -> None:
        client = self.client()
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            client.upload_file(str(path), self.name, f"{prefix}{path.relative_to(folder)}")

    def keys(self, prefix: str = "") -> dict[str, str]:
        """Return every key below a prefix with its ETag."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}

    def read(self, key: str) -> bytes:
        body: bytes = self.client().get_object(Bucket=self.name, Key=key)["Body"].read()
        return body
