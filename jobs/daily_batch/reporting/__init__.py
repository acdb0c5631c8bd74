"""The report of tenant-days as an HTML page, Markdown or JSON."""

from typing import Literal

Lang = Literal["en", "ja"]
