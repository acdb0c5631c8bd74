"""Read template.yaml as a deployment, for the local AWS and for tests.

The template stays the only source: no value of it is repeated here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.local_cloud.aws.cloudformation import Scope, choose_parameters, load_template
from tests.local_cloud.aws.deployment import Deployment
from tests.local_cloud.aws.resource_names import Names
from tests.local_cloud.aws.resources import ResourceReader
from tests.local_cloud.common.downloads import ROOT

TEMPLATE = ROOT / "template.yaml"

Properties = Mapping[str, Any]


def read_deployment(
    path: Path = TEMPLATE,
    *,
    parameters: Mapping[str, str],
    physical: Mapping[str, str] | None = None,
    region: str = "ap-northeast-1",
    account: str = "123456789012",
    stack: str = "makoto-daily-batch",
) -> Deployment:
    """Return a deployment of the template.

    Args:
        parameters: values that override the template's defaults.
        physical: what Ref returns for a logical id, where the local services chose the name.

    Raises:
        UsageError: a parameter is unknown, missing or not allowed.
    """
    document = load_template(path)
    chosen = choose_parameters(document, parameters)
    made: Mapping[str, Any] = document["Resources"]
    names = Names(resources=made, physical=physical or {}, region=region, account=account, stack=stack)
    scope = Scope(document["Conditions"], chosen, names)
    common = document["Globals"]["Function"]
    resources = {
        logical_id: scope.resolve(_with_common(common, resource))
        for logical_id, resource in made.items()
        if "Condition" not in resource or scope.holds(resource["Condition"])
    }
    return ResourceReader(names, scope, resources).deployment(made["MetadataTable"]["Properties"], document["Outputs"])


def _with_common(common: Properties, resource: Properties) -> Properties:
    """Return the resource; a function is merged with the template's Globals."""
    if resource["Type"] != "AWS::Serverless::Function":
        return resource
    return {**resource, "Properties": _join(common, resource["Properties"])}


def _join(common: Properties, own: Properties) -> Properties:
    both = {
        name: _join(common[name], own[name])
        for name in set(common) & set(own)
        if isinstance(common[name], Mapping) and isinstance(own[name], Mapping)
    }
    return {**common, **own, **both}
