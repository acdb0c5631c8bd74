"""SAM CLI and cfn-lint accept template.yaml and find mistakes in it; what SAM builds fits into a function."""

import json
from pathlib import Path

import pytest

from tests.local_cloud.aws.template import TEMPLATE, read_deployment
from tests.support.deployment.sam_cli import run

pytestmark = pytest.mark.long  # it installs or builds packages

DATA = {"DataBucketName": "makoto-data", "PackageVersion": "0.1.0-0123456789ab"}
# Lambda's limit for a function with its layers, unpacked.
UNPACKED_LIMIT_BYTES = 262_144_000
# Mistakes that the linter must report: the original text and the wrong one.
MISTAKES = {
    "property": ("VisibilityTimeout:", "VisibilityTimout:"),
    "reference": ("!GetAtt TaskQueue.Arn", "!GetAtt TaskQeueu.Arn"),
    "attribute": ("!GetAtt JobRole.Arn", "!GetAtt JobRole.Arm"),
    "value": ("Architecture: ARM64", "Architecture: ARM46"),
    "parameter": ("!Ref LogRetentionDays", "!Ref LogRetentionDay"),
    "effect": ("Effect: Deny", "Effect: Denied"),
    "principal": ("Principal: {Service: lambda", "Principle: {Service: lambda"),
    "range": ("MaximumRetryAttempts: 10,", "MaximumRetryAttempts: 1000,"),
}


def sum_file_sizes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_sam_validates_the_template_without_an_account(tmp_path: Path) -> None:
    done = run("sam", ["validate", "--lint"], home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid SAM Template" in done.stdout


def test_cfn_lint_reports_nothing(tmp_path: Path) -> None:
    done = run("cfn-lint", [str(TEMPLATE)], home=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")


def test_cfn_lint_reports_each_mistake(tmp_path: Path) -> None:
    text, files = TEMPLATE.read_text(encoding="utf-8"), {}
    for name, (original, wrong) in MISTAKES.items():
        assert original in text
        files[str(tmp_path / f"{len(files)}.yaml")] = name
        (tmp_path / f"{len(files) - 1}.yaml").write_text(text.replace(original, wrong), encoding="utf-8")
    done = run("cfn-lint", ["--format", "json", *files], home=tmp_path)
    reported = {files[found["Filename"]] for found in json.loads(done.stdout) if found["Level"] == "Error"}
    assert reported == set(MISTAKES)


def test_sam_build_fits_lambdas_size_limit(tmp_path: Path) -> None:
    deployment, built = read_deployment(parameters=DATA), tmp_path / "built"
    done = run("sam", ["build", "--build-dir", str(built)], home=tmp_path)
    assert done.returncode == 0, done.stderr
    layer = sum_file_sizes(built / "DependenciesLayer")
    assert (built / "DependenciesLayer/python/duckdb").exists()
    for logical_id, function in deployment.functions.items():
        module = function.handler.rpartition(".")[0].replace(".", "/")
        assert (built / logical_id / f"{module}.py").exists()
        assert (built / logical_id / "daily_batch/orchestration/dispatch.py").exists()
        assert sum_file_sizes(built / logical_id) + layer < UNPACKED_LIMIT_BYTES
