"""Test the keys that distribute buckets over Spark partitions against Spark itself."""

from typing import Any

import pytest
from pyspark.sql.functions import spark_partition_id

from daily_batch.pipeline.runners.spark_shuffle import hash_integer, partition_keys


def test_hash_equals_sparks_hash(spark: Any) -> None:
    numbers = [*range(300), 2**31 - 1, -1, -(2**31)]
    (row,) = spark.sql("SELECT " + ", ".join(f"hash(CAST({number} AS INT))" for number in numbers)).collect()
    assert [hash_integer(number) for number in numbers] == list(row)


@pytest.mark.parametrize("partitions", [1, 2, 7, 33])
def test_every_partition_gets_exactly_one_key(spark: Any, partitions: int) -> None:
    rows = spark.createDataFrame([(key,) for key in partition_keys(partitions)], "key int")
    spread = rows.repartition(partitions, "key").select(spark_partition_id().alias("partition"), "key").collect()
    assert sorted((row.partition, row.key) for row in spread) == list(enumerate(partition_keys(partitions)))
