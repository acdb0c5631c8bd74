"""An HTTP request to AWS, and what its signature says of itself."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, kw_only=True)
class AwsRequest:
    """One HTTP request, and what its signature says of itself.

    `path` is decoded, names of headers are in small letters, and `body` is empty for an object's bytes.
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
        """The body as the JSON object that it is."""
        document: dict[str, Any] = json.loads(self.body or b"{}")
        return document

    @property
    def operation(self) -> str:
        """The operation that the services of JSON protocols are asked for."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]


_SCOPE = re.compile(r"Credential=(?P<key>[^/,\s]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
# Bodies that say what is done; of an object only the name matters.
_BODY_OF_S3 = ("delete",)


def read_signature(authorization: str) -> tuple[str, str, str]:
    """Access key, region and service of a signed request; empty texts where it is not signed. Nothing is verified."""
    scope = _SCOPE.search(authorization)
    return (scope["key"], scope["region"], scope["service"]) if scope else ("", "", "")


def has_telling_body(service: str, query: str) -> bool:
    """Whether the body must be read to know what the request does."""
    return service != "s3" or any(name in dict(parse_qsl(query, keep_blank_values=True)) for name in _BODY_OF_S3)
