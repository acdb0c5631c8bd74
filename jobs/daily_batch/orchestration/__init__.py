"""A night: which tenant-days are asked for, what becomes of each, and what is left to do in the morning."""

from daily_batch.orchestration.tasks import Task, plan_tasks, read_task, write_task

__all__ = ["Task", "plan_tasks", "read_task", "write_task"]
