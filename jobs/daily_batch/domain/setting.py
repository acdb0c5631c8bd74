"""The metadata of a setting, for `Annotated`: the single source of its documentation, help, bounds and scope."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Setting:
    """What a setting does, and which values are valid.

    Attributes:
        description: What it does, in one line of Markdown.
        variable: The operations guide's environment variable, read beside `MAKOTO_<NAME>`; empty if there is none.
        job: Whether a submitted Spark job needs it, and the job's arguments do not carry it.
        ge: The least valid number.
        le: The greatest valid number.
        pattern: The regular expression that valid text matches.
    """

    description: str
    variable: str = ""
    job: bool = False
    ge: int | None = None
    le: int | None = None
    pattern: str | None = None

    @property
    def bounds(self) -> dict[str, Any]:
        """The constraints that are set."""
        bounds = {"ge": self.ge, "le": self.le, "pattern": self.pattern}
        return {name: bound for name, bound in bounds.items() if bound is not None}
