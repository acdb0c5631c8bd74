"""Validate requests of EMR Serverless by botocore's model of the service and by the limits of its guide."""

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from tests.local_cloud.aws.protocol.request import AwsRequest

# By vCPUs of a worker: minimum and maximum memory in GB, and the step.
WORKERS = {1: (2, 8, 1), 2: (4, 16, 1), 4: (8, 30, 1), 8: (16, 60, 4), 16: (32, 120, 8)}
DISK_GB = (20, 200)
MAX_MINUTES = 10_080
_INTEGERS = ("integer", "long")


class InvalidRequestError(Exception):
    """A request that the service answers with ValidationException."""


@cache
def model() -> ServiceModel:
    """Return botocore's model of the service."""
    return botocore.session.get_session().get_service_model("emr-serverless")


def read_request(operation: str, request: AwsRequest, **path: str) -> dict[str, Any]:
    """Return the operation's parameters, as boto3 takes them.

    Raises:
        InvalidRequestError: the service would refuse the request.
    """
    shape = model().operation_model(operation).input_shape
    params: dict[str, Any] = {**request.document, **path}
    for name, member in shape.members.items():
        if member.serialization.get("location") == "querystring" and name in request.query:
            params[name] = _from_text(request.query[name], member)
    problems = ParamValidator().validate(params, shape)
    if problems.has_errors():
        raise InvalidRequestError(problems.generate_report())
    for problem in _problems(params, shape, operation):
        raise InvalidRequestError(problem)
    return params


def _from_text(text: str, shape: Shape) -> Any:
    if shape.type_name in _INTEGERS:
        return int(text) if text.lstrip("-").isdigit() else text
    return [text] if shape.type_name == "list" else text


def _problems(value: Any, shape: Shape, location: str) -> Iterator[str]:
    """Yield violations that botocore does not check: patterns, enumerations, upper bounds, unions, unknown members."""
    kind = shape.type_name
    if kind == "structure":
        yield from _problems_of_structure(value, shape, location)
        return
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    size = value if kind in _INTEGERS else len(value) if kind in ("string", "list", "map") else None
    if size is not None and ((low is not None and size < low) or (high is not None and size > high)):
        yield f"{location}: {size} is not between {low} and {high}"
    if kind == "string":
        yield from _problems_of_text(value, shape, location)
    elif kind == "list":
        for number, each in enumerate(value):
            yield from _problems(each, shape.member, f"{location}[{number}]")
    elif kind == "map":
        for key, each in value.items():
            yield from _problems(key, shape.key, f"{location} key")
            yield from _problems(each, shape.value, f"{location}.{key}")


def _problems_of_structure(value: Mapping[str, Any], shape: Shape, location: str) -> Iterator[str]:
    if unknown := sorted(set(value) - set(shape.members)):
        yield f"{location} has the unknown members {unknown}"
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        yield f"{location} must have exactly one member"
    for name, member in shape.members.items():
        if name in value:
            yield from _problems(value[name], member, f"{location}.{name}")


def _problems_of_text(value: str, shape: Shape, location: str) -> Iterator[str]:
    pattern = shape.metadata.get("pattern")
    if pattern and re.fullmatch(pattern, value) is None:
        yield f"{location} does not match {pattern!a}"
    if shape.enum and value not in shape.enum:
        yield f"{location} is not one of {', '.join(shape.enum)}"


def read_conf(request: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings in sparkSubmitParameters.

    Raises:
        InvalidRequestError: a parameter is not `--conf name=value`, a worker size does not exist, or the time limit is
            out of range.
    """
    words = shlex.split(request["jobDriver"]["sparkSubmit"].get("sparkSubmitParameters", ""))
    pairs = list(zip(words[::2], words[1::2], strict=False))
    if len(words) % 2 or any(flag != "--conf" or "=" not in pair for flag, pair in pairs):
        raise InvalidRequestError("sparkSubmitParameters: only --conf name=value is supported")
    conf = dict(pair.split("=", 1) for _, pair in pairs)
    for kind in ("driver", "executor"):
        _check_worker(kind, conf)
    if not 0 < request.get("executionTimeoutMinutes", 720) <= MAX_MINUTES:
        raise InvalidRequestError(f"executionTimeoutMinutes must be from 1 to {MAX_MINUTES}")
    return conf


def _check_worker(kind: str, conf: Mapping[str, str]) -> None:
    cores, total, disk = read_worker(kind, conf)
    lowest, highest, _ = WORKERS.get(cores, (0, 0, 0))
    if total > highest:
        raise InvalidRequestError(f"a {kind} of {cores} vCPU cannot have {total:g} GB: it has {lowest} to {highest}")
    if not DISK_GB[0] <= disk <= DISK_GB[1]:
        raise InvalidRequestError(f"a {kind}'s disk of {disk:g} GB is not between {DISK_GB[0]} and {DISK_GB[1]}")


def read_worker(kind: str, conf: Mapping[str, str]) -> tuple[int, float, float]:
    """Return the vCPUs, GB of memory and GB of disk of a driver or an executor."""
    heap = parse_gigabytes(conf.get(f"spark.{kind}.memory", "14G"))
    overhead = conf.get(f"spark.{kind}.memoryOverhead")
    total = heap + (parse_gigabytes(overhead) if overhead else max(heap * 0.1, 0.375))
    disk = parse_gigabytes(conf.get(f"spark.emr-serverless.{kind}.disk", "20G"))
    return int(conf.get(f"spark.{kind}.cores", "4")), total, disk


def parse_gigabytes(text: str) -> float:
    """Parse a size in Spark's notation, such as 6g or 512m.

    Raises:
        InvalidRequestError: the text is not a size.
    """
    size = re.fullmatch(r"(\d+)([mgMG])[bB]?", text)
    if size is None:
        raise InvalidRequestError(f"{text!a} is not a size")
    return int(size[1]) / (1 if size[2] in "gG" else 1024)
