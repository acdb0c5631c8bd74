"""Parse Bicep files with tree-sitter: declarations, references, and values as plain data.

pip cannot install Bicep's compiler, so this parses the files and does not compile them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

FOLDER = Path(__file__).parents[3] / "infra/azure"
# The keys of an expression's text, and of the alternatives of a conditional.
EXPRESSION, EITHER = "<expression>", "<either>"
_PARSER = Parser(Language(tree_sitter_bicep.language()))
_KINDS = ("parameter", "variable", "resource", "module", "output")
_CONSTANTS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A `param`, `var`, `resource`, `module` or `output`, with its decorators by name."""

    kind: str
    name: str
    # The type of a parameter or output, the type@version of a resource, or the file of a module.
    type: str
    existing: bool
    node: Node = field(repr=False)
    decorators: Mapping[str, Any]

    @property
    def value(self) -> Node | None:
        """The default, the value, or the object of a resource or module inside any condition or loop."""
        nodes = [each for each in self.node.named_children[1:] if each.type not in ("type", "comment")]
        found = nodes[-1] if len(nodes) > (self.kind in ("resource", "module")) else None
        while found is not None and self.kind in ("resource", "module") and found.type != "object":
            found = next(each for each in reversed(found.named_children) if each.type in ("object", "if_statement"))
        return found

    @property
    def data(self) -> Any:
        """The value as plain data; see `read_data`."""
        return None if self.value is None else read_data(self.value)

    def property(self, *names: str) -> Node:
        """Return the value at a path of properties."""
        node = self.value
        for name in names:
            assert node is not None
            entries = (each for each in node.named_children if each.type == "object_property")
            node = next(each.named_children[1] for each in entries if read_key(each) == name)
        assert node is not None
        return node


@dataclass(frozen=True, kw_only=True)
class BicepFile:
    """A .bicep or .bicepparam file; `faults` are the nodes that could not be parsed."""

    path: Path
    declarations: tuple[Declaration, ...]
    faults: tuple[str, ...]
    root: Node = field(repr=False)

    def of_kind(self, kind: str) -> dict[str, Declaration]:
        """Return the declarations of one kind by name."""
        return {each.name: each for each in self.declarations if each.kind == kind}

    def of_type(self, name: str) -> list[Declaration]:
        """Return the resources of a type in any version, without `existing` ones."""
        found = self.of_kind("resource").values()
        return [each for each in found if each.type.partition("@")[0] == name and not each.existing]


def read_bicep(path: Path, text: str | None = None) -> BicepFile:
    """Parse a file, or `text` instead."""
    text = path.read_text(encoding="utf-8") if text is None else text
    if path.suffix == ".bicepparam":
        # The grammar lacks parameter assignments, which look like variables.
        lines = text.replace("using 'main.bicep'\n", "\n", 1).split("\n")
        text = "\n".join(f"var{line.removeprefix('param')}" if line.startswith("param ") else line for line in lines)
    root = _PARSER.parse(text.encode()).root_node
    faults = (f"{path.name}:{each.start_point.row + 1}" for each in walk(root) if each.is_error or each.is_missing)
    return BicepFile(path=path, declarations=tuple(_find(root)), faults=tuple(faults), root=root)


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all its descendants."""
    yield node
    for child in node.children:
        yield from walk(child)


def show(node: Node) -> str:
    """Return the text of a node."""
    return (node.text or b"").decode()


def read_data(node: Node) -> Any:
    """Return objects, arrays and literals as Python values, other expressions as {EXPRESSION: text} or with EITHER."""
    match node.type:
        case "object":
            entries = [each for each in node.named_children if each.type == "object_property"]
            return {read_key(each): read_data(each.named_children[1]) for each in entries}
        case "array":
            return [read_data(each) for each in node.named_children if each.type != "comment"]
        case "string" if not any(each.type == "interpolation" for each in node.named_children):
            return read_text(show(node))
        case "number":
            return int(show(node))
        case "unary_expression" if show(node).removeprefix("-").isdecimal():
            return int(show(node))
        case "boolean" | "null" if show(node) != "null":
            return _CONSTANTS[show(node)]
        case "ternary_expression":
            return {EXPRESSION: show(node), EITHER: [read_data(each) for each in node.named_children[1:]]}
        case _:
            return {EXPRESSION: show(node)}


def read_text(text: str) -> str:
    """Return the value of a string literal without interpolation."""
    if text.startswith("'''"):
        return text[3:-3].removeprefix("\n")
    return text[1:-1].replace("\\'", "'")


def read_key(entry: Node) -> str:
    """Return the name of a property."""
    return show(entry.named_children[0]).strip("'")


def _find(root: Node) -> Iterator[Declaration]:
    decorators: dict[str, Any] = {}
    for node in root.named_children:
        kind = node.type.removesuffix("_declaration")
        if node.type == "decorators":
            decorators = dict(map(_read_decorator, node.named_children))
        elif kind in _KINDS:
            name, second = node.named_children[0], next(iter(node.named_children[1:]), None)
            type_ = show(second).strip("'") if second is not None and kind != "variable" else ""
            existing = any(each.type == "existing" for each in node.children)
            yield Declaration(
                kind=kind, name=show(name), type=type_, existing=existing, node=node, decorators=decorators
            )
            decorators = {}


def _read_decorator(node: Node) -> tuple[str, Any]:
    name, arguments = node.named_children[0].named_children
    return show(name), read_data(arguments.named_children[0]) if arguments.named_children else True
