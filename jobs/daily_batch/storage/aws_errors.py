"""What an error of boto3 is: its code, and whether trying again may help. Its text may name accounts and keys."""

from collections.abc import Collection

from botocore import exceptions as boto  # type: ignore[import-untyped]  # it carries no types

# What boto3 raises where a service refuses, and where there is none.
RAISED = (boto.BotoCoreError, boto.ClientError)
_UNREACHABLE = (boto.ConnectionError, boto.HTTPClientError)


def error_code(error: Exception) -> str:
    """The service's own code, else the error's kind."""
    answer = error.response if isinstance(error, boto.ClientError) else {}
    return str(answer.get("Error", {}).get("Code", type(error).__name__))


def is_temporary(error: Exception, busy: Collection[str]) -> bool:
    """Whether the service was not reached, failed, or answered with a code of `busy`."""
    answer = error.response if isinstance(error, boto.ClientError) else {}
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return isinstance(error, _UNREACHABLE) or error_code(error) in busy or status >= 500
