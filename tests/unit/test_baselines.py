"""The benchmarks' baselines on Spark have the job's Delta from disk, so that no run includes a download."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import p2_objects
from bench.job import spark_baseline
from bench.measure import Contender
from tests.support.spark_session import LOCAL_CONF, ROOT, read_conf


def read_settings(command: Sequence[str]) -> dict[str, str]:
    """Return the settings that a command line gives to spark-submit; each is given once."""
    pairs = [command[place + 1].partition("=") for place, word in enumerate(command) if word == "--conf"]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: value for name, _, value in pairs}


def check_resolves_nothing(contender: Contender) -> dict[str, str]:
    settings = read_settings(contender.command)
    assert not {"--packages", "--repositories"} & {*contender.command}
    assert not [name for name in settings if name.startswith("spark.jars.")]
    return settings


def test_spark_baseline_has_the_jars_and_the_catalog_of_the_job() -> None:
    settings = check_resolves_nothing(spark_baseline("spark", "baseline_spark.py", "in", "out", output="out"))
    job = read_conf(ROOT / "conf/spark/local.conf")
    assert settings == {name: job[name] for name in settings}
    assert settings["spark.jars"] == f"{ROOT}/.cache/delta/jars/*.jar"


def test_s3a_baseline_has_its_client_on_disk_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(p2_objects, "install_hadoop_aws", lambda: tmp_path)
    (contender,) = p2_objects.contenders({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, 500, only=("s3a",))
    settings = check_resolves_nothing(contender)
    assert settings["spark.jars"] == f"{read_conf(LOCAL_CONF)['spark.jars']},{tmp_path}/*.jar"
    assert settings["spark.hadoop.fs.s3a.endpoint"] == "http://127.0.0.1:9"


def test_s3_client_is_installed_only_for_the_baseline_that_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p2_objects, "install_hadoop_aws", lambda: pytest.fail("downloaded"))
    chosen = p2_objects.contenders({}, 500, only=("ours", "raw"))
    assert [contender.name for contender in chosen] == ["ours", "raw"]
