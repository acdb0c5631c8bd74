"""A report of tenant-days as a page, as Markdown or as JSON."""

from typing import Literal

Lang = Literal["en", "ja"]
