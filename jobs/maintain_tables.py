"""The upkeep of tables as a script, for spark-submit and EMR Serverless."""

from daily_batch.maintain import app

if __name__ == "__main__":
    app()
