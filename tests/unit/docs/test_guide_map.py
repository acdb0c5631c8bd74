"""docs/project/guide-map.md covers every name of the operations guide, and its links are valid."""

import re

import pytest

from tests.support.day_runs import ROOT

FILE = ROOT / "docs/project/guide-map.md"
PAGE = FILE.read_text(encoding="utf-8")

# By the guide's chapters, in its own spelling.
NAMES = {
    "deployment on AWS": (
        *("pip install aws-sam-cli", "layers/python", "sam build", "sam deploy", "sam deploy --guided", "Python 3.11"),
        *("3008 MB", "15分", "function.zip", "daily_batch.py", "update-function-code", "makoto-daily-batch-processor"),
        *("cron(0 17 * * ? *)", "pandas", "pyarrow", "boto3", "EventBridge"),
    ),
    "permissions": (
        *("s3:GetObject", "s3:PutObject", "s3:ListBucket", "dynamodb:Query", "dynamodb:GetItem", "dynamodb:PutItem"),
        *("your-bucket-name", "makoto-metadata"),
    ),
    "deployment on Azure": (
        *("azure-functions-core-tools@4", "func init --python", "func start", "func azure functionapp publish"),
        "Azure Functions: Deploy to Function App",
    ),
    "host.json": (
        *("version", "logging", "applicationInsights", "samplingSettings", "isEnabled", "excludedTypes", "Request"),
        *("extensionBundle", "Microsoft.Azure.Functions.ExtensionBundle", "[3.*, 4.0.0)"),
    ),
    "requirements": ("azure-functions", "pandas", "pyarrow", "azure-storage-blob", "azure-cosmos"),
    "variables": (
        *("TENANT_ID", "default_tenant", "TARGET_DATE_OFFSET", "-1", "AWS_DEFAULT_REGION", "S3_BUCKET_NAME"),
        *("DYNAMODB_TABLE_NAME", "AZURE_STORAGE_CONNECTION_STRING", "COSMOS_ENDPOINT", "COSMOS_KEY"),
    ),
    "monitoring": (
        *("Invocations", "Duration", "Errors", "Throttles", "aws logs tail", "makoto-batch-failure", "バッチ処理失敗"),
        *("AWS/Lambda", "Sum", "86400", "GreaterThanOrEqualToThreshold", "traces", "requests", "cloud_RoleName"),
        *("makoto-daily-batch", "severityLevel", "avg_duration", "max_duration", "min_duration", "count"),
    ),
    "troubles": (
        *("メモリ不足", "MemoryError", "Premium Plan", "タイムアウト", "batch_processor.py", "batch_size", "並列処理"),
        *("Step Functions", "Logic Apps", "権限エラー", "AccessDenied", "マネージドID", "アクセスポリシー"),
    ),
    "costs": (
        "月100万リクエスト",
        "約$10/月",
        "月100万実行",
        "約$180/月",
        "小規模",
        "中規模",
        "大規模",
        "EMR",
        "Databricks",
    ),
}
LINE = re.compile(r"^\| (?!the guide )(?P<guide>.*?) ?\| (?P<verdict>[^|]+) \|(?P<how>.*)\|$", re.MULTILINE)
VERDICTS = ("same", "other", "not", "more")


@pytest.mark.parametrize("chapter", NAMES)
def test_every_name_of_the_guide_is_in_the_page(chapter: str) -> None:
    assert [name for name in NAMES[chapter] if name not in PAGE] == []


def test_each_item_has_a_verdict_and_each_difference_an_explanation() -> None:
    lines = list(LINE.finditer(PAGE))
    assert len(lines) > 60
    for line in lines:
        assert line["verdict"].split(",")[0].split()[0] in VERDICTS, line[0]
        assert line["verdict"] == "same" or line["how"].strip(), line[0]


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE)
    assert len(links) > 25
    assert [link for link in links if not (FILE.parent / link).exists()] == []
