"""Maintain tables: the script for spark-submit and EMR Serverless."""

from daily_batch.entrypoints.maintain_tables import app

if __name__ == "__main__":
    app()
