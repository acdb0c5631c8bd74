"""Summaries of nights: with tenants in given states, and the one with the longest message."""

from typing import Any

from daily_batch.domain.keys import is_tenant
from daily_batch.orchestration.night_message import ORDER
from daily_batch.orchestration.night_summary import Attention, Summary

# The text of an error that quotes a message; no notification may repeat it.
CONTENT = "could not read 'Hello Bob'"


def make_summary(*states: str, tenants: int = 200, **changes: Any) -> Summary:
    """Return a night of which the first tenants need attention, in these states."""
    attention = tuple(
        Attention(tenant=f"tenant-{number:03}", state=state, note=CONTENT) for number, state in enumerate(states)
    )
    counts: dict[str, int] = {"COMPLETED": tenants - len(states) - 2, "COMPLETED_WITH_REJECTS": 2}
    for state in states:
        counts[state] = counts.get(state, 0) + 1
    values: dict[str, Any] = {
        "date": "2025-08-12",
        "tenants": tenants,
        "states": counts,
        "attention": attention,
        "unreadable": 0,
        "new_fields": 0,
        "late": 0,
        "queued": 0,
        "ended": True,
    }
    return Summary(**{**values, **changes})


def make_largest_summary() -> Summary:
    """Return the night with the longest message: the longest tenant ids with the longest next step, in every state."""
    longest = [f"{number:03}{'x' * 60}" for number in range(999)]
    assert all(map(is_tenant, longest)) and not is_tenant(f"{longest[0]}x")
    attention = tuple(Attention(tenant=tenant, state="MISSING", note=CONTENT) for tenant in longest)
    counts = dict.fromkeys((*ORDER, "COMPLETED", "COMPLETED_WITH_REJECTS", "NOT_DUE", "CHANGED"), 10**9)
    return make_summary(
        attention=attention,
        states=counts,
        tenants=10**9,
        late=10**9,
        queued=10**9,
        unreadable=10**12,
        new_fields=10**12,
    )
