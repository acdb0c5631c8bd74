"""The library's layers, computed from the code: which folder may import which, no cycles, short modules."""

import ast
from pathlib import Path
from statistics import median

from tests.support.day_runs import ROOT

PACKAGE = Path(ROOT, "jobs/daily_batch")
DOMAIN = {"domain", "errors"}
BASE = DOMAIN | {"settings", "telemetry", "storage"}
STORES = BASE | {"metadata", "ledger"}
# What each folder, or module at the root, may import besides itself: dependencies point inward.
MAY_IMPORT = {
    "errors": set[str](),
    "domain": DOMAIN,
    "telemetry": DOMAIN,
    "settings": DOMAIN,
    "storage": DOMAIN | {"settings", "telemetry"},
    "metadata": BASE,
    "ledger": BASE | {"metadata"},
    "synthetic": DOMAIN,
    "pipeline": STORES,
    "catalog": STORES | {"pipeline"},
    "maintenance": STORES | {"pipeline"},
    "orchestration": STORES | {"pipeline", "catalog", "synthetic"},
    "reporting": STORES | {"pipeline", "orchestration"},
    "cli": STORES | {"pipeline", "catalog", "maintenance", "orchestration", "reporting", "synthetic"},
    "entrypoints": STORES | {"pipeline", "catalog", "maintenance", "orchestration", "cli", "synthetic"},
    "api": STORES | {"pipeline", "orchestration"},
    "": {"api", "cli", "errors"},
}
# Modules at the root of the package besides __init__ and __main__.
AT_ROOT = {"api", "errors", "telemetry"}
MAX_LINES = 300


def find_modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def find_imports() -> dict[str, set[str]]:
    """Return the modules that each module imports, also inside functions, except for type checking only."""
    known = find_modules()
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        typing_only = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        graph[name] = set()
        for node in ast.walk(tree):
            if id(node) in typing_only or not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            package, _, inner = node.module.partition(".")
            if package != "daily_batch":
                continue
            for alias in node.names:
                qualified = f"{inner}.{alias.name}" if inner else alias.name
                target = qualified if qualified in known else inner
                if target != name:
                    graph[name].add(target)
    return graph


def folder_of(module: str) -> str:
    return "" if module in ("", "__main__") else module.partition(".")[0]


def test_dependencies_point_inward() -> None:
    violations = {
        f"{name} -> {other}"
        for name, others in find_imports().items()
        for other in others
        if folder_of(other) != folder_of(name) and folder_of(other) not in MAY_IMPORT[folder_of(name)]
    }
    assert violations == set()


def test_there_are_no_import_cycles() -> None:
    graph = find_imports()
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_package_root_holds_three_modules() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"} == AT_ROOT


def test_modules_are_short() -> None:
    sizes = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in find_modules().items()}
    assert {name: size for name, size in sizes.items() if size > MAX_LINES} == {}
    assert 80 <= median(size for name, size in sizes.items() if find_modules()[name].name != "__init__.py") <= 140
