"""The daily messages job as a script, for spark-submit and EMR Serverless."""

from daily_batch.job import app

if __name__ == "__main__":
    app()
