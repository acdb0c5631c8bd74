"""Evaluate the expressions of our Bicep files for given parameters; values that only Azure knows stay as <text>."""

from collections.abc import Mapping
from typing import Any

from tree_sitter import Node

from tests.support.deployment.bicep_files import BicepFile, read_data, read_key, read_text, show


class Values:
    """The values of a file's parameters and variables."""

    def __init__(self, file: BicepFile, **given: Any) -> None:
        self._given: Mapping[str, Any] = given
        self._declared = file.of_kind("variable") | file.of_kind("parameter")

    def find(self, name: str) -> Any:
        """Return the value of a parameter or a variable."""
        if name in self._given:
            return self._given[name]
        node = self._declared[name].value if name in self._declared else None
        return f"<{name}>" if node is None else self.resolve(node)

    def resolve(self, node: Node) -> Any:
        """Return the value of an expression."""
        children = [each for each in node.named_children if each.type != "comment"]
        match node.type:
            case "identifier":
                return self.find(show(node))
            case "string":
                parts = (self._text(each) for each in children)
                return "".join(parts) if children else read_text(show(node))
            case "object":
                return {read_key(each): self.resolve(each.named_children[1]) for each in children}
            case "array":
                return [self.resolve(each) for each in children]
            case "ternary_expression":
                return self.resolve(children[1] if self.resolve(children[0]) else children[2])
            case "unary_expression" if show(node).startswith("!"):
                return not self.resolve(children[0])
            case "call_expression":
                return self._call(node, show(children[0]), children[1].named_children)
            case "member_expression" | "binary_expression" | "subscript_expression" | "for_statement":
                return f"<{show(node)}>"
            case _:
                return read_data(node)

    def _text(self, part: Node) -> str:
        if part.type == "interpolation":
            return str(self.resolve(part.named_children[0]))
        return show(part).replace("\\'", "'")

    def _call(self, node: Node, name: str, arguments: list[Node]) -> Any:
        match name, [self.resolve(each) for each in arguments if each.type not in ("comment", "lambda_expression")]:
            case "string", [value]:
                return str(value)
            case "empty", [value]:
                return not value
            case "replace", [str(text), str(old), str(new)]:
                return text.replace(old, new)
            case "union", [*objects]:
                return {key: value for each in objects for key, value in each.items()}
            case _:
                return f"<{show(node)}>"
