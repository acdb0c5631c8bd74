"""The worker of AWS, in a process that may be told to die."""

from lambda_trigger.worker import handler
from tests.support.crash_points import die_as_told

__all__ = ["handler"]

die_as_told()
