"""The input of the generator: how many messages, of which day, with which rates of faults."""

from dataclasses import dataclass, fields, replace
from datetime import date
from random import Random

from daily_batch.domain.run import Layout
from daily_batch.errors import UsageError

PRESETS = ("default", "none", "rich")
CORRUPTION_RATES = (
    *("invalid_json", "invalid_utf8", "duplicate_key", "not_an_object"),
    *("invalid_timestamp", "invalid_id", "outside_window"),
)
BLOCK_MESSAGES = 16_384  # messages of a block, which is held in memory at once
_RICH = 0.02


@dataclass(frozen=True, kw_only=True)
class FaultRates:
    """Shares of the messages, 0 to 0.5; `unreadable` is a share of an export's files, `odd_names` of the users.

    Some faults exist in the messages layout only: those that the object's key repairs (a missing user, room, id or
    time) or contradicts, and `other_day`, `late_name`, `bystanders` and `odd_names`. `unreadable` exists in exports
    only.
    """

    # Schema drift: published, mostly with a flag.
    id_alias: float = 0.03
    missing_message_id: float = 0.005
    numeric_id: float = 0.002
    missing_user: float = 0.03
    user_conflict: float = 0.001
    room_alias: float = 0.03
    missing_room: float = 0.005
    room_conflict: float = 0.001
    naive_timestamp: float = 0.03
    missing_timestamp: float = 0.002
    epoch_timestamp: float = 0.002
    role_case: float = 0.01
    unknown_role: float = 0.001
    null_content: float = 0.002
    empty_content: float = 0.002
    images_alias: float = 0.003
    crawl_sources: float = 0.01
    top_crawl_sources: float = 0.005
    rag_content: float = 0.01
    unknown_fields: float = 0.02
    tenant_conflict: float = 0.001
    # Corruption: rejected, each for the reason of its name.
    invalid_json: float = 0.0004
    invalid_utf8: float = 0.0001
    duplicate_key: float = 0.0001
    not_an_object: float = 0.0001
    invalid_timestamp: float = 0.0001
    invalid_id: float = 0.0001
    outside_window: float = 0.0001
    # In addition to the messages: duplicates and noise.
    duplicates: float = 0.01
    superseded: float = 0.002
    empty: float = 0.0002
    other_day: float = 0.0005
    late_name: float = 0.0005
    bystanders: float = 0.001
    unreadable: float = 0.0
    odd_names: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a rate outside 0 to 0.5."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 0.5:
                raise UsageError(f"the rate {field.name} is {value}", next_step="give a share from 0 to 0.5")

    @classmethod
    def none(cls) -> "FaultRates":
        """Return the rates of a clean day: no drift, no corruption, no duplicates."""
        return cls(**{field.name: 0.0 for field in fields(cls)})

    @classmethod
    def rich(cls) -> "FaultRates":
        """Return rates that show every fault within a few hundred messages."""
        rates = {field.name: max(_RICH, float(field.default)) for field in fields(cls)}  # type: ignore[arg-type]  # all have one
        scarce = dict.fromkeys((*CORRUPTION_RATES, "other_day", "late_name", "empty"), 0.01)
        return cls(**{**rates, **scarce, "invalid_json": 0.02, "unreadable": 0.25, "odd_names": 0.3})

    def for_duplicates(self) -> "FaultRates":
        """Return the rates for messages that are delivered twice: drift only, and never without a timestamp."""
        return replace(self, missing_timestamp=0.0, **dict.fromkeys(CORRUPTION_RATES, 0.0))

    @classmethod
    def parse(cls, text: str) -> "FaultRates":
        """Return the rates of an optional preset (default, none, rich) and `name=share` pairs, separated by commas.

        Raises:
            UsageError: a name is unknown or a value is not a share.
        """
        first, *rest = text.split(",")
        base, pairs = (first.strip(), rest) if first.strip() in PRESETS else ("default", [first, *rest])
        start = cls() if base == "default" else cls.none() if base == "none" else cls.rich()
        return replace(start, **dict(_parse_pair(pair) for pair in pairs if pair.strip()))


def _parse_pair(text: str) -> tuple[str, float]:
    name, _, value = text.strip().partition("=")
    known = [field.name for field in fields(FaultRates)]
    if name not in known:
        raise UsageError(f"{name[:40]!a} is not a rate", next_step=f"give one of {', '.join((*PRESETS, *known))}")
    try:
        return name, float(value)
    except ValueError:
        raise UsageError(f"the rate {name} is {value[:40]!a}", next_step="give a share from 0 to 0.5") from None


@dataclass(frozen=True, kw_only=True)
class DaySpec:
    """Everything that determines the bytes of a day. The day is generated in `blocks` independent slices of time."""

    messages: int
    layout: Layout
    seed: int
    tenant: str
    day: date
    zone: str
    rates: FaultRates
    blocks: int

    def random(self, purpose: str, block: int = 0) -> Random:
        """Return a generator of its own for each purpose and block, so that blocks do not depend on each other."""
        return Random(f"{self.seed}/{self.tenant}/{purpose}/{block}")  # noqa: S311  (reproducible, not secret)

    def total(self, rate: float) -> int:
        """Return how many of the day's messages a rate means."""
        return int(self.messages * rate + 0.5)

    def share(self, rate: float, block: int) -> int:
        """Return the block's part of `total`; the parts of all blocks add up to it."""
        total = self.total(rate)
        return total * (block + 1) // self.blocks - total * block // self.blocks
