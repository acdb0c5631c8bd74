"""Malformed and hostile events, queue messages and request bodies, each of which must be refused."""

import json
from typing import Any

DEPTH = 100_000
# No error and no log line may repeat the content of an event.
SECRET = "a-secret-of-acme"


def nest(depth: int) -> Any:
    """Return nested lists, deep enough to exhaust a recursive parser."""
    nested: Any = SECRET
    for _ in range(depth):
        nested = [nested]
    return nested


# Events by what is wrong with them; each must be refused.
EVENTS: dict[str, Any] = {
    "null": None,
    "list": [],
    "list of tenants": ["acme", SECRET],
    "text": SECRET,
    "number": 7,
    "not a number": float("nan"),
    "boolean": True,
    "tenants of another type": {"tenants": {"acme": SECRET}},
    "tenants that are numbers": {"tenants": [1]},
    "tenants in lists": {"tenants": [["acme"]]},
    "tenants nested deep": {"tenants": nest(500)},
    "too many tenants": {"tenants": ["acme"] * 10_001, "date": "2025-08-01"},
    "day that is a number": {"date": 20250812},
    "day that is huge": {"date": 10**400},
    "day that is none": {"date": "2025-02-30"},
    "day with a null byte": {"date": "2025-08-12\0"},
    "day in other digits": {"date": "٢٠٢٥-٠٨-١٢"},
    "day with a time": {"date": "2025-08-12T00:00:00"},
    "day of half a surrogate": {"date": "\ud800"},
    "day before all": {"date": "1969-12-31"},
    "day after all": {"date": "9999-12-31"},
    "day of a million characters": {"date": "2" * 10**6},
    "range that is reversed": {"from": "2025-08-12", "to": "2025-08-11"},
    "range of all time": {"from": "1970-01-01", "to": "9998-12-31"},
    "range of years": {"from": "2020-01-01", "to": "2025-01-01"},
    "range without an end": {"from": "2025-08-12"},
    "force that is text": {"force": "yes"},
    "force that is a number": {"force": 1},
    "time that is null": {"time": None},
    "time that is huge": {"time": 10**400},
    "time that is a list": {"time": nest(500)},
    "time that is text": {"time": SECRET},
    "time before all": {"time": "0001-01-01T00:00:00+23:59"},
    "time after all": {"time": "9999-12-31T23:59:59-23:59"},
    "time to come": {"time": "2999-01-01T00:00:00Z"},
    "field of a null byte": {"\0": 1},
    "field of half a surrogate": {"\ud800": 1},
    "field of a million characters": {"x" * 10**6: SECRET},
    "field that is unknown": {"date": "2025-08-01", "content": SECRET},
}

# Queue messages; each must be refused.
MESSAGES: dict[str, str] = {
    "empty": "",
    "null": "null",
    "list": "[]",
    "number": "7",
    "not a number": "NaN",
    "text": SECRET,
    "quoted text": json.dumps(SECRET),
    "no day": '{"tenant": "acme"}',
    "no tenant": '{"date": "2025-08-12"}',
    "tenant that is a number": '{"tenant": 1, "date": "2025-08-12"}',
    "tenant that leads out": '{"tenant": "../x", "date": "2025-08-12"}',
    "tenant with a null byte": r'{"tenant": "acme\u0000", "date": "2025-08-12"}',
    "tenant of a million characters": json.dumps({"tenant": "a" * 10**6, "date": "2025-08-12"}),
    "tenant in other letters": json.dumps({"tenant": "аcme", "date": "2025-08-12"}),
    "day that is none": '{"tenant": "acme", "date": "2025-02-30"}',
    "day that is huge": f'{{"tenant": "acme", "date": {10**400}}}',
    "day of half a surrogate": r'{"tenant": "acme", "date": "\ud800"}',
    "force that is text": '{"tenant": "acme", "date": "2025-08-12", "force": "yes"}',
    "force beyond numbers": '{"tenant": "acme", "date": "2025-08-12", "force": 1e999}',
    "field that is unknown": json.dumps({"tenant": "acme", "date": "2025-08-12", "content": SECRET}),
    "nested deep": "[" * DEPTH,
    "nested deep in a field": '{"tenant": ' + "[" * DEPTH,
    "nested deep in an unknown field": '{"x": ' + "[" * DEPTH,
    "cut short": '{"tenant": "acme", "date": "2025',
    "two": '{"tenant": "acme", "date": "2025-08-12"}{}',
    "null byte": "\0",
    "of a million characters": "x" * 10**6,
}
