"""Baseline S: Spark's own JSON reader, one small object at a time. Run by spark-submit: INPUT OBJECTS.

Only the read is timed: neither Spark's start nor any write; the listing is one flat folder.
"""

import json
import sys
import time

from pyspark.sql import SparkSession

SCHEMA = """
    message_id STRING, room_id STRING, user_id STRING, timestamp STRING, role STRING, content STRING,
    attachments ARRAY<STRUCT<type: STRING, url: STRING, thumbnail: STRING, name: STRING, size: BIGINT>>,
    generated_images ARRAY<STRUCT<url: STRING, thumbnail: STRING, prompt: STRING, size: STRING, style: STRING>>,
    context STRUCT<rag_sources: ARRAY<STRUCT<title: STRING, source: STRING, text: STRING, score: DOUBLE>>>,
    agent_info STRUCT<mode: STRING, execution_time_ms: BIGINT, tokens_used: BIGINT>
"""

source, objects = sys.argv[1:]
spark = SparkSession.builder.appName("baseline").getOrCreate()
spark.range(1).count()
frame = spark.read.schema(SCHEMA).json(source, multiLine=True)
started = time.perf_counter()
frame.write.format("noop").mode("overwrite").save()
print(json.dumps({"read_seconds": time.perf_counter() - started, "objects": int(objects)}))
