"""How often what happens in a generated day: drift of the writers, broken records, duplicates."""

from dataclasses import dataclass, fields, replace

from daily_batch.errors import UsageError

PRESETS = ("default", "none", "rich")
BROKEN = (
    *("invalid_json", "invalid_utf8", "duplicate_key", "not_an_object"),
    *("invalid_timestamp", "invalid_id", "outside_window"),
)
_RICH = 0.02


@dataclass(frozen=True, kw_only=True)
class FaultRates:
    """Shares of the messages, 0 to 1; `unreadable` is a share of the export's files, `odd_names` of the users.

    What only an object's path can mend (a missing user, room, id or time) and what only a path can contradict
    happens in the messages layout alone, as do `other_day`, `late_name`, `bystanders` and `odd_names`; `unreadable`
    happens in exports alone.
    """

    # Drift: published, most of it with a flag.
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
    # Broken: rejected, each for its reason.
    invalid_json: float = 0.0004
    invalid_utf8: float = 0.0001
    duplicate_key: float = 0.0001
    not_an_object: float = 0.0001
    invalid_timestamp: float = 0.0001
    invalid_id: float = 0.0001
    outside_window: float = 0.0001
    # Beside the messages themselves.
    duplicates: float = 0.01
    superseded: float = 0.002
    empty: float = 0.0002
    other_day: float = 0.0005
    late_name: float = 0.0005
    bystanders: float = 0.001
    unreadable: float = 0.0
    odd_names: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 0.5:
                raise UsageError(f"the rate {field.name} is {value}", next_step="give a share from 0 to 0.5")

    @classmethod
    def none(cls) -> "FaultRates":
        """A day as specified: nothing drifts, breaks or comes twice."""
        return cls(**{field.name: 0.0 for field in fields(cls)})

    @classmethod
    def rich(cls) -> "FaultRates":
        """Everything often enough to show in a few hundred messages."""
        rates = {field.name: max(_RICH, float(field.default)) for field in fields(cls)}  # type: ignore[arg-type]  # all have one
        scarce = dict.fromkeys((*BROKEN, "other_day", "late_name", "empty"), 0.01)
        return cls(**{**rates, **scarce, "invalid_json": 0.02, "unreadable": 0.25, "odd_names": 0.3})

    def for_twins(self) -> "FaultRates":
        """Drift alone, for messages that come twice: their timestamps must be their own."""
        return replace(self, missing_timestamp=0.0, **dict.fromkeys(BROKEN, 0.0))

    @classmethod
    def parse(cls, text: str) -> "FaultRates":
        """The rates of `default`, `none` or `rich`, and of `name=share` pairs, separated by commas.

        Raises:
            UsageError: a name is unknown or a value is no share.
        """
        first, *rest = text.split(",")
        base, pairs = (first.strip(), rest) if first.strip() in PRESETS else ("default", [first, *rest])
        start = cls() if base == "default" else cls.none() if base == "none" else cls.rich()
        return replace(start, **dict(_pair(pair) for pair in pairs if pair.strip()))


def _pair(text: str) -> tuple[str, float]:
    name, _, value = text.strip().partition("=")
    known = [field.name for field in fields(FaultRates)]
    if name not in known:
        raise UsageError(f"{name[:40]!a} is no rate", next_step=f"give one of {', '.join((*PRESETS, *known))}")
    try:
        return name, float(value)
    except ValueError:
        raise UsageError(f"the rate {name} is {value[:40]!a}", next_step="give a share from 0 to 0.5") from None
