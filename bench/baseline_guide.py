"""Baseline G, the guide's function: one read at a time, a list, pandas, Parquet. SOURCE PREFIX OUTPUT [OBJECTS].

SOURCE is a folder of exports; with OBJECTS it is a bucket of which this many objects are read.
"""

import gzip
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas

source, prefix, output, *objects = sys.argv[1:]


def read_objects(limit: int) -> Iterator[bytes]:
    import boto3

    client = boto3.client("s3")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=source, Prefix=prefix)
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    for key in keys[:limit]:
        yield client.get_object(Bucket=source, Key=key)["Body"].read()


def read_lines() -> Iterator[bytes]:
    for path in sorted((Path(source) / prefix).rglob("*.jsonl.gz")):
        with gzip.open(path) as lines:
            yield from lines


started = time.perf_counter()  # the start-up time does not grow with the messages
messages, skipped = [], 0
for text in read_objects(int(objects[0])) if objects else read_lines():
    try:
        message = json.loads(text)
    except ValueError:
        message = None
    if isinstance(message, dict):
        messages.append(message)
    else:
        skipped += 1
frame = pandas.DataFrame(messages)
# Arrays, objects and columns of mixed types become text; pyarrow would refuse the column.
for name in frame.select_dtypes("object").columns:
    frame[name] = frame[name].map(lambda value: value if isinstance(value, str) else json.dumps(value))
Path(output).mkdir(parents=True, exist_ok=True)
frame.to_parquet(Path(output) / "messages.parquet", engine="pyarrow")
print(json.dumps({"messages": len(messages), "skipped": skipped, "seconds": time.perf_counter() - started}))
