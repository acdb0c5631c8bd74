"""Submit Spark jobs to the services that run them, and follow them to their end."""

from daily_batch.orchestration.spark_jobs.base import JobSize, JobState, JobStatus, SparkJob, Submitter

__all__ = ["JobSize", "JobState", "JobStatus", "SparkJob", "Submitter"]
