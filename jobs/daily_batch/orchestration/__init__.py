"""Decide which tenant-days run, where and when: dispatcher, worker, watcher, and what they share."""

from daily_batch.orchestration.tasks import Task, plan_tasks, read_task, write_task

__all__ = ["Task", "plan_tasks", "read_task", "write_task"]
