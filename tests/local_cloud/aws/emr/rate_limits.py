"""The request quotas of EMR Serverless."""

from dataclasses import dataclass

# Calls per second, and the burst.
_SLOW, _QUICK = (1.0, 25.0), (10.0, 50.0)
RATES = {
    **dict.fromkeys(("StartJobRun", "ListJobRuns", "CancelJobRun"), _SLOW),
    **dict.fromkeys(("GetJobRun", "GetApplication"), _QUICK),
}


@dataclass
class TokenBucket:
    """The token bucket of one operation, refilled each second up to a burst."""

    each_second: float
    burst: float
    tokens: float = 0.0
    at: float | None = None

    def take(self, now: float) -> bool:
        """Take a token and return whether one was left."""
        since = None if self.at is None else now - self.at
        self.tokens = self.burst if since is None else min(self.burst, self.tokens + since * self.each_second)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
