"""Check a Bicep file without the compiler: names, types and module parameters.

Types are Bicep's own (azure_types.json, made by tools/azure-types). Not checked: the types of expressions, the
arguments of functions, and everything that only Azure knows.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, validators
from tree_sitter import Node

from tests.support.deployment.bicep_files import EITHER, EXPRESSION, BicepFile, Declaration, read_bicep, show, walk

TYPES = json.loads(Path(__file__).parents[2].joinpath("data/azure_types.json").read_text(encoding="utf-8"))["types"]
FUNCTIONS = {
    *("contains", "empty", "filter", "guid", "replace", "string", "take", "union", "uniqueString"),
    *("environment", "resourceGroup", "subscriptionResourceId", "readEnvironmentVariable"),
}
# The properties that Bicep allows in any resource, beside those of its type, and in a module.
RESOURCE_PROPERTIES = {"parent", "scope", "dependsOn"}
MODULE_PROPERTIES = {"name", "scope", "params", "dependsOn"}
KINDS: dict[str, Any] = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}
BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "minLength": lambda value, bound: len(value) >= bound,
    "maxLength": lambda value, bound: len(value) <= bound,
    "minValue": lambda value, bound: value >= bound,
    "maxValue": lambda value, bound: value <= bound,
    "allowed": lambda value, bound: value in bound,
}


def is_expression(value: Any) -> bool:
    """Return whether a value is only known at deployment."""
    return isinstance(value, dict) and EXPRESSION in value


def _skip_expressions(keyword: Any) -> Any:
    """Return a schema keyword that checks literals, and of a conditional its alternatives, but no other expression."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if not is_expression(instance):
            yield from keyword(validator, value, instance, schema) or ()
        for each in instance.get(EITHER, ()) if is_expression(instance) else ():
            yield from () if each == {EXPRESSION: "null"} else check(validator, value, each, schema)

    return check


_KEYWORDS = {name: _skip_expressions(each) for name, each in Draft202012Validator.VALIDATORS.items()}
_Schema = validators.extend(Draft202012Validator, _KEYWORDS)


def find_problems(file: BicepFile) -> list[str]:
    """Return all problems of a file."""
    if file.faults:
        return [f"{each} cannot be parsed" for each in file.faults]
    if file.path.suffix == ".bicepparam":
        values = {name: each.data for name, each in file.of_kind("variable").items()}
        main = read_bicep(file.path.with_name("main.bicep"))
        return [*_find_functions(file), *_check_parameters(values, main, file.path.name)]
    finders = (_find_functions, _find_names, _find_members, _find_defaults, _find_types, _find_modules)
    return [problem for find in finders for problem in find(file)]


def _find_functions(file: BicepFile) -> Iterator[str]:
    names = (show(each.named_children[0]) for each in walk(file.root) if each.type == "call_expression")
    decorators = {*BOUNDS, "description", "secure"}
    yield from (f"{name}() is unknown" for name in names if name not in FUNCTIONS | decorators)


def _find_names(file: BicepFile) -> Iterator[str]:
    declared = [each.name for each in file.declarations if each.kind != "output"]
    yield from (f"{name} is declared twice" for name in set(declared) if declared.count(name) > 1)
    used = {name for each in file.declarations for name in find_references(each.node)}
    yield from (f"{name} is not declared" for name in used - set(declared))
    required = (each for each in file.declarations if each.kind in ("parameter", "variable") or each.existing)
    yield from (f"{each.name} is not used" for each in required if each.name not in used)


def find_references(declaration: Node) -> set[str]:
    """Return the names that a declaration refers to, without its own loop and lambda variables."""
    (own, *rest) = declaration.named_children
    assert own.type == "identifier"
    return {name for each in rest for name in _refer(each, frozenset())}


def _refer(node: Node, local: frozenset[str]) -> Iterator[str]:
    children = node.named_children
    match node.type:
        case "identifier":
            yield from {show(node)} - local
            return
        case "object_property":
            children = children[1:] if children[0].type == "identifier" else children
        case "call_expression":
            children = children[1:]
        case "type":
            return
        case "for_statement":
            names = {show(each) for each in walk(children[0]) if not each.named_children and each.is_named}
            yield from _refer(children[1], local)
            local, children = local | names, children[2:]
        case "lambda_expression":
            local, children = local | {show(children[0])}, children[1:]
    for child in children:
        yield from _refer(child, local)


