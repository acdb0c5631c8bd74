"""P2: process one object per message, 20 ms latency, the whole job; compare with Spark over S3A and GETs alone."""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ThreadPoolExecutor

import obstore
from obstore.store import S3Store

from bench.job import DELTA_PACKAGE, ours, plain_python, plain_spark
from bench.measure import CACHE, Contender, alternate, median, save
from bench.s3_server import BUCKET, running, sample_objects

TARGET_S3A, TARGET_RAW = 70, 0.6
THREADS = 128
HADOOP_AWS = "org.apache.hadoop:hadoop-aws:3.4.2"


def main(arguments: list[str] | None = None) -> None:
    """Run the three contenders in turn against one server and print medians and ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.p2_objects", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--s3a-messages", type=int, default=2_000)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=("ours", "s3a", "raw"), default=("ours", "s3a", "raw"))
    options = parser.parse_args(arguments)
    print(
        f"P2: {options.messages:,} objects, {options.latency_ms:g} ms per request, {options.runs} runs each", flush=True
    )
    with running("--messages", str(options.messages), "--latency-ms", str(options.latency_ms)) as env:
        put_flat(options.s3a_messages, env)
        chosen = [contender for contender in contenders(env, options.s3a_messages) if contender.name in options.only]
        results = alternate(chosen, runs=options.runs, env=env, logs="p2")
    rates: dict[str, float] = {}
    for name, runs in results.items():
        middle = median(runs)
        if name == "ours":  # ours is the whole job with Spark's start; the others time only their reads
            rates[name] = options.messages / middle.seconds
        else:
            rates[name] = float(str(middle.report["objects"])) / float(str(middle.report["read_seconds"]))
        whole = f"{middle.seconds:.1f} s in all, {middle.peak_mib:.0f} MiB"
        print(f"  median {name:<5} {rates[name]:8,.0f} objects/s  ({whole})")
    figures: dict[str, object] = {"messages": options.messages, "objects_per_second": rates}
    for name, target in (("s3a", TARGET_S3A), ("raw", TARGET_RAW)):
        if {"ours", name} <= rates.keys():
            ratio = figures[f"rate_against_{name}"] = rates["ours"] / rates[name]
            print(f"  {ratio:.2f} times the rate of {name} (target: at least {target})")
    save("p2", results=results, figures=figures)


def contenders(env: dict[str, str], s3a_messages: int) -> tuple[Contender, ...]:
    """Return the contenders: ours also writes to S3, the others only read."""
    s3a = (
        *("--packages", f"{DELTA_PACKAGE},{HADOOP_AWS}"),
        *("--conf", f"spark.hadoop.fs.s3a.endpoint={env['AWS_ENDPOINT_URL']}"),
        *("--conf", "spark.hadoop.fs.s3a.path.style.access=true", "--conf", "spark.hadoop.fs.s3a.access.key=bench"),
        *("--conf", "spark.hadoop.fs.s3a.secret.key=bench", "--conf", "spark.hadoop.fs.s3a.endpoint.region=us-east-1"),
    )
    out = str(CACHE / "out" / "s3a")
    flat = (f"s3a://{BUCKET}/flat/", str(s3a_messages))
    return (
        ours(source=f"s3://{BUCKET}", output=f"s3://{BUCKET}/lake", layout="messages"),
        plain_spark("s3a", "baseline_s3a.py", *flat, output=out, more=s3a),
        plain_python(
            "raw", "baseline_obstore.py", BUCKET, "acme/chat/", str(THREADS), output=str(CACHE / "out" / "raw")
        ),
    )


def put_flat(messages: int, env: dict[str, str]) -> None:
    """Put the objects for S3A into one flat folder, so that its reads are measured and not its listing."""
    os.environ.update(env)
    store = S3Store(BUCKET, client_options={"allow_http": True})
    with ThreadPoolExecutor(THREADS) as pool:
        bodies = [body for _, body in sample_objects(messages, seed=2)]
        list(pool.map(lambda item: obstore.put(store, f"flat/{item[0]}.json", item[1]), enumerate(bodies)))


if __name__ == "__main__":
    main()
