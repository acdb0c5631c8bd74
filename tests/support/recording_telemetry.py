"""A `Telemetry` that records log lines and metrics."""

from dataclasses import dataclass, field
from typing import Any

from daily_batch.domain.metrics import Metric


@dataclass
class RecordingTelemetry:
    """See `daily_batch.telemetry.Telemetry`; a line is a level, a message and its fields."""

    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    measured: list[tuple[Metric, float]] = field(default_factory=list)

    def bind(self, **context: Any) -> None:
        self.lines.append(("bind", "", context))

    def debug(self, message: str, **facts: Any) -> None:
        self.lines.append(("debug", message, facts))

    def info(self, message: str, **facts: Any) -> None:
        self.lines.append(("info", message, facts))

    def error(self, message: str, **facts: Any) -> None:
        self.lines.append(("error", message, facts))

    def measure(self, metric: Metric, value: float = 1) -> None:
        self.measured.append((metric, value))

    @property
    def errors(self) -> list[tuple[str, dict[str, Any]]]:
        return [(message, facts) for level, message, facts in self.lines if level == "error"]

    @property
    def steps(self) -> list[str]:
        return [facts["step"] for _, message, facts in self.lines if message == "step"]

    def sums(self) -> dict[str, float]:
        """Return the sum of each metric by name."""
        names = {metric.name for metric, _ in self.measured}
        return {name: sum(value for metric, value in self.measured if metric.name == name) for name in names}
