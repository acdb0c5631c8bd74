"""Resolve Ref and GetAtt of a resource to its name, its ARN or a queue's URL."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Resolve = Callable[[Any], Any]


class _Kind(NamedTuple):
    """A resource type: the property that names it, its ARN, and what Ref returns if not the name."""

    named_by: str
    arn: str
    reference: str = "{name}"


_KINDS = {
    "AWS::DynamoDB::Table": _Kind("TableName", "arn:aws:dynamodb:{region}:{account}:table/{name}"),
    "AWS::EMRServerless::Application": _Kind("", "arn:aws:emr-serverless:{region}:{account}:/applications/{name}"),
    "AWS::Events::Rule": _Kind("Name", "arn:aws:events:{region}:{account}:rule/{name}"),
    "AWS::IAM::Role": _Kind("RoleName", "arn:aws:iam::{account}:role/{name}"),
    "AWS::Logs::LogGroup": _Kind("LogGroupName", "arn:aws:logs:{region}:{account}:log-group:{name}:*"),
    "AWS::S3::Bucket": _Kind("BucketName", "arn:aws:s3:::{name}"),
    "AWS::SNS::Topic": _Kind("TopicName", *["arn:aws:sns:{region}:{account}:{name}"] * 2),
    "AWS::SQS::Queue": _Kind(
        "QueueName", "arn:aws:sqs:{region}:{account}:{name}", "https://sqs.{region}.amazonaws.com/{account}/{name}"
    ),
    "AWS::Serverless::Function": _Kind("FunctionName", "arn:aws:lambda:{region}:{account}:function:{name}"),
    "AWS::Serverless::LayerVersion": _Kind("LayerName", *["arn:aws:lambda:{region}:{account}:layer:{name}:1"] * 2),
}
_APPLICATION = "00local0application"


@dataclass(frozen=True, kw_only=True)
class Names:
    """The resource names of one stack. `physical` overrides what Ref returns for a logical id."""

    resources: Mapping[str, Mapping[str, Any]]
    physical: Mapping[str, str]
    region: str
    account: str
    stack: str

    def reference(self, name: str, resolve: Resolve) -> str:
        """Return Ref of a resource or a pseudo parameter; `resolve` evaluates a property."""
        pseudo = {
            "AWS::AccountId": self.account,
            "AWS::Partition": "aws",
            "AWS::Region": self.region,
            "AWS::StackName": self.stack,
        }
        if name in pseudo or name in self.physical:
            return {**pseudo, **self.physical}[name]
        return self._write(self._kind(name).reference, name, resolve)

    def attribute(self, logical_id: str, attribute: str, resolve: Resolve) -> str:
        """Return GetAtt of a resource.

        Raises:
            ValueError: the attribute is neither the ARN nor the name.
        """
        kind = self._kind(logical_id)
        if attribute not in ("Arn", kind.named_by):
            raise ValueError(f"{logical_id}.{attribute} is not supported")
        return self._write(kind.arn if attribute == "Arn" else "{name}", logical_id, resolve)

    def _kind(self, logical_id: str) -> _Kind:
        return _KINDS[self.resources[logical_id]["Type"]]

    def _write(self, form: str, logical_id: str, resolve: Resolve) -> str:
        return form.format(name=self._name(logical_id, resolve), region=self.region, account=self.account)

    def _name(self, logical_id: str, resolve: Resolve) -> str:
        kind, resource = self._kind(logical_id), self.resources[logical_id]
        if kind.reference == "{name}" and logical_id in self.physical:
            return self.physical[logical_id]
        if kind.named_by in resource["Properties"]:
            return str(resolve(resource["Properties"][kind.named_by]))
        if resource["Type"] == "AWS::EMRServerless::Application":
            return _APPLICATION
        generated = f"{self.stack}-{logical_id}"
        return generated.lower() if resource["Type"] == "AWS::S3::Bucket" else generated
