"""The S3 emulator lists as moto does, and reads only what it lists."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import S3Backend, s3_backends
from moto.s3.responses import S3Response
from werkzeug.test import Client

from tests.local_cloud.aws.local_aws import LocalAws, serve_aws
from tests.local_cloud.aws.prefix_s3 import PrefixS3, SortedKeys, serialize

REGION, ACCOUNT = "ap-northeast-1", "123456789012"
# Few characters, so that keys share folders and one is often the start of another.
LETTERS = "ab/\u00e9\U0010ffff"
KEYS = st.text(LETTERS, min_size=1, max_size=6)
CHANGES = st.lists(st.tuples(st.sampled_from(("put", "put", "delete")), KEYS), max_size=40)
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "list-type": st.just("2"),
        "delimiter": st.just("/"),
        "encoding-type": st.just("url"),
        "fetch-owner": st.just("true"),
        "max-keys": st.integers(0, 5).map(str),
    },
)
PREFIXES, DELIMITERS = st.none() | st.text(LETTERS, max_size=3), st.sampled_from([None, "/", "a", "b/"])


@given(
    changes=CHANGES,
    versioned=st.booleans(),
    prefix=PREFIXES,
    delimiter=DELIMITERS,
    after=st.none() | KEYS,
    size=st.integers(0, 5),
)
@settings(deadline=None, max_examples=300)
def test_listings_equal_those_of_moto(
    changes: list[tuple[str, str]],
    versioned: bool,
    prefix: str | None,
    delimiter: str | None,
    after: str | None,
    size: int,
) -> None:
    plain, sorted_ = (build(kind, changes, versioned=versioned) for kind in (S3Backend, PrefixS3))
    assert list_pages(sorted_, prefix, delimiter, after, size) == list_pages(plain, prefix, delimiter, after, size)
    for marker in (None, after):
        expected = list_first_version(plain, prefix, delimiter, marker, size)
        assert list_first_version(sorted_, prefix, delimiter, marker, size) == expected


@given(keys=st.sets(st.text(f"{LETTERS}&<>\"' \u3042", min_size=1, max_size=6), max_size=6), query=QUERIES)
@settings(deadline=None, max_examples=50)
def test_responses_equal_those_of_moto(keys: set[str], query: dict[str, str]) -> None:
    backend = s3_backends[ACCOUNT]["aws"]
    bucket = backend.create_bucket(f"bucket-{uuid4().hex}", REGION)
    for key in keys:
        backend.put_object(bucket.name, key, b"x", disable_notification=True)
    client = Client(create_backend_app("s3"))
    answers = []
    for method in (S3Response.serialized, serialize):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(S3Response, "serialized", method)
            answer = client.get(f"/{bucket.name}", query_string={"prefix": "", **query})
        answers.append((answer.status, answer.content_type, answer.text))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("delimiter", "after"), [(None, None), (None, "folder-7/part-0"), ("/", None), ("/", "folder-7/")]
)
def test_a_listing_reads_its_results_and_not_the_bucket(delimiter: str | None, after: str | None) -> None:
    visited = []
    for others in (10, 300):
        backend, bucket = create(PrefixS3)
        bucket.keys = keys = CountingKeys()
        names = [f"{side}other-{number}" for side in "az" for number in range(others)]
        names += [f"folder-{folder}/part-{number}" for folder in range(9) for number in range(others)]
        for name in names:
            backend.put_object(bucket.name, name, b"", disable_notification=True)
        keys.visited = 0
        backend.list_objects_v2(bucket, "folder-", delimiter, None, after, 5)
        visited.append(keys.visited)
    assert visited[0] == visited[1] <= 5 + 2


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with serve_aws(tmp_path_factory.mktemp("s3"), dynamodb=False) as cloud:
        yield cloud


def test_the_local_aws_lists_so_after_every_kind_of_change(aws: LocalAws) -> None:
    client, bucket = aws.client("s3"), "listed"
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
    for key in ("b/put", "a/removed", "c", "b/put"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    client.copy_object(Bucket=bucket, Key="b/copied", CopySource={"Bucket": bucket, "Key": "c"})
    upload = client.create_multipart_upload(Bucket=bucket, Key="b/parts")["UploadId"]
    part = client.upload_part(Bucket=bucket, Key="b/parts", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    client.complete_multipart_upload(Bucket=bucket, Key="b/parts", UploadId=upload, MultipartUpload=parts)
    for _ in range(2):
        client.delete_object(Bucket=bucket, Key="a/removed")
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "c"}, {"Key": "never"}]})
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    assert [each["Key"] for page in pages for each in page["Contents"]] == ["b/copied", "b/parts", "b/put"]


class CountingKeys(SortedKeys):
    """Keys that count the visits and forbid a walk."""

    visited = 0

    def __getitem__(self, key: str) -> Any:
        self.visited += 1
        return super().__getitem__(key)

    def _self_iterable(self) -> dict[str, Any]:
        raise AssertionError("the whole bucket was read")


def create(kind: type[S3Backend]) -> tuple[Any, Any]:
    backend, name = kind(REGION, ACCOUNT), f"bucket-{uuid4().hex}"
    bucket = backend.create_bucket(name, REGION)
    del s3_backends.bucket_accounts[name]
    return backend, bucket


def build(kind: type[S3Backend], changes: list[tuple[str, str]], *, versioned: bool) -> tuple[Any, Any]:
    backend, bucket = create(kind)
    bucket.versioning_status = "Enabled" if versioned else None
    for change, key in changes:
        if change == "put":
            backend.put_object(bucket.name, key, b"", disable_notification=True)
        else:
            backend.delete_object(bucket.name, key)
    return backend, bucket


def list_pages(
    built: tuple[Any, Any], prefix: str | None, delimiter: str | None, after: str | None, size: int
) -> list[tuple[list[str], bool]]:
    backend, bucket = built
    pages, token = [], None
    while True:
        shown, truncated, token = backend.list_objects_v2(bucket, prefix, delimiter, token, after, size)
        pages.append(([each if isinstance(each, str) else each.name for each in shown], truncated))
        if token is None:
            return pages


def list_first_version(
    built: tuple[Any, Any], prefix: str | None, delimiter: str | None, marker: str | None, size: int
) -> tuple[list[str], list[str], bool, str | None]:
    backend, bucket = built
    keys, folders, truncated, following = backend.list_objects(bucket, prefix, delimiter, marker, size)
    return [each.name for each in keys], list(folders), truncated, following
