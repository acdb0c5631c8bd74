"""Tables of DynamoDB Local for tests."""

from typing import Any, NamedTuple

import boto3

REGION = "us-east-1"
KEY = "test"


class DynamoDbTable(NamedTuple):
    """A table with the platform's keys, and the environment with which a process finds it."""

    endpoint: str
    name: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_DYNAMODB": self.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "DYNAMODB_TABLE_NAME": self.name,
        }

    def client(self) -> Any:
        return boto3.client(
            "dynamodb",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=KEY,
        )

    def create(self) -> None:
        names = {"PK": "HASH", "SK": "RANGE"}
        self.client().create_table(
            TableName=self.name,
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in names.items()],
            BillingMode="PAY_PER_REQUEST",
        )
