"""Read template.yaml as a deployment, for the local AWS and for tests.

The template is the only source: none of its values is repeated here.
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
    declared: Mapping[str, Any] = document["Resources"]
    names = Names(resources=declared, physical=physical or {}, region=region, account=account, stack=stack)
    scope = Scope(document["Conditions"], chosen, names)
    common = document["Globals"]["Function"]
    resources = {
        logical_id: scope.resolve(_merge_globals(common, resource))
        for logical_id, resource in declared.items()
        if "Condition" not in resource or scope.holds(resource["Condition"])
    }
    return ResourceReader(names, scope, resources).deployment(
        declared["MetadataTable"]["Properties"], document["Outputs"]
    )


def _merge_globals(common: Properties, resource: Properties) -> Properties:
    """Return the resource; a function is merged with the template's Globals."""
    if resource["Type"] != "AWS::Serverless::Function":
        return resource
    return {**resource, "Properties": _merge(common, resource["Properties"])}


def _merge(common: Properties, specific: Properties) -> Properties:
    both = {
        name: _merge(common[name], specific[name])
        for name in set(common) & set(specific)
        if isinstance(common[name], Mapping) and isinstance(specific[name], Mapping)
    }
    return {**common, **specific, **both}
