"""S3's own listing, asked for by boto3: for names that obstore cannot read, of which it tells only the first.

Such a name must not hide the others. boto3 is where a run on AWS is; elsewhere the day stops at the name, as before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from obstore.store import S3Store

from daily_batch.domain.calendar import to_us
from daily_batch.domain.run import SourceObject
from daily_batch.pipeline.discover.listing import refuse_name

RETRIES = {"max_attempts": 10, "mode": "standard"}


@dataclass(frozen=True)
class RawS3:
    """Keys of a bucket as they are, relative to `root`, which is empty or ends in `/`."""

    client: Any = field(repr=False)
    bucket: str
    root: str

    def list_objects(self, folder: str, *, after: str | None, cause: Exception) -> Iterator[list[SourceObject]]:
        """Pages of the objects below a folder that come after a key; a console's folders are left out."""
        begin = {} if after is None else {"StartAfter": f"{self.root}{after}"}
        for page in self._pages(cause, Prefix=f"{self.root}{folder}/", **begin):
            found = page.get("Contents", [])
            yield [self._describe(item) for item in found if item["Size"] or not item["Key"].endswith("/")]

    def list_folders(self, folder: str, *, cause: Exception) -> list[str]:
        """The names of the folders right below a folder."""
        prefix = f"{self.root}{folder}/" if folder else self.root
        pages = self._pages(cause, Prefix=prefix, Delimiter="/")
        return [each["Prefix"][len(prefix) : -1] for page in pages for each in page.get("CommonPrefixes", [])]

    def _pages(self, cause: Exception, **asked: str) -> Iterator[dict[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        try:
            yield from self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **asked)
        except (BotoCoreError, ClientError) as error:
            raise OSError(f"listing by boto3 failed: {type(error).__name__}") from cause

    def _describe(self, item: dict[str, Any]) -> SourceObject:
        key = item["Key"].removeprefix(self.root)
        return refuse_name(SourceObject(key, item["Size"], item["ETag"], to_us(item["LastModified"])))


def open_raw(store: object) -> RawS3 | None:
    """The listing of an obstore store's bucket, with its credentials; None if it is not in S3, or boto3 not here."""
    if not isinstance(store, S3Store):
        return None
    try:
        import boto3  # type: ignore[import-untyped]  # it carries no types, nor does botocore
        from botocore import UNSIGNED  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]
    except ImportError:
        return None
    known: dict[str, Any] = dict(store.config)
    if store.credential_provider is not None:
        known |= store.credential_provider()  # type: ignore[arg-type]
    virtual = str(known.get("virtual_hosted_style_request")).lower() == "true"
    options: dict[str, Any] = {"retries": RETRIES, "s3": {"addressing_style": "virtual" if virtual else "path"}}
    if str(known.get("skip_signature")).lower() == "true":
        options["signature_version"] = UNSIGNED
    client = boto3.Session().client(
        "s3",
        endpoint_url=known.get("endpoint"),
        region_name=known.get("region"),
        aws_access_key_id=known.get("access_key_id"),
        aws_secret_access_key=known.get("secret_access_key"),
        aws_session_token=known.get("token"),
        config=Config(**options),
    )
    root = str(store.prefix or "").strip("/")
    return RawS3(client, str(known["bucket"]), f"{root}/" if root else "")
