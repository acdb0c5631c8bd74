"""Implement the part of the S3 protocol that obstore, delta-rs, boto3 and Hadoop's S3A use."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

from bench.s3_bucket import Bucket, StoredObject

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
REASONS = {200: "OK", 204: "No Content", 206: "Partial Content", 304: "Not Modified", 404: "Not Found"}
REASONS |= {409: "Conflict", 412: "Precondition Failed", 416: "Range Not Satisfiable", 501: "Not Implemented"}


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request with lower-case header names."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Service:
    """All buckets; a bucket is created when it is first used."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}

    def handle(self, request: Request) -> bytes:
        """Execute a request and return its response."""
        path, _, query = request.target.partition("?")
        name, _, key = unquote(path)[1:].partition("/")
        bucket = self.buckets.get(name) or self.buckets.setdefault(name, Bucket())
        if request.method == "GET" and key and not query:
            return _get(bucket, key, request.headers, with_body=True)
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        if not key:
            return _handle_bucket(bucket, name, request, parameters)
        return _handle_object(bucket, name, key, request, parameters)


def _handle_bucket(bucket: Bucket, name: str, request: Request, parameters: dict[str, str]) -> bytes:
    if request.method == "POST" and "delete" in parameters:
        keys = [_unescape(key) for key in re.findall(r"<Key>(.*?)</Key>", request.body.decode(), re.DOTALL)]
        for key in keys:
            bucket.delete(key)
        deleted = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return _xml(f"<DeleteResult {XMLNS}>{deleted}</DeleteResult>")
    if request.method == "GET" and "location" not in parameters:
        return _list(bucket, name, parameters)
    return _xml(f"<LocationConstraint {XMLNS}/>") if request.method == "GET" else _respond(200)


def _handle_object(bucket: Bucket, name: str, key: str, request: Request, parameters: dict[str, str]) -> bytes:
    headers, now = request.headers, time.time()
    match request.method:
        case "GET" | "HEAD":
            return _get(bucket, key, headers, with_body=request.method == "GET")
        case "PUT" if "uploadId" in parameters:
            bucket.uploads[parameters["uploadId"]][int(parameters["partNumber"])] = request.body
            return _respond(200, f'ETag: "{parameters["partNumber"]}"\r\n')
        case "PUT":
            if _precondition_fails(bucket.objects.get(key), headers):
                return _error(412, "PreconditionFailed")
            if source := headers.get("x-amz-copy-source"):
                source_object = bucket.objects.get(unquote(source).lstrip("/").partition("/")[2])
                if source_object is None:
                    return _error(404, "NoSuchKey")
                copied = bucket.put(key, source_object.body, now=now)
                return _xml(f"<CopyObjectResult><ETag>{copied.etag}</ETag>{_modified(copied)}</CopyObjectResult>")
            return _respond(200, bucket.put(key, request.body, now=now).head.decode())
        case "POST" if "uploads" in parameters:
            names = f"<Bucket>{name}</Bucket><Key>{escape(key)}</Key>"
            upload = f"<UploadId>{bucket.begin_upload()}</UploadId>"
            return _xml(f"<InitiateMultipartUploadResult {XMLNS}>{names}{upload}</InitiateMultipartUploadResult>")
        case "POST" if "uploadId" in parameters:
            if _precondition_fails(bucket.objects.get(key), headers):
                return _error(412, "PreconditionFailed")
            etag = bucket.finish_upload(key, parameters["uploadId"], now=now).etag
            body = f"<Key>{escape(key)}</Key><ETag>{etag}</ETag>"
            return _xml(f"<CompleteMultipartUploadResult {XMLNS}>{body}</CompleteMultipartUploadResult>")
        case "DELETE":
            if "uploadId" in parameters:
                bucket.uploads.pop(parameters["uploadId"], None)
            else:
                bucket.delete(key)
            return _respond(204)
    return _error(501, "NotImplemented")


def _precondition_fails(current: StoredObject | None, headers: dict[str, str]) -> bool:
    if headers.get("if-none-match") == "*":
        return current is not None
    return "if-match" in headers and (current is None or headers["if-match"] != current.etag)


def _get(bucket: Bucket, key: str, headers: dict[str, str], *, with_body: bool) -> bytes:
    stored = bucket.objects.get(key)
    if stored is None:
        return _error(404, "NoSuchKey") if with_body else _respond(404)
    if "if-match" in headers and headers["if-match"] != stored.etag:
        return _error(412, "PreconditionFailed")
    if headers.get("if-none-match") == stored.etag:
        return _respond(304)
    size = len(stored.body)
    if (requested := headers.get("range")) is None:
        head = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (stored.head, size)
        return head + stored.body if with_body else head
    start, _, end = requested.removeprefix("bytes=").partition("-")
    first = int(start) if start else max(0, size - int(end))
    last = min(int(end), size - 1) if start and end else size - 1
    if first >= size or last < first:
        return _error(416, "InvalidRange")
    span = f"Content-Range: bytes {first}-{last}/{size}\r\nContent-Length: {last - first + 1}\r\n\r\n"
    head = b"HTTP/1.1 206 Partial Content\r\n" + stored.head + span.encode()
    return head + stored.body[first : last + 1] if with_body else head


def _list(bucket: Bucket, name: str, parameters: dict[str, str]) -> bytes:
    encode = quote if parameters.get("encoding-type") == "url" else escape
    page = bucket.page(
        prefix=parameters.get("prefix", ""),
        delimiter=parameters.get("delimiter", ""),
        token=unquote(parameters.get("continuation-token", "")),
        start_after=parameters.get("start-after", ""),
        limit=int(parameters.get("max-keys", "1000")),
    )
    contents = "".join(
        f"<Contents><Key>{encode(key)}</Key>{_modified(stored)}<ETag>{stored.etag}</ETag>"
        f"<Size>{len(stored.body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key in page.keys
        for stored in (bucket.objects[key],)
    )
    prefixes = "".join(
        f"<CommonPrefixes><Prefix>{encode(prefix)}</Prefix></CommonPrefixes>" for prefix in page.prefixes
    )
    next_token = f"<NextContinuationToken>{quote(page.token)}</NextContinuationToken>" if page.token else ""
    head = f"<Name>{name}</Name><KeyCount>{len(page.keys) + len(page.prefixes)}</KeyCount>"
    truncated = f"<IsTruncated>{'true' if page.token else 'false'}</IsTruncated>"
    encoding = "<EncodingType>url</EncodingType>" if encode is quote else ""
    return _xml(
        f"<ListBucketResult {XMLNS}>{head}{truncated}{encoding}{next_token}{contents}{prefixes}</ListBucketResult>"
    )


def _modified(stored: StoredObject) -> str:
    return f"<LastModified>{datetime.fromtimestamp(stored.modified, UTC):%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"


def _unescape(text: str) -> str:
    return (
        text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", '"')
        .replace("&#39;", "'")
        .replace("&amp;", "&")
    )


def _respond(status: int, headers: str = "", body: bytes = b"") -> bytes:
    length = "" if status in (204, 304) else f"Content-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} {REASONS[status]}\r\n{headers}{length}\r\n".encode() + body


def _xml(text: str) -> bytes:
    return _respond(200, "Content-Type: application/xml\r\n", f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode())


def _error(status: int, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
    return _respond(status, "Content-Type: application/xml\r\n", body)
