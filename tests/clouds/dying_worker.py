"""The worker of AWS, in a process that may be told to die."""

from dying_steps import die_as_told

from lambda_trigger.worker import handler

__all__ = ["handler"]

die_as_told()
