"""Load settings, each with its origin: flags over the environment over <env>.toml over defaults.toml over defaults.

The environment is an argument: nothing else in the library reads settings from it.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

import msgspec

from daily_batch.domain.quality_rules import QualityRules, parse_quality_rules
from daily_batch.errors import UsageError
from daily_batch.settings.definition import DEFAULTS_FILE, DEFINITIONS, QUALITY, Settings, option_name
from daily_batch.settings.storage_options import read_options

PREFIX = "MAKOTO_"
ENV, CONF_DIR = "MAKOTO_ENV", "MAKOTO_CONF_DIR"
_REFERENCE = "see docs/settings.md"
_HINTS = {each.name: each.hint for each in DEFINITIONS}
# A later variable overrides an earlier one: MAKOTO_… comes last.
_VARIABLES = {each.meta.variable: each.name for each in DEFINITIONS if each.meta.variable}
_FLAGS = {"tenants": "--tenant", "table_format": "--format"}


class _Given(NamedTuple):
    name: str
    value: object
    origin: str


def load_settings(
    *,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    arguments: Mapping[str, object] | None = None,
    conf_dir: Path | None = None,
    env: str | None = None,
) -> Settings:
    """Load the settings of a process.

    Args:
        flags: Values by setting; None is a flag that was not given. Text is parsed as in the environment.
        environ: The environment variables.
        arguments: Values by setting, as a caller of the Python API gives them; None is one that was not given.
        conf_dir: The folder of `defaults.toml` and `<env>.toml`, both optional; by default MAKOTO_CONF_DIR.
        env: The name of the environment, such as prod; by default MAKOTO_ENV.

    Raises:
        UsageError: A name is unknown or a value is invalid; the message names the origin and contains no secret.
    """
    values: dict[str, object] = {}
    quality, options = Settings.quality, dict[str, str]()
    origins: dict[str, str] = {}
    for given in (
        *_from_files(environ, conf_dir, env),
        *_from_environment(environ),
        *_from_flags(flags),
        *_from_arguments(arguments or {}),
    ):
        value = _convert(given)
        if isinstance(value, QualityRules):
            quality = value.override(quality)
            origins |= {QUALITY + path: given.origin for path, _ in value.flatten()}
        elif isinstance(value, dict):
            options |= value
            origins |= {option_name(name): given.origin for name in value}
        else:
            values[given.name] = value
            origins[given.name] = given.origin
    # Each value was converted to its field's type.
    return Settings(**values, quality=quality, storage_options=options, origins=origins)  # type: ignore[arg-type]


def _from_files(environ: Mapping[str, str], conf_dir: Path | None, env: str | None) -> Iterator[_Given]:
    packaged = resources.files("daily_batch") / DEFAULTS_FILE
    if packaged.is_file():  # a deployment may pack one with the code
        yield from _from_toml(packaged, DEFAULTS_FILE)
    folder = conf_dir or (Path(environ[CONF_DIR]) if environ.get(CONF_DIR) else None)
    name = env or environ.get(ENV, "")
    if folder and (folder / DEFAULTS_FILE).exists():
        yield from _from_toml(folder / DEFAULTS_FILE, f"{folder.name}/{DEFAULTS_FILE}")
    if name and (folder is None or re.fullmatch(r"[a-z0-9_-]+", name) is None):
        raise UsageError(
            f"there are no settings for the environment {name[:40]!a}",
            next_step=f"give the conf folder ({CONF_DIR}) and the name of a file in it, such as prod",
        )
    if name and folder:
        yield from _from_toml(folder / f"{name}.toml", f"{folder.name}/{name}.toml")


def _from_toml(file: Traversable, origin: str) -> Iterator[_Given]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{origin} cannot be read: {type(error).__name__}", next_step="correct the file") from error
    return (_Given(name, value, origin) for name, value in table.items())


def _from_flags(flags: Mapping[str, object]) -> Iterator[_Given]:
    for name, value in flags.items():
        if value is not None:
            flag = _FLAGS.get(name, "--" + name.replace("_", "-"))
            yield _Given(name, _parse_text(name, value), f"flag {flag}")


def _from_arguments(arguments: Mapping[str, object]) -> Iterator[_Given]:
    for name, value in arguments.items():
        if value is not None:
            yield _Given(name, _parse_text(name, value), f"argument {name}")


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Given]:
    for variable, options in read_options(environ):
        yield _Given("storage_options", options, variable)
    if bucket := environ.get("S3_BUCKET_NAME"):
        yield from (_Given(name, f"s3://{bucket}", "S3_BUCKET_NAME") for name in ("input", "output"))
    prefixed = {variable: variable.removeprefix(PREFIX).lower() for variable in environ if variable.startswith(PREFIX)}
    for variable, name in (_VARIABLES | prefixed).items():
        # An empty variable counts as unset, except for tenants: no run must fall back to the default tenant by mistake.
        is_set = variable in environ and (environ[variable] or name == "tenants")
        if is_set and variable not in (ENV, CONF_DIR):
            yield _Given(name, _parse_text(name, environ[variable]), variable)


def _parse_text(name: str, value: object) -> object:
    """Return the value of a variable or a flag: lists are separated by commas, tables are JSON, the rest is text."""
    if not isinstance(value, str):
        return str(value) if isinstance(value, Path) else value
    if name == "tenants":
        # Strip spaces only: a line end is part of no tenant id, and is refused with it.
        return tuple(dict.fromkeys(tenant.strip(" ") for tenant in value.split(",")))
    return msgspec.Raw(value.encode()) if name in ("storage_options", "quality") else value


def _convert(given: _Given) -> object:
    if given.name not in _HINTS:
        raise UsageError(f"{given.origin} sets {given.name[:60]!a}, which is not a setting", next_step=_REFERENCE)
    try:
        if given.name == "quality":
            return parse_quality_rules(_parse_table(given.value))
        if isinstance(given.value, msgspec.Raw):
            return msgspec.json.decode(given.value, type=dict[str, str])
        from_file = given.origin.endswith(".toml")
        return msgspec.convert(given.value, _HINTS[given.name], strict=from_file)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"{given.name} from {given.origin}: {error}", next_step=_REFERENCE) from error


def _parse_table(value: object) -> dict[str, object]:
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value, type=dict[str, object])
    return msgspec.convert(value, dict[str, object])
