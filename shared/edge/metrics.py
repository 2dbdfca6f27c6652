"""What a process counts: plain integers while it works, Prometheus's form only when somebody scrapes."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from shared.domain.in_a_row import ReceiptsInARow
from shared.domain.verdict import Outcome, Receipt, Refusal

if TYPE_CHECKING:
    from prometheus_client.core import Metric

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Counters:
    """Requests and events of one process. `gauges` are read at the scrape: name (with `switchboard_` before it) to value."""

    __slots__ = ("accepted", "duplicates", "gauges", "pending", "refused", "seconds", "slow", "statuses", "tokens_refused")

    def __init__(self) -> None:
        self.accepted = 0
        self.duplicates = 0
        self.pending = 0  # accepted, and left to the relay on some backbone
        self.refused: dict[tuple[str, str], int] = {}  # (kind, rule): both are our own words, so there are few
        self.tokens_refused: dict[str, int] = {}  # issuers' tokens, by reason: our own words, too
        self.statuses = [0] * 600  # by HTTP status
        self.slow = [0] * (len(BUCKETS) + 1)  # answers to POST /v1/events by bucket of time
        self.seconds = 0.0
        self.gauges: dict[str, Callable[[], float]] = {}

    def answered(self, status: int, seconds: float) -> None:
        """Count one answer to POST /v1/events."""
        self.statuses[status] += 1
        self.slow[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds

    def refuse(self, kind: str, rule: str | None) -> None:
        """Count one refused event."""
        key = (kind, rule or "")
        self.refused[key] = self.refused.get(key, 0) + 1

    def count(self, outcomes: Sequence[Outcome]) -> None:
        """Count what a door tells its sender."""
        if isinstance(outcomes, ReceiptsInARow):  # nearly always, of arrays
            self.accepted += len(outcomes)
            return
        for outcome in outcomes:
            if type(outcome) is Receipt:
                self.accepted += 1
                if outcome.duplicate:
                    self.duplicates += 1
                for delivery in outcome.deliveries:
                    if delivery.status == "pending":
                        self.pending += 1
            elif type(outcome) is Refusal:
                self.refuse(outcome.error.kind, outcome.error.rule)


def _families(counters: Counters, degraded: list[str]) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    yield CounterMetricFamily("switchboard_events_accepted", "Accepted events, duplicates included", value=counters.accepted)
    yield CounterMetricFamily("switchboard_events_duplicate", "Accepted events that were accepted before", value=counters.duplicates)
    yield CounterMetricFamily("switchboard_events_pending", "Accepted events left to the relay", value=counters.pending)
    refused = CounterMetricFamily("switchboard_events_refused", "Refused events", labels=("kind", "rule"))
    for labels, count in counters.refused.items():
        refused.add_metric(labels, count)
    yield refused
    if counters.tokens_refused:
        tokens = CounterMetricFamily("switchboard_tokens_refused", "Issuers' tokens that were not taken", labels=("reason",))
        for reason, count in counters.tokens_refused.items():
            tokens.add_metric((reason,), count)
        yield tokens
    answers = CounterMetricFamily("switchboard_http_responses", "Answers by HTTP status", labels=("status",))
    for status, count in enumerate(counters.statuses):
        if count:
            answers.add_metric((str(status),), count)
    yield answers
    buckets, below = [], 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), counters.slow, strict=True):
        below += count
        buckets.append((bound, below))
    yield HistogramMetricFamily("switchboard_events_seconds", "Time to answer POST /v1/events", buckets=buckets, sum_value=counters.seconds)
    lost = GaugeMetricFamily("switchboard_degraded", "1 for each dependency that is lost now", labels=("dependency",))
    for name in degraded:
        lost.add_metric((name,), 1)
    yield lost
    for name, read in counters.gauges.items():
        yield GaugeMetricFamily(f"switchboard_{name}", name.replace("_", " "), value=read())


class _Collector:
    def __init__(self, counters: Counters, degraded: list[str]) -> None:
        self._counters, self._degraded = counters, degraded

    def collect(self) -> "Iterator[Metric]":
        return _families(self._counters, self._degraded)


def exposition(counters: Counters, degraded: list[str]) -> bytes:
    """The metrics in Prometheus's text format, with the process's own (memory, CPU, open files)."""
    # Imported here: a start does not wait for it (performance.md, P8).
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

    registry = CollectorRegistry()
    registry.register(_Collector(counters, degraded))
    ProcessCollector(registry=registry)
    return generate_latest(registry)
