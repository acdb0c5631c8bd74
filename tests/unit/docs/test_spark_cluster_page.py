"""The page on one's own Spark cluster, and its settings: commands are complete, versions and sizes are right."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest
import typer

from daily_batch.entrypoints.daily_messages import app
from daily_batch.orchestration.spark_jobs.emr_request import EXECUTOR
from makoto_packaging import emr
from tests.support.day_runs import ROOT
from tests.support.spark_session import read_conf

PAGE = ROOT / "docs/spark-cluster.md"
CLUSTER_CONF = ROOT / "conf/spark/cluster.conf"


def read_lines() -> list[str]:
    text = re.sub(r"\\\n\s*", "", PAGE.read_text(encoding="utf-8"))
    return re.findall(r"^ {4,}(\S.+)$", text, re.MULTILINE)


def split_job(line: str) -> tuple[list[str], str, list[str]]:
    """Return the words of a command before, of and after the job's script."""
    words = shlex.split(line)
    (place,) = (number for number, word in enumerate(words) if word.endswith("daily_messages.py"))
    return words[:place], words[place], words[place + 1 :]


SUBMISSIONS = [line for line in read_lines() if "daily_messages.py --" in line]


@pytest.mark.parametrize("line", SUBMISSIONS)
def test_job_of_each_command_has_valid_arguments(line: str) -> None:
    before, script, arguments = split_job(line)
    assert (ROOT / "jobs" / Path(script).name).exists()
    typer.main.get_command(app).make_context(script, arguments)
    if before[0] == "spark-submit":
        assert (ROOT / before[before.index("--properties-file") + 1]).exists()
        assert "--master" in before


def test_page_has_a_command_for_each_kind_of_cluster() -> None:
    places = [re.search(r"--master (\w+)|SPARK_REMOTE=(\w+)", line) for line in SUBMISSIONS]
    assert [place and (place[1] or place[2]) for place in places] == ["spark", "yarn", "k8s", "sc"]


def test_package_of_the_page_can_be_made() -> None:
    (made,) = (re.search(r'PACKAGE_ARGS="(.+)"', line) for line in read_lines() if line.startswith("make "))
    assert made
    options = emr._parser().parse_args(shlex.split(made[1]))
    shipped = {Path(word.partition("#")[0]).parent for line in SUBMISSIONS for word in line.split() if "#env" in word}
    assert shipped == {options.out}


def test_file_systems_are_of_sparks_hadoop() -> None:
    (jar,) = Path(pyspark.__file__).parent.glob("jars/hadoop-client-api-*.jar")
    release = jar.stem.removeprefix("hadoop-client-api-")
    named = re.findall(r"hadoop-(?:aws|azure):([\d.]+)|/docs/r([\d.]+)/", PAGE.read_text(encoding="utf-8"))
    assert {first or second for first, second in named} == {release}


def test_executors_are_those_of_emr_serverless() -> None:
    conf = read_conf(CLUSTER_CONF)
    sizes = tuple(conf[f"spark.executor.{name}"] for name in ("cores", "memory", "memoryOverhead"))
    assert sizes == (str(EXECUTOR.vcpu), f"{EXECUTOR.heap_gb}g", f"{EXECUTOR.gb - EXECUTOR.heap_gb}g")


def test_no_path_or_address_of_one_machine_is_set() -> None:
    """Executors elsewhere cannot reach localhost, nor a path relative to the repository."""
    lines = [line.split(maxsplit=1) for line in read_settings()]
    assert not {"spark.master", "spark.driver.host", "spark.driver.bindAddress"} & {name for name, _ in lines}
    assert [name for name, value in lines if "/" in value and not value.startswith("/")] == []


def read_settings() -> Iterator[str]:
    for line in CLUSTER_CONF.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line
