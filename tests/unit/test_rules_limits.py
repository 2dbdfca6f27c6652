"""Rate limits: token buckets with a fake clock, alone and shared between processes."""

import math
import tracemalloc
from hashlib import blake2b

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.config.document import RateLimit
from shared.domain.principal import Principal
from shared.domain.rules.limits import Limits, Report, shared_level
from tests.unit.config_samples import BOB, message, scope

LIMIT = RateLimit("l", (), 100.0, 10)


def admitted(limits: Limits, now: float, key: str = "k", limit: RateLimit = LIMIT) -> bool:
    return limits.take([(key, limit)], now) is None


def test_burst_and_then_the_rate_get_through() -> None:
    limits = Limits()
    assert [admitted(limits, 0.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert [admitted(limits, 0.02) for _ in range(3)] == [True, True, False]
    assert sum(admitted(limits, 0.02 + step / 1_000) for step in range(10_000)) == pytest.approx(1_000, abs=2)


def test_the_wait_is_rounded_up_when_there_is_no_token() -> None:
    limits = Limits()
    slow = RateLimit("l", (), 3.0, 1)
    assert limits.take([("k", slow)], 0.0) is None
    assert limits.take([("k", slow)], 0.0) == (slow, 334)
    assert limits.take([("k", slow)], 0.3) == (slow, 34)
    assert limits.take([("k", slow)], 0.333) == (slow, 1)
    assert limits.take([("k", slow)], 0.334) is None


def test_the_wait_has_an_end_when_the_rate_is_tiny() -> None:
    limits = Limits()
    tiny = RateLimit("l", (), 1e-300, 1)
    limits.take([("k", tiny)], 0.0)
    assert limits.take([("k", tiny)], 1e9) == (tiny, 86_400_000)
    assert limits.take([("k", tiny)], 1e9, n=2) == (tiny, 86_400_000)


def test_nothing_is_taken_from_any_when_one_of_several_refuses() -> None:
    limits = Limits()
    wide, narrow = LIMIT, RateLimit("narrow", (), 1.0, 1)
    assert limits.take([("w", wide), ("n", narrow)], 0.0) is None
    for _ in range(20):
        assert limits.take([("w", wide), ("n", narrow)], 0.0) == (narrow, 1_000)
    assert [admitted(limits, 0.0, "w") for _ in range(10)] == [True] * 9 + [False]


def test_a_token_is_there_again_when_it_was_given_back() -> None:
    limits = Limits()
    assert [admitted(limits, 0.0) for _ in range(11)][-1] is False
    limits.give_back([("k", LIMIT)], 0.0)
    assert admitted(limits, 0.0)
    limits.give_back([("other", LIMIT)], 0.0)
    assert sum(admitted(limits, 0.0, "other") for _ in range(20)) == 10


def test_the_bucket_goes_on_when_the_clock_goes_back() -> None:
    limits = Limits()
    assert sum(admitted(limits, 1_000.0) for _ in range(20)) == 10
    assert not admitted(limits, 0.0)
    assert sum(admitted(limits, 0.05) for _ in range(20)) == 5


def test_a_changed_limit_holds_at_once() -> None:
    limits = Limits()
    assert sum(admitted(limits, 0.0) for _ in range(20)) == 10
    wider = RateLimit("l", (), 1_000.0, 50)
    assert sum(admitted(limits, 0.01, limit=wider) for _ in range(100)) == 10
    assert sum(admitted(limits, 10.0, limit=RateLimit("l", (), 1.0, 2)) for _ in range(100)) == 2


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats() | st.floats(-1e3, 1e3), max_size=30),
    st.floats(min_value=0, max_value=1e6, exclude_min=True),
    st.integers(1, 10_000_000),
)
def test_no_clock_and_no_rate_breaks_a_bucket(times: list[float], rate: float, burst: int) -> None:
    limits = Limits(shared=True)
    limit = RateLimit("l", (), rate, burst)
    for now in times:
        refused = limits.take([("k", limit)], now)
        assert refused is None or 1 <= refused[1] <= 86_400_000
    for report in limits.report():
        assert math.isfinite(report.taken)
        limits.settle([report], [math.nan], 0.0)
        limits.settle([report], [math.inf], 0.0)
        limits.settle([report], [-5.0], 0.0)
    assert limits.take([("k", RateLimit("l", (), 1e6, 1))], 1e9) is None


def test_memory_is_bounded_when_keys_never_come_back() -> None:
    limits = Limits(max_keys=1_000)
    for number in range(5_000):
        assert admitted(limits, 0.0, f"k{number}")
        assert len(limits) <= 1_000


def test_a_hundred_thousand_keys_take_less_than_sixty_megabytes() -> None:
    document = {"rate_limits": [{"name": "per-producer", "per": ["topic", "source"], "rate": 0.001, "burst": 5}]}
    (one,) = scope(document, "topics/orders.>").limits
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    limits = Limits(shared=True)
    for number in range(20_000):
        of = message(source=f"/factories/eu-west-1/producers/{number:07d}")
        assert limits.take([(one.key(of, BOB), one.limit)], number / 1_000) is None
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(limits) == 20_000
    assert (after - before) * 5 < 60e6


