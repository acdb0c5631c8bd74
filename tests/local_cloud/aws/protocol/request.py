"""An HTTP request to AWS with the credential scope of its signature."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, kw_only=True)
class AwsRequest:
    """An HTTP request with the access key, region and service of its signature.

    `path` is decoded, header names are in lower case, and `body` is empty where it is an object's content.
    """

    service: str
    region: str
    key: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def document(self) -> dict[str, Any]:
        """The body, parsed as a JSON object."""
        document: dict[str, Any] = json.loads(self.body or b"{}")
        return document

    @property
    def operation(self) -> str:
        """The operation of a request in one of AWS' JSON protocols."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]


_SCOPE = re.compile(r"Credential=(?P<key>[^/,\s]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
# S3 requests whose body decides what they do; the content of an object does not matter.
_BODY_OF_S3 = ("delete",)


def read_signature(authorization: str) -> tuple[str, str, str]:
    """Return the access key, region and service of a signed request, or empty strings; nothing is verified."""
    scope = _SCOPE.search(authorization)
    return (scope["key"], scope["region"], scope["service"]) if scope else ("", "", "")


def needs_body(service: str, query: str) -> bool:
    """Return whether the body is needed to know what the request does."""
    return service != "s3" or any(name in dict(parse_qsl(query, keep_blank_values=True)) for name in _BODY_OF_S3)
