"""The AWS worker's handler, in a process that CRASH_AT can kill."""

from lambda_trigger.worker import handler
from tests.support.crash_points import crash_if_requested

__all__ = ["handler"]

crash_if_requested()