def test_keys_of_long_sources_take_no_memory_when_each_is_another() -> None:
    (one,) = scope({"rate_limits": [{"name": "each", "per": ["source"], "rate": 1, "burst": 5}]}).limits
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    keys = {one.key(message(source=f"/{number:07d}" + "x" * 32_000), BOB) for number in range(1_000)}
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(keys) == 1_000
    assert after - before < 2e6


names = st.text(max_size=120)


@given(st.sets(st.sampled_from(["topic", "subject", "source", "principal"])), names, st.none() | names, names, names)
def test_a_key_is_what_the_processes_of_earlier_releases_make_of_it(
    per: set[str], topic: str, subject: str | None, source: str, principal: str
) -> None:
    (one,) = scope({"rate_limits": [{"name": "l", "per": sorted(per), "rate": 1, "burst": 5}]}).limits
    parts = [("topic", topic), ("subject", "-" if subject is None else "=" + subject), ("source", source), ("principal", principal)]
    key = "acme\0org\0l" + "".join(f"\0{len(value)}\0{value}" for name, value in parts if name in per)
    if len(key) > 96:
        key = blake2b(key.encode(), digest_size=16).hexdigest()
    assert one.key(message(topic=topic, subject=subject, source=source), Principal(principal, "acme", ())) == key


def test_full_buckets_go_first_when_there_are_too_many() -> None:
    limits = Limits(max_keys=100)
    slow = RateLimit("l", (), 0.001, 5)
    while admitted(limits, 0.0, "drained", slow):
        pass
    for number in range(2_000):
        limits.take([(f"k{number}", RateLimit("l", (), 1_000.0, 5))], number * 0.01)
    assert not admitted(limits, 20.0, "drained", slow)


def test_idle_buckets_are_dropped_when_they_are_full() -> None:
    limits = Limits()
    for number in range(500):
        admitted(limits, 0.0, f"k{number}")
    while admitted(limits, 0.0, "drained", RateLimit("l", (), 0.001, 5)):
        pass
    assert limits.sweep(0.0) == 0
    assert limits.sweep(1.0) == 500
    assert len(limits) == 1


class Shared:
    """The shared buckets, as the store's script keeps them: level and time of the last report."""

    def __init__(self) -> None:
        self.buckets: dict[str, tuple[float, float]] = {}

    def tell(self, reports: list[Report], now: float) -> list[float]:
        levels = []
        for key, rate, burst, taken in reports:
            level, at = self.buckets.get(key, (burst, now))
            levels.append(shared_level(level, now - at, rate, burst, taken))
            self.buckets[key] = levels[-1], now
        return levels


def share(processes: list[Limits], offered: int, seconds: float, skew: tuple[float, ...]) -> tuple[int, list[int]]:
    """How many of `offered` a second and process get through, and per process; each syncs every 50 ms, at a time of its own, and gets
    the answer 5 ms later. Their clocks differ."""
    store, through = Shared(), [0] * len(processes)
    answers: list[tuple[list[Report], list[float]] | None] = [None] * len(processes)
    step = 0.001
    for tick in range(int(seconds / step)):
        now = tick * step
        for index, limits in enumerate(processes):
            own = now + skew[index]
            phase = (tick + index * 17) % 50
            if phase == 0:
                reports = limits.report()
                answers[index] = reports, store.tell(reports, now)
            elif phase == 5 and (answer := answers[index]) is not None:
                limits.settle(answer[0], answer[1], own)
            for _ in range(int((tick + 1) * offered * step) - int(tick * offered * step)):
                through[index] += admitted(limits, own)
    return sum(through), through


def test_three_processes_admit_what_one_would_when_each_gets_a_third() -> None:
    total, each = share([Limits(shared=True) for _ in range(3)], 500, 10.0, (0.0, 1e6, -3.5))
    assert total == pytest.approx(1_010, rel=0.05)
    assert min(each) > 100


def test_processes_admit_what_one_would_when_one_gets_nearly_all() -> None:
    limits = [Limits(shared=True) for _ in range(3)]
    total, _ = share(limits[:1], 2_000, 10.0, (0.0,))
    assert total == pytest.approx(1_010, rel=0.05)


def test_nothing_is_lost_when_a_report_goes_unanswered() -> None:
    limits, store = Limits(shared=True), Shared()
    assert sum(admitted(limits, 0.0) for _ in range(20)) == 10
    limits.put_back(limits.report())
    reports = limits.report()
    assert [report.taken for report in reports] == [10.0]
    limits.settle(reports, store.tell(reports, 0.0), 0.0)
    assert not admitted(limits, 0.0)


def test_only_used_buckets_are_reported() -> None:
    limits = Limits(shared=True)
    admitted(limits, 0.0, "a")
    assert [(report.key, report.taken) for report in limits.report()] == [("a", 1.0)]
    assert limits.report() == []
    while admitted(limits, 0.0, "a"):
        pass
    limits.report()
    assert not admitted(limits, 0.0, "a")
    assert [(report.key, report.taken) for report in limits.report()] == [("a", 0.0)]
    assert Limits().report() == []
