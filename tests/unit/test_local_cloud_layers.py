"""The local cloud's packages do not import each other in a circle. Computed from the code."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from tests.support.day_runs import ROOT

PACKAGE = "tests.local_cloud"


def package_imports() -> dict[str, set[str]]:
    """Return the packages that each package's modules import, without itself."""
    graph: dict[str, set[str]] = {}
    for path in Path(ROOT, *PACKAGE.split(".")).rglob("*.py"):
        package = ".".join(path.relative_to(ROOT).parent.parts)
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        modules = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        imported = {name.rpartition(".")[0] for name in modules if name.startswith(f"{PACKAGE}.")}
        graph.setdefault(package, set()).update(imported - {package})
    return graph


def test_packages_have_no_import_cycle() -> None:
    graph = package_imports()
    assert {f"{PACKAGE}.aws.emr", f"{PACKAGE}.azure.databricks"} <= set(graph)
    TopologicalSorter(graph).prepare()  # raises CycleError
