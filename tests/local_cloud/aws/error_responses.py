"""Errors as each service of AWS writes them, so that its SDKs understand them."""

import json
from typing import NamedTuple
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from tests.local_cloud.common.faults import Kind

JSON_TYPES = {"dynamodb": "application/x-amz-json-1.0", "sqs": "application/x-amz-json-1.0"}


class Trouble(NamedTuple):
    """An error: HTTP status, the service's code, and its words."""

    status: int
    code: str
    message: str


def answer_trouble(service: str, trouble: Trouble) -> Response:
    """The error in the service's own shape."""
    if service == "s3":
        told = f"<Error><Code>{trouble.code}</Code><Message>{escape(trouble.message)}</Message></Error>"
        return Response(
            f'<?xml version="1.0" encoding="UTF-8"?>\n{told}', trouble.status, content_type="application/xml"
        )
    body = json.dumps({"__type": f"com.amazonaws#{trouble.code}", "message": trouble.message})
    answer = Response(body, trouble.status, content_type=JSON_TYPES.get(service, "application/json"))
    answer.headers["x-amzn-ErrorType"] = trouble.code
    return answer


def denied(service: str, *, principal: str, action: str, resource: str) -> Trouble:
    """What a caller without the right is told."""
    code = "AccessDenied" if service in ("s3", "sqs") else "AccessDeniedException"
    status = 400 if service in ("dynamodb", "logs") else 403
    return Trouble(status, code, f"User: {principal} is not authorized to perform: {action} on resource: {resource}")


def throttled(service: str) -> Trouble:
    """What a caller that asks too often is told."""
    if service == "s3":
        return Trouble(503, "SlowDown", "Please reduce your request rate.")
    if service == "dynamodb":
        return Trouble(400, "ThrottlingException", "Rate of requests exceeds the allowed throughput.")
    if service == "sqs":
        return Trouble(403, "RequestThrottled", "Request is throttled.")
    return Trouble(429, "ThrottlingException", "Rate exceeded")


def unavailable(service: str) -> Trouble:
    """What a service that is down says."""
    if service == "s3":
        return Trouble(503, "ServiceUnavailable", "Service is unable to handle request.")
    if service == "dynamodb":
        return Trouble(500, "InternalServerError", "The request processing has failed because of an unknown error.")
    return Trouble(500, "InternalServerException", "Internal error")


def describe(kind: Kind, service: str) -> Trouble:
    """The error of a trouble that is told; `lost` is not."""
    if kind == "throttled":
        return throttled(service)
    if kind == "denied":
        return denied(service, principal="-", action="-", resource="-")
    if kind == "quota":
        return Trouble(402, "ServiceQuotaExceededException", "The vCPU limit of the account is exceeded.")
    if kind == "expired":
        return Trouble(403, "ExpiredTokenException", "The security token included in the request is expired")
    return unavailable(service)
