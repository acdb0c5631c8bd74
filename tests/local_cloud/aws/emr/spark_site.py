"""The runtime of a job: its Spark, S3 access, Python and the workers that this machine can give."""

import os
import shlex
import tarfile
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tests.local_cloud.aws.emr.validation import parse_gigabytes
from tests.local_cloud.common.downloads import cached_folder, fetch_jars

HADOOP_AWS = ("org.apache.hadoop", "hadoop-aws", "3.4.2")
DRIVER_ENV = "spark.emr-serverless.driverEnv."


def install_hadoop_aws() -> Path:
    """Download the S3 client of Hadoop once, and return the folder of its jars."""
    return cached_folder(f"hadoop-aws-{HADOOP_AWS[-1]}", partial(fetch_jars, *HADOOP_AWS))


def site_conf(home: Path, *, endpoint: str, region: str) -> str:
    """Return the configuration of the service's Spark, S3 by `s3://` and `s3a://`, with the local addresses."""
    jars = install_hadoop_aws()
    # Spark's own jars come first: the SDK's bundle has another SLF4J, which would swallow the log.
    classes = f"{home}/jars/*:{jars}/*"
    conf = {
        "spark.driver.extraClassPath": classes,
        "spark.executor.extraClassPath": classes,
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.AbstractFileSystem.s3.impl": "org.apache.hadoop.fs.s3a.S3A",
        "spark.hadoop.fs.s3a.endpoint": endpoint,
        "spark.hadoop.fs.s3a.endpoint.region": region,
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.driver.host": "localhost",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.catalogImplementation": "in-memory",
    }
    return "".join(f"{name} {value}\n" for name, value in conf.items())


def local_conf(conf: Mapping[str, str], driver: Path) -> list[str]:
    """Return the options that fit the requested workers to this machine; they override the job's parameters."""
    cores = min(int(conf.get("spark.executor.cores", "4")), os.cpu_count() or 1)
    memory = round(parse_gigabytes(conf.get("spark.executor.memory", "14G")) * 1024)
    ours = {
        "spark.master": f"local-cluster[1,{cores},{memory}]",
        "spark.executor.cores": cores,
        "spark.pyspark.driver.python": driver,
    }
    return [word for name, value in ours.items() for word in ("--conf", f"{name}={value}")]


def write_driver(work: Path, conf: Mapping[str, str]) -> Path:
    """Write a launcher of the driver's Python with the driver's environment, which executors must not inherit.

    If that Python does not exist, the error is left to Spark.
    """
    variables = {name.removeprefix(DRIVER_ENV): value for name, value in conf.items() if name.startswith(DRIVER_ENV)}
    python = variables.get("PYSPARK_DRIVER_PYTHON", variables.get("PYSPARK_PYTHON", "python3"))
    if "/" in python and not (work / python).exists():
        return Path(python)
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    script = work / "driver-python"
    script.write_text("\n".join(["#!/bin/sh", *exports, f'exec {shlex.quote(python)} "$@"', ""]))
    script.chmod(0o755)
    return script


def link_spark(home: Path) -> Path:
    """Create a SPARK_HOME for one job, because executors write to folders below it."""
    import pyspark

    home.mkdir()
    for each in Path(pyspark.__file__).parent.iterdir():
        if each.name != "work":
            (home / each.name).symlink_to(each)
    return home


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive of spark.archives to where the driver expects it."""
    folder.mkdir()
    if archive.suffix in (".zip", ".jar"):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)  # noqa: S202 - the deployment's own package
        return
    with tarfile.open(archive) as packed_tar:
        packed_tar.extractall(folder, filter="fully_trusted")  # noqa: S202 - it links to the machine's Python
