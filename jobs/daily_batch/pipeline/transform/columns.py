"""From a row of the map to the columns of `messages`: what is typed or derived only where rows are written."""

import json

from daily_batch.domain.contract import MESSAGES
from daily_batch.domain.run import RunSpec
from daily_batch.pipeline.transform.fields import ARRAYS
from daily_batch.pipeline.transform.normalize import local_hour

# What is the same for a whole run is added where the files are written.
RUN_COLUMNS = ("date", "run_id", "processed_at")
_TYPES = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE"}


def typed_array(name: str) -> str:
    """Return the expression of an array column: its JSON text as the contract's type."""
    types = json.dumps([{field: _TYPES[kind] for field, kind in ARRAYS[name].items()}])
    return f"json_transform({name}, '{types}')"


ATTACHMENT_COUNT = "coalesce(json_array_length(attachments), 0)::INTEGER"


def published_columns(plan: RunSpec) -> str:
    """Return the select list of `messages`, less what is the same for a whole run, over a row of the map."""
    derived = {
        "hour": local_hour(plan),
        "has_attachments": f"{ATTACHMENT_COUNT} > 0",
        "attachment_count": ATTACHMENT_COUNT,
        "flags": "CASE WHEN flags IS NULL THEN [] ELSE string_split(flags, ',') END",
        **{name: typed_array(name) for name in ARRAYS},
    }
    names = [name for name in MESSAGES.names if name not in RUN_COLUMNS]
    return ", ".join(f"{derived[name]} AS {name}" if name in derived else name for name in names)
