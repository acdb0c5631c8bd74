"""The report's texts: one table for each language, with the same keys (texts_en.toml, texts_ja.toml)."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

Lang = Literal["en", "ja"]


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The texts of one language, by key: `headline.quiet`."""

    table: dict[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """A text with its values filled in; whole numbers with commas."""
        shown = {name: f"{value:,}" if isinstance(value, int) else value for name, value in values.items()}
        return self.table[key].format(**shown)


@cache
def load_texts(lang: Lang) -> Texts:
    """The texts of a language."""
    text = (resources.files(__package__) / f"texts_{lang}.toml").read_text(encoding="utf-8")
    return Texts(table=_flatten(tomllib.loads(text)))


def _flatten(table: dict[str, Any]) -> dict[str, str]:
    plain = {name: value for name, value in table.items() if isinstance(value, str)}
    nested = {name: inner for name, inner in table.items() if isinstance(inner, dict)}
    return plain | {f"{name}.{key}": text for name, inner in nested.items() for key, text in inner.items()}
