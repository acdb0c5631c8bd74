"""P2: run the complete job on one object per message with 20 ms latency; compare with Spark on S3A and GETs alone."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import obstore
from obstore.store import S3Store

from bench.job import python_baseline, spark_baseline, spark_job
from bench.measure import CACHE, Contender, alternate, median, save
from bench.s3_server import BUCKET, generate_objects, running_server
from tests.local_cloud.aws.emr.spark_site import install_hadoop_aws

TARGET_S3A, TARGET_RAW = 70, 0.6
THREADS = 128


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
    with running_server("--messages", str(options.messages), "--latency-ms", str(options.latency_ms)) as env:
        if "s3a" in options.only:
            upload_flat_folder(options.s3a_messages, env)
        chosen = contenders(env, options.s3a_messages, only=options.only)
        results = alternate(chosen, runs=options.runs, env=env, logs="p2")
    rates: dict[str, float] = {}
    for name, runs in results.items():
        middle = median(runs)
        if name == "ours":  # ours is the complete job with Spark's start; the others time only their reads
            rates[name] = options.messages / middle.seconds
        else:
            rates[name] = float(str(middle.report["objects"])) / float(str(middle.report["read_seconds"]))
        print(f"  median {name:<5} {rates[name]:8,.0f} objects/s, in total {middle.describe()}")
    figures: dict[str, object] = {"messages": options.messages, "objects_per_second": rates}
    for name, target in (("s3a", TARGET_S3A), ("raw", TARGET_RAW)):
        if {"ours", name} <= rates.keys():
            ratio = figures[f"rate_against_{name}"] = rates["ours"] / rates[name]
            print(f"  {ratio:.2f} times the rate of {name} (target: at least {target})")
    save(f"p2-{options.messages}", results=results, figures=figures)


def contenders(env: Mapping[str, str], s3a_messages: int, *, only: Collection[str]) -> list[Contender]:
    """Return the contenders with these names: ours also writes to S3, the others only read."""
    makers: dict[str, Callable[[], Contender]] = {
        "ours": lambda: spark_job(source=f"s3://{BUCKET}", output=f"s3://{BUCKET}/lake", layout="messages"),
        "s3a": lambda: s3a_baseline(env, s3a_messages),
        "raw": lambda: python_baseline(
            "raw", "baseline_obstore.py", BUCKET, "acme/chat/", str(THREADS), output=str(CACHE / "out" / "raw")
        ),
    }
    return [make() for name, make in makers.items() if name in only]


def s3a_baseline(env: Mapping[str, str], messages: int) -> Contender:
    """Return Spark on S3A, whose jars are downloaded before the first run."""
    s3a = {
        "endpoint": env["AWS_ENDPOINT_URL"],
        "endpoint.region": "us-east-1",
        "path.style.access": "true",
        "access.key": "bench",
        "secret.key": "bench",
    }
    return spark_baseline(
        *("s3a", "baseline_s3a.py", f"s3a://{BUCKET}/flat/", str(messages)),
        output=str(CACHE / "out" / "s3a"),
        jars=f"{install_hadoop_aws()}/*.jar",
        conf={f"spark.hadoop.fs.s3a.{name}": value for name, value in s3a.items()},
    )


def upload_flat_folder(messages: int, env: dict[str, str]) -> None:
    """Upload the objects for S3A to one flat folder, so that its reads are measured and not its listing."""
    os.environ.update(env)
    store = S3Store(BUCKET, client_options={"allow_http": True})
    with ThreadPoolExecutor(THREADS) as pool:
        bodies = [body for _, body in generate_objects(messages, seed=2)]
        list(pool.map(lambda item: obstore.put(store, f"flat/{item[0]}.json", item[1]), enumerate(bodies)))


if __name__ == "__main__":
    main()
