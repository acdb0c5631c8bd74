"""Pins, template, bundle and the upgrade guide name the same versions."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

from daily_batch.settings import load_settings
from makoto_packaging import emr
from makoto_packaging.project import CONSTRAINTS, ROOT
from makoto_packaging.targets import EMR_PYTHON
from tests.local_cloud.aws.cloudformation import load_template
from tests.local_cloud.aws.emr.spark_site import HADOOP_AWS
from tests.local_cloud.azure.databricks.bundle import read_bundle
from tests.support.spark_session import JARS_CONF, read_conf

PAGE = (ROOT / "docs/upgrading.md").read_text()
SOURCES = (ROOT / "docs/project/dependencies.md").read_text()
TEMPLATE = load_template(ROOT / "template.yaml")
BUNDLE = read_bundle(ROOT)
PINS = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", CONSTRAINTS.read_text(), re.MULTILINE))


def read_default(parameter: str) -> str:
    return str(TEMPLATE["Parameters"][parameter]["Default"])


def read_row(name: str, page: str = PAGE) -> list[str]:
    """Return the cells of a release's row in a page."""
    (line,) = [line for line in page.splitlines() if line.startswith("|") and name in line.split("|")[1]]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_deployments_run_the_tested_spark_version() -> None:
    spark = PINS["pyspark"].rpartition(".")[0]
    assert spark == "4.1"
    for release in (read_default("EmrRelease"), BUNDLE["variables"]["spark_version"]["default"]):
        assert f"Spark {spark}" in read_row(f"`{release}`")[1], release


def test_delta_version_matches_spark_everywhere() -> None:
    spark = PINS["pyspark"].rpartition(".")[0]
    package = f"io.delta:delta-spark_{spark}_2.13:{PINS['delta-spark']}"
    assert read_conf(JARS_CONF)["spark.jars.packages"] == package
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["spark"]
    assert {f"pyspark=={PINS['pyspark']}", f"delta-spark=={PINS['delta-spark']}"} <= set(extra)


def test_older_tested_spark_release_is_documented() -> None:
    older = (ROOT / "tests/spark-4.0.txt").read_text()
    assert re.search(r"^pyspark==4\.0\.", older, re.MULTILINE)
    for release in ("`emr-spark-8.0.0`", "`17.3.x-scala2.13`"):
        assert "Spark 4.0" in read_row(release)[1]


@pytest.mark.parametrize(
    "release", ["`emr-spark-8.1.0`", "`emr-spark-8.0.0`", "`18.x-scala2.13`", "`17.3.x-scala2.13`"]
)
def test_every_release_has_an_end_date_and_a_dated_source(release: str) -> None:
    assert date.fromisoformat(re.findall(r"\d{4}-\d\d-\d\d", read_row(release)[2])[0]) > date(2026, 11, 28)
    source = read_row(release, SOURCES)[-1]
    assert re.search(r"https://\S+", source)
    assert re.search(r"read 2026-\d\d-\d\d", source)


def test_package_template_and_settings_use_the_same_python() -> None:
    assert read_default("EmrPython") == load_settings(flags={}, environ={}).emr_python == EMR_PYTHON
    assert EMR_PYTHON in TEMPLATE["Parameters"]["EmrPython"]["AllowedValues"]
    assert emr._parser().parse_args([]).python_version == EMR_PYTHON


def test_emrs_python_is_documented_with_its_sources() -> None:
    heading = "### The Python of a job on EMR"
    guide, sources = (text.partition(heading)[2].partition("\n## ")[0] for text in (PAGE, SOURCES))
    assert EMR_PYTHON in guide and EMR_PYTHON in sources
    assert len(re.findall(r"https://docs\.(?:aws\.amazon\.com|amazonaws\.cn)\S+", sources)) >= 2


def test_serverless_environment_version_is_documented() -> None:
    targets = yaml.safe_load((ROOT / "databricks.yml").read_text())["targets"]
    job = targets["dev-serverless"]["resources"]["jobs"]["daily_messages"]
    version = job["environments"][0]["spec"]["environment_version"]
    assert "environment version" in read_row(f"environment version {version}")[0]


# Properties whose change creates a new application; CloudFormation changes all others only in a stopped one.
REPLACING = {"Name", "Type"}


@pytest.mark.parametrize("page", ["deploy-aws.md", "deploy-aws.ja.md"])
def test_guide_lists_every_change_that_needs_a_stopped_application(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    begin, end = text.index("<!-- stopped application -->"), text.index("<!-- end -->")
    listed = set(re.findall(r"`([A-Za-z]+)`", text[begin:end]))
    properties = set(TEMPLATE["Resources"]["EmrApplication"]["Properties"]) - REPLACING
    assert properties | {"Tags"} <= listed
    parameters = set(re.findall(r"Emr[A-Za-z]+", str(TEMPLATE["Resources"]["EmrApplication"]["Properties"])))
    assert parameters <= listed


def test_hadoop_aws_matches_sparks_hadoop_version() -> None:
    import pyspark

    (client,) = (Path(pyspark.__file__).parent / "jars").glob("hadoop-client-api-*.jar")
    version = client.stem.removeprefix("hadoop-client-api-")
    assert HADOOP_AWS[-1] == version
    assert f"org.apache.hadoop:hadoop-aws:{version}" in (ROOT / "tests/support/s3a_cluster_run.py").read_text()
