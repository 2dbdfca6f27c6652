"""Rate limits: token buckets in bounded memory, shared between processes by what each says now and then of its own.

A bucket is full with `burst` tokens, gets `rate` a second, and a message takes one. Every process keeps its own buckets and refills them
by its own clock. Every 50 ms it reports what it took from which (`report`); the shared state takes that off the bucket it has
(`shared_level`, which the store's script does the same way) and answers what is left, and that is the process's level from then on,
less what it took meanwhile (`settle`). Between two reports processes may take too much together: a bucket goes below zero, and what was
taken too early is missing later, so that over time no more than `burst + rate * seconds` gets through. A key that isn't used isn't
reported; one that was used and refused is, so that it hears when others gave back.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from math import ceil, inf, isfinite
from typing import NamedTuple

import msgspec

from shared.domain.config.document import RateLimit

MAX_KEYS = 100_000
MAX_RETRY_MS = 86_400_000
_EXAMINED = 4  # of the longest unused buckets, whenever a new one is made
_ALMOST = 1e-9  # what a sum of fractions may be short of a whole token


class Bucket(msgspec.Struct, gc=False):
    """`level` tokens at the time `at`, in seconds of the process's clock. `unsaid` were taken since the last report, negative when given
    back. `limit` is the one of the last use: a config change holds from the next one on."""

    level: float
    at: float
    limit: RateLimit
    unsaid: int = 0
    used: bool = False  # since the last report


class Report(NamedTuple):
    """What one process took from a bucket since its last report; negative: gave back more than it took."""

    key: str
    rate: float
    burst: int
    taken: int


class Limits:
    """The buckets of one process. `shared`: other processes take from the same, and report() and settle() are called."""

    def __init__(self, max_keys: int = MAX_KEYS, *, shared: bool = False) -> None:
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._max = max_keys
        self._shared = shared
        self._most_reported = max(1, max_keys // 4)
        self._reported: dict[str, Bucket] = {}  # used since the last report; one that doesn't fit is reported after its next use

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, wanted: Sequence[tuple[str, RateLimit]], now: float, n: int = 1) -> tuple[RateLimit, int] | None:
        """Take `n` tokens from each of these buckets, or none from any. None when taken; else the first limit in the way, and after how
        many milliseconds, rounded up, it has enough. `now` is in seconds, of a clock that should not go back (it may)."""
        if len(wanted) == 1:  # nearly always: nothing to take back
            ((key, limit),) = wanted
            bucket = self._bucket(key, limit, now)
            if bucket.level + _ALMOST < n:
                self._mark(key, bucket, 0)
                return limit, _retry_ms(bucket, n)
            bucket.level -= n
            if bucket.used:
                bucket.unsaid += n
            else:
                self._mark(key, bucket, n)
            return None
        buckets = []
        for key, limit in wanted:
            bucket = self._bucket(key, limit, now)
            if bucket.level + _ALMOST < n:
                self._mark(key, bucket, 0)
                return limit, _retry_ms(bucket, n)
            buckets.append((key, bucket))
        for key, bucket in buckets:
            bucket.level -= n
            if self._shared:
                self._mark(key, bucket, n)
            if len(buckets) > 1:  # making the second may have dropped the first, which was full until now
                self._buckets[key] = bucket
        return None

    def give_back(self, wanted: Iterable[tuple[str, RateLimit]], now: float, n: int = 1) -> None:
        """Put `n` tokens back into each of these buckets: they were taken by a message that turned out to be a duplicate."""
        for key, limit in wanted:
            bucket = self._bucket(key, limit, now)
            bucket.level = min(bucket.limit.burst, bucket.level + n)
            self._mark(key, bucket, -n)

    def sweep(self, now: float, at_most: int = 1_000) -> int:
        """Drop full buckets among the `at_most` that were longest unused: a full one says nothing. Call it now and then. How many."""
        before = len(self._buckets)
        for _ in range(min(at_most, before)):
            self._drop_one(now, keep=True)
        return before - len(self._buckets)

    def report(self) -> list[Report]:
        """What was taken since the last report. One is under way at a time: the caller owes it a settle() with the answer, or put_back()
        where there is none, before the next."""
        reported, self._reported = self._reported, {}
        reports = []
        for key, bucket in reported.items():
            reports.append(Report(key, bucket.limit.rate, bucket.limit.burst, bucket.unsaid))
            bucket.unsaid, bucket.used = 0, False
        return reports

    def settle(self, reports: Sequence[Report], levels: Sequence[float], now: float) -> None:
        """Take over the shared levels, one for each report, less what was taken since that report was made."""
        for report, level in zip(reports, levels, strict=True):
            bucket = self._buckets.get(report.key)
            if bucket is not None and isfinite(level):
                bucket.level = min(bucket.limit.burst, level) - bucket.unsaid
                bucket.at = now

    def put_back(self, reports: Iterable[Report]) -> None:
        """The reports went unanswered: say the same with the next. What the store may have counted all the same is counted twice, which
        refuses a little too much for a moment and never lets more through."""
        for report in reports:
            bucket = self._buckets.get(report.key)
            if bucket is not None:
                self._mark(report.key, bucket, report.taken)

    def _bucket(self, key: str, limit: RateLimit, now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            for _ in range(_EXAMINED):
                self._drop_one(now, keep=len(self._buckets) < self._max)
                if len(self._buckets) < self._max // 2:
                    break
            bucket = self._buckets[key] = Bucket(limit.burst, now, limit)
            return bucket
        self._buckets.move_to_end(key)
        bucket.limit = limit
        _refill(bucket, now)
        return bucket

    def _drop_one(self, now: float, keep: bool) -> None:
        """Look at the bucket that was longest unused. A full one goes; another goes behind all others, or goes as well unless `keep`."""
        if not self._buckets:
            return
        key, bucket = self._buckets.popitem(last=False)
        _refill(bucket, now)
        if keep and (bucket.level < bucket.limit.burst or bucket.used):
            self._buckets[key] = bucket

    def _mark(self, key: str, bucket: Bucket, taken: int) -> None:
        if not self._shared:
            return
        bucket.unsaid += taken
        if not bucket.used and len(self._reported) < self._most_reported:
            bucket.used = True
            self._reported[key] = bucket


def shared_level(level: float, elapsed: float, rate: float, burst: float, taken: float) -> float:
    """The shared bucket after one report: refilled for `elapsed` seconds, less what was taken. It may be below zero by what one report can
    hold; the next refills make up for it. A bucket nobody reported on for long enough is full, and need not be kept."""
    return min(burst, min(burst, level + max(0.0, elapsed) * rate) - taken)


def _refill(bucket: Bucket, now: float) -> None:
    """Up to the time `now`. Where the clock went back, it goes forward again from here; a time that is no number changes nothing."""
    elapsed = now - bucket.at
    if elapsed > 0:
        bucket.level += elapsed * bucket.limit.rate
        bucket.at = now
    elif elapsed < 0:
        bucket.at = now
    if bucket.level > bucket.limit.burst:
        bucket.level = bucket.limit.burst


def _retry_ms(bucket: Bucket, n: int) -> int:
    wait = (n - bucket.level) / bucket.limit.rate * 1_000 if n <= bucket.limit.burst else inf
    return max(1, ceil(wait - 1e-6)) if wait < MAX_RETRY_MS else MAX_RETRY_MS
