"""List S3 through boto3, for keys that obstore cannot read: obstore reports only the first and stops there.

Such a key must not hide the others. Every deployment on AWS has boto3; without it, the day fails at the key.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from obstore.store import S3Store

from daily_batch.domain.calendar import to_us
from daily_batch.domain.run import SourceObject
from daily_batch.pipeline.discover.listing import check_name

RETRIES = {"max_attempts": 10, "mode": "standard"}


@dataclass(frozen=True)
class S3Listing:
    """The keys of a bucket, unchanged, relative to `root`, which is empty or ends in `/`."""

    client: Any = field(repr=False)
    bucket: str
    root: str

    def list_objects(self, folder: str, *, after: str | None, cause: Exception) -> Iterator[list[SourceObject]]:
        """Yield pages of the objects below a folder.

        Folders that a console made (empty objects whose keys end in `/`) are skipped.

        Args:
            folder: The folder's key, without a trailing slash.
            after: Start after this key; None: start at the first.
            cause: The error of obstore that made this listing necessary.
        """
        start = {} if after is None else {"StartAfter": f"{self.root}{after}"}
        for page in self._list_pages(cause, Prefix=f"{self.root}{folder}/", **start):
            items = page.get("Contents", [])
            yield [self._describe(item) for item in items if item["Size"] or not item["Key"].endswith("/")]

    def list_folders(self, folder: str, *, cause: Exception) -> list[str]:
        """Return the names of the folders directly below a folder."""
        prefix = f"{self.root}{folder}/" if folder else self.root
        pages = self._list_pages(cause, Prefix=prefix, Delimiter="/")
        return [each["Prefix"][len(prefix) : -1] for page in pages for each in page.get("CommonPrefixes", [])]

    def _list_pages(self, cause: Exception, **request: str) -> Iterator[dict[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield from self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **request)
        except (BotoCoreError, ClientError) as error:
            raise OSError(f"listing by boto3 failed: {type(error).__name__}") from cause

    def _describe(self, item: dict[str, Any]) -> SourceObject:
        key = item["Key"].removeprefix(self.root)
        return check_name(SourceObject(key, item["Size"], item["ETag"], to_us(item["LastModified"])))


def open_s3_listing(store: object) -> S3Listing | None:
    """Return a listing of an obstore store's bucket with the same credentials.

    Returns:
        None if the store is not in S3, or boto3 is not installed.
    """
    if not isinstance(store, S3Store):
        return None
    try:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError:
        return None
    settings: dict[str, Any] = dict(store.config)
    if store.credential_provider is not None:
        settings |= store.credential_provider()  # type: ignore[arg-type]
    virtual = str(settings.get("virtual_hosted_style_request")).lower() == "true"
    options: dict[str, Any] = {"retries": RETRIES, "s3": {"addressing_style": "virtual" if virtual else "path"}}
    if str(settings.get("skip_signature")).lower() == "true":
        options["signature_version"] = UNSIGNED
    client = boto3.Session().client(
        "s3",
        endpoint_url=settings.get("endpoint"),
        region_name=settings.get("region"),
        aws_access_key_id=settings.get("access_key_id"),
        aws_secret_access_key=settings.get("secret_access_key"),
        aws_session_token=settings.get("token"),
        config=Config(**options),
    )
    root = str(store.prefix or "").strip("/")
    return S3Listing(client, str(settings["bucket"]), f"{root}/" if root else "")
