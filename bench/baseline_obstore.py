"""Baseline O: GETs alone, as the upper bound of the read rate; only the GETs are timed. BUCKET PREFIX THREADS."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import obstore
from obstore.store import S3Store

bucket, prefix, threads = sys.argv[1:]
store = S3Store(bucket, client_options={"allow_http": True})
keys = [found["path"] for batch in obstore.list(store, prefix) for found in batch]
started, cpu_started = time.perf_counter(), time.process_time()
with ThreadPoolExecutor(int(threads)) as pool:
    read = sum(pool.map(lambda key: len(obstore.get(store, key).bytes()), keys))
seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
print(json.dumps({"read_seconds": seconds, "cpu_seconds": cpu, "objects": len(keys), "bytes": read}))