def _find_members(file: BicepFile) -> Iterator[str]:
    """Yield members of a loop variable that an entry of its array lacks."""
    arrays = {name: each.data for name, each in file.of_kind("variable").items() if isinstance(each.data, list)}
    for loop in (each for each in walk(file.root) if each.type == "for_statement"):
        item, entries = show(loop.named_children[0]), arrays.get(show(loop.named_children[1]), [])
        members = {show(each) for each in walk(loop) if each.type == "member_expression"}
        used = {text.removeprefix(f"{item}.") for text in members if text.startswith(f"{item}.")}
        yield from (f"an entry lacks {name}, or it is not used" for each in entries for name in used ^ set(each))


def _find_defaults(file: BicepFile) -> Iterator[str]:
    for each in file.of_kind("parameter").values():
        if each.value is not None:
            yield from _check_value(each, each.data)


def _check_value(parameter: Declaration, value: Any) -> Iterator[str]:
    if is_expression(value):
        return
    if type(value) is not KINDS[parameter.type]:
        yield f"{parameter.name} is of type {parameter.type}, but its value is {value!r}"
        return
    for name, bound in parameter.decorators.items():
        if name in BOUNDS and not BOUNDS[name](value, bound):
            yield f"{parameter.name} is {value!r}, which violates its {name}"


def _check_parameters(values: Mapping[str, Any], file: BicepFile, caller: str) -> Iterator[str]:
    """Check the values that a caller, a parameter file or a module, passes to a file's parameters."""
    parameters = file.of_kind("parameter")
    for name, value in values.items():
        if name in parameters:
            yield from _check_value(parameters[name], value)
        else:
            yield f"{caller} passes {name}, which {file.path.name} does not declare"
    required = {name for name, each in parameters.items() if each.value is None}
    yield from (f"{caller} does not pass {name}" for name in required - set(values))


def _find_types(file: BicepFile) -> Iterator[str]:
    for each in file.of_kind("resource").values():
        if each.type not in TYPES:
            yield f"{each.name} is of the unknown type {each.type}"
        elif each.existing:
            if not {"name"} <= set(each.data) <= {"name", *RESOURCE_PROPERTIES}:
                yield f"{each.name} exists already: it takes only a name, a parent and a scope"
        else:
            body = {name: value for name, value in each.data.items() if name not in RESOURCE_PROPERTIES}
            schema = _Schema(TYPES[each.type])
            errors = (error for made in _repeat(body, each, file) for error in schema.iter_errors(made))
            yield from (f"{each.name}: {error.json_path} {error.message[:200]}" for error in errors)


def _repeat(body: Any, resource: Declaration, file: BicepFile) -> Iterator[Any]:
    """Yield the body of a resource, or of each iteration of its loop over an array of the file."""
    loop = next((each for each in walk(resource.node) if each.type == "for_statement"), None)
    array = file.of_kind("variable").get(show(loop.named_children[1])) if loop else None
    if loop is None or array is None or not isinstance(array.data, list):
        yield body
        return
    yield from (_fill(body, f"{show(loop.named_children[0])}.", entry) for entry in array.data)


def _fill(value: Any, prefix: str, entry: Mapping[str, Any]) -> Any:
    if is_expression(value):
        text = value[EXPRESSION]
        known = entry.get(text.removeprefix(prefix)) if text.startswith(prefix) else None
        return value if known is None else known
    if isinstance(value, dict):
        return {name: _fill(each, prefix, entry) for name, each in value.items()}
    return [_fill(each, prefix, entry) for each in value] if isinstance(value, list) else value


def _find_modules(file: BicepFile) -> Iterator[str]:
    for each in file.of_kind("module").values():
        path = file.path.with_name(each.type)
        if not path.exists():
            yield f"{each.name}: the file {each.type} is missing"
            continue
        module = read_bicep(path)
        yield from (f"{each.name} has no {name}" for name in set(each.data) - MODULE_PROPERTIES)
        yield from _check_parameters(each.data.get("params", {}), module, each.name)
        prefix, outputs = f"{each.name}.outputs.", module.of_kind("output")
        members = {show(node) for node in walk(file.root) if node.type == "member_expression"}
        used = {text.removeprefix(prefix).split(".")[0] for text in members if text.startswith(prefix)}
        yield from (f"{each.name} has no output {name}" for name in used - set(outputs))
