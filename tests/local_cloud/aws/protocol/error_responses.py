"""Error responses in the format of each AWS service, so that the SDKs parse them."""

import json
from typing import NamedTuple
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from tests.local_cloud.common.faults import FaultKind

JSON_TYPES = {"dynamodb": "application/x-amz-json-1.0", "sqs": "application/x-amz-json-1.0"}


class ServiceError(NamedTuple):
    """A service's error: HTTP status, error code and message."""

    status: int
    code: str
    message: str


def error_response(service: str, error: ServiceError) -> Response:
    """Return an error in the service's format."""
    if service == "s3":
        body = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
        return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{body}', error.status, content_type="application/xml")
    body = json.dumps({"__type": f"com.amazonaws#{error.code}", "message": error.message})
    response = Response(body, error.status, content_type=JSON_TYPES.get(service, "application/json"))
    response.headers["x-amzn-ErrorType"] = error.code
    return response


def denied(service: str, *, principal: str, action: str, resource: str) -> ServiceError:
    """Return the error of a call that IAM denies."""
    code = "AccessDenied" if service in ("s3", "sqs") else "AccessDeniedException"
    status = 400 if service in ("dynamodb", "logs") else 403
    return ServiceError(
        status, code, f"User: {principal} is not authorized to perform: {action} on resource: {resource}"
    )


def throttled(service: str) -> ServiceError:
    """Return the service's throttling error."""
    if service == "s3":
        return ServiceError(503, "SlowDown", "Please reduce your request rate.")
    if service == "dynamodb":
        return ServiceError(400, "ThrottlingException", "Rate of requests exceeds the allowed throughput.")
    if service == "sqs":
        return ServiceError(403, "RequestThrottled", "Request is throttled.")
    return ServiceError(429, "ThrottlingException", "Rate exceeded")


def unavailable(service: str) -> ServiceError:
    """Return the error of a service that is down."""
    if service == "s3":
        return ServiceError(503, "ServiceUnavailable", "Service is unable to handle request.")
    if service == "dynamodb":
        return ServiceError(
            500, "InternalServerError", "The request processing has failed because of an unknown error."
        )
    return ServiceError(500, "InternalServerException", "Internal error")


def describe_fault(kind: FaultKind, service: str) -> ServiceError:
    """Return the error of a fault; `lost` has none, because its response is dropped."""
    if kind == "throttled":
        return throttled(service)
    if kind == "denied":
        return denied(service, principal="-", action="-", resource="-")
    if kind == "quota":
        return ServiceError(402, "ServiceQuotaExceededException", "The vCPU limit of the account is exceeded.")
    if kind == "expired":
        return ServiceError(403, "ExpiredTokenException", "The security token included in the request is expired")
    return unavailable(service)
