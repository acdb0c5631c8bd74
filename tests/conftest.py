"""What the tests share: one Spark session for the whole run, an S3 server, and sample days."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from spark_session import start_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SparkSession"]:
    """A session on local[2] with Delta, begun by the first test that asks for it."""
    # The default of 200 is for clusters; the job itself says how many parts it wants.
    few = {"spark.sql.shuffle.partitions": "4"}
    session = start_session(warehouse=tmp_path_factory.mktemp("warehouse"), more=few)
    yield session
    session.stop()
