"""Documentation that derives from the definitions: docs/settings.md and the help of flags."""

import inspect
import re
from collections.abc import Iterator
from typing import Literal, get_args, get_origin

from daily_batch.domain.quality_rules import QualityRules
from daily_batch.settings.definition import DEFINITIONS, GROUPS, Definition

_KINDS = {int: "integer", float: "number", str: "text", bool: "`true` or `false`", tuple: "list of text"}
_DOC = re.compile(r"docs/([a-z-]+\.md)")
_INTRODUCTION = """# Settings

Every setting with its values, default, meaning and variable. Generated from `jobs/daily_batch/settings/groups.py` by
`tools/settings`; do not edit.

The value of a setting comes from the first of these that gives one:

1. a flag of the command;
2. an environment variable: `MAKOTO_<NAME>`, or the operations guide's name, listed under *variable*;
3. `<env>.toml` (`--env` or `MAKOTO_ENV`, such as `prod`) in the conf folder (`--conf` or `MAKOTO_CONF_DIR`);
4. `defaults.toml` in the conf folder;
5. `jobs/daily_batch/defaults.toml`, packed with the code: add it to change the defaults of a deployment;
6. the default below.

`--show-config` prints each value and its origin, with secrets masked. An unknown name or an invalid value ends a
command with exit status 2.

*job*: a submitter passes the setting to its Spark job if it was given.
"""


def render_reference() -> str:
    """Return docs/settings.md."""
    return "\n".join([_INTRODUCTION, *(line for group in GROUPS for line in _render_group(group))])


def help_text(name: str) -> str:
    """Return the help of a setting's flag: its description, and its variable or default."""
    each = next(each for each in DEFINITIONS if each.name == name)
    default = each.meta.variable or _render_default(each)
    return f"{each.meta.description}{f' Default: {default}.' if default else ''}".replace("`", "")


def _render_group(group: type) -> Iterator[str]:
    summary, _, introduction = inspect.cleandoc(str(group.__doc__)).partition("\n")
    title, _, page = summary.rstrip(".)").partition(" (docs/")
    yield f"## {title}\n"
    if introduction.strip():
        yield f"{introduction.strip()}\n"
    if page:
        yield f"See [{page}]({page}).\n"
    yield "| setting | values | default | meaning | variable | job |\n|---|---|---|---|---|---|"
    for each in DEFINITIONS:
        if each.group is group:
            variable = f"`{each.meta.variable}`" if each.meta.variable else ""
            meaning = _DOC.sub(r"[\1](\1)", each.meta.description)
            cells = (f"`{each.name}`", _render_values(each), _render_default(each), meaning)
            yield f"| {' | '.join(cells)} | {variable} | {'yes' if each.meta.job else ''} |"
    yield ""


def _render_values(each: Definition) -> str:
    if get_origin(each.type) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(each.type))
    kind = _KINDS.get(get_origin(each.type) or each.type, "table")
    if each.meta.pattern:
        return f"{kind} matching `{each.meta.pattern.replace('|', chr(92) + '|')}`"
    if each.meta.le is not None:
        return f"{kind}, {each.meta.ge:,} to {each.meta.le:,}"
    return kind if each.meta.ge is None else f"{kind} ≥ {each.meta.ge:,}"


def _render_default(each: Definition) -> str:
    if isinstance(each.default, QualityRules):
        return ", ".join(f"`{path}` {rule}" for path, rule in each.default.flatten())
    if isinstance(each.default, bool):
        return f"`{str(each.default).lower()}`"
    if isinstance(each.default, int):
        return f"{each.default:,}"
    if isinstance(each.default, float):
        return f"{each.default:g}"
    if isinstance(each.default, tuple):
        return ", ".join(f"`{value}`" for value in each.default)
    return f"`{each.default}`" if each.default and isinstance(each.default, str) else ""
