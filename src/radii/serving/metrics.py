"""Figures about the service, in the text format of Prometheus."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Upper ends of the buckets of latencies; there is one more without end."""

KIND = "text/plain; version=0.0.4"


class Latencies:
    """Requests by status, and how long those that were answered took."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self._buckets, self._sum = [0] * (len(SECONDS) + 1), 0.0

    def count(self, status: int, seconds: float) -> None:
        """One request more."""
        self.requests[status] += 1
        if status == 200:
            self._buckets[bisect_left(SECONDS, seconds)] += 1
            self._sum += seconds

    def lines(self) -> Iterable[str]:
        """Counters and a histogram."""
        by_status = {f'{{status="{status}"}}': count for status, count in sorted(self.requests.items())}
        yield from metric("radii_requests_total", "counter", "Requests for labels, by status.", by_status)
        yield from metric("radii_request_seconds", "histogram", "From a request to its label.", {})
        total = 0
        for end, count in zip((*SECONDS, "+Inf"), self._buckets, strict=True):
            total += count
            yield f'radii_request_seconds_bucket{{le="{end}"}} {total}'
        yield f"radii_request_seconds_sum {self._sum:.6f}"
        yield f"radii_request_seconds_count {total}"


def metric(name: str, kind: str, words: str, values: Mapping[str, float]) -> Iterable[str]:
    """One metric: `values` by their labels, in braces, or by nothing."""
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} {kind}"
    yield from (f"{name}{labels} {value}" for labels, value in values.items())
