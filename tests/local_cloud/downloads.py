"""Download what the local clouds run, once, before tests that share it run in several processes."""

from tests.local_cloud.aws import dynamodb_local
from tests.local_cloud.aws.emr import spark_site
from tests.local_cloud.azure import cosmos
from tests.local_cloud.azure.functions import worker
from tests.local_cloud.azure.storage import azurite


def main() -> None:
    """Download every package that is not in .cache/ yet."""
    for name, install in {
        "DynamoDB Local": dynamodb_local.install,
        "Hadoop's S3 client": spark_site.install_hadoop_aws,
        "Azurite": azurite.install,
        "a Cosmos DB server": cosmos.install,
        "the Azure Functions worker": worker.install,
    }.items():
        print(f"    {name}", flush=True)
        install()


if __name__ == "__main__":
    main()
