"""How often EMR Serverless may be asked, by its quotas."""

from dataclasses import dataclass

# Calls a second, and a burst.
_SLOW, _QUICK = (1.0, 25.0), (10.0, 50.0)
RATES = {
    **dict.fromkeys(("StartJobRun", "ListJobRuns", "CancelJobRun"), _SLOW),
    **dict.fromkeys(("GetJobRun", "GetApplication"), _QUICK),
}


@dataclass
class Rate:
    """Tokens of one operation, refilled each second up to a burst."""

    each_second: float
    burst: float
    tokens: float = 0.0
    at: float | None = None

    def take(self, now: float) -> bool:
        """Whether one is left."""
        since = None if self.at is None else now - self.at
        self.tokens = self.burst if since is None else min(self.burst, self.tokens + since * self.each_second)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
