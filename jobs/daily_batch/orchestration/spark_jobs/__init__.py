"""Where a Spark job runs when it does not run in this process."""

from daily_batch.orchestration.spark_jobs.base import JobSize, JobState, JobStatus, SparkJob, Submitter

__all__ = ["JobSize", "JobState", "JobStatus", "SparkJob", "Submitter"]
