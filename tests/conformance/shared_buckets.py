"""What the buckets that processes share must do with reports, whoever does the sums."""

import math
import time
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.rules.limits import Report, shared_level

KEYS = ("acme", "0", "", "a b\r\nc", "é\0ü", "{limits}", "levels", "\ud800", "x" * 5_000)
SLOW, BURST = 0.001, 10  # tokens a second: none comes while a test runs

LIMITS = [(0.001, 1), (0.5, 10), (3.0, 7), (250.0, 10), (10_000.0, 3), (1e-300, 2), (1.0, 10_000_000)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.01, 0.05, 0.3, 2.0, 100.0, 1e6]),  # seconds before the reports
        st.dictionaries(st.integers(0, len(LIMITS) - 1), st.integers(-20, 200), min_size=1, max_size=len(LIMITS)),  # limit -> taken
    ),
    max_size=8,
)


class SharedBuckets(Protocol):
    """Empty when a test begins."""

    async def tell(self, reports: list[Report]) -> list[float]:
        """The levels after these reports."""
        ...

    async def passed(self, seconds: float) -> None:
        """That much time has passed."""
        ...

    async def forget(self) -> None:
        """Empty again."""
        ...

    async def kept(self) -> int:
        """How many buckets take memory."""
        ...


class SharedBucketsConformance:
    """Subclasses give `buckets`, a fixture."""

    async def test_a_bucket_is_full_when_nobody_took_from_it(self, buckets: SharedBuckets) -> None:
        assert await buckets.tell([Report("k", SLOW, BURST, 0)]) == pytest.approx([BURST], abs=0.01)
        assert await buckets.tell([Report("k", SLOW, BURST, 4)]) == pytest.approx([6], abs=0.01)

    async def test_what_two_processes_took_is_missing_for_both(self, buckets: SharedBuckets) -> None:
        assert await buckets.tell([Report("k", SLOW, BURST, 4)]) == pytest.approx([6], abs=0.01)
        assert await buckets.tell([Report("k", SLOW, BURST, 8)]) == pytest.approx([-2], abs=0.01)
        assert await buckets.tell([Report("k", SLOW, BURST, 0)]) == pytest.approx([-2], abs=0.01)

    async def test_tokens_are_there_again_when_they_were_given_back(self, buckets: SharedBuckets) -> None:
        await buckets.tell([Report("k", SLOW, BURST, 10)])
        assert await buckets.tell([Report("k", SLOW, BURST, -3)]) == pytest.approx([3], abs=0.01)
        assert await buckets.tell([Report("k", SLOW, BURST, -100)]) == pytest.approx([BURST], abs=0.01)

    async def test_a_bucket_refills_by_its_rate_when_time_passes(self, buckets: SharedBuckets) -> None:
        await buckets.tell([Report("k", SLOW, BURST, 12)])
        await buckets.passed(5_000)
        assert await buckets.tell([Report("k", SLOW, BURST, 0)]) == pytest.approx([3], abs=0.01)
        await buckets.passed(1e6)
        assert await buckets.tell([Report("k", SLOW, BURST, 1)]) == pytest.approx([BURST - 1], abs=0.01)

    async def test_the_level_stays_when_the_limit_changes(self, buckets: SharedBuckets) -> None:
        await buckets.tell([Report("k", SLOW, BURST, 10)])
        assert await buckets.tell([Report("k", 2.0, 1_000, 0)]) == pytest.approx([0], abs=1.0)
        await buckets.passed(10)
        assert await buckets.tell([Report("k", 2.0, 1_000, 0)]) == pytest.approx([20], abs=1.0)
        assert await buckets.tell([Report("k", SLOW, 5, 2)]) == pytest.approx([3], abs=0.01)

    async def test_buckets_keep_apart_when_keys_are_any_text(self, buckets: SharedBuckets) -> None:
        reports = [Report(key, SLOW, 100, taken) for taken, key in enumerate(KEYS, 1)]
        for times in (1, 2):
            assert await buckets.tell(reports) == pytest.approx([100 - times * taken for taken in range(1, len(KEYS) + 1)], abs=0.01)

    async def test_idle_buckets_are_pushed_out_when_they_would_be_full(self, buckets: SharedBuckets) -> None:
        idle = [Report(f"idle-{number}", 0.02, BURST, 1 + number % BURST) for number in range(200)]
        await buckets.tell(idle)
        await buckets.tell([Report("slow", SLOW, BURST, BURST)])
        assert await buckets.kept() == 201
        await buckets.passed(1_000)
        for number in range(5):  # what others use is what pushes them out, more than can come in the same time
            assert await buckets.tell([Report(f"other-{number}", SLOW, BURST, 1)]) == pytest.approx([BURST - 1], abs=0.01)
        assert await buckets.kept() == 1 + 5
        assert await buckets.tell([Report("slow", SLOW, BURST, 0)]) == pytest.approx([1.0], abs=0.1)
        assert await buckets.tell([Report("idle-1", 0.02, BURST, 0)]) == pytest.approx([BURST], abs=0.01)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors])
    @given(steps=STEPS)
    async def test_levels_are_those_of_the_sum_whatever_is_reported(
        self, buckets: SharedBuckets, steps: list[tuple[float, dict[int, int]]]
    ) -> None:
        await buckets.forget()
        model: dict[int, tuple[float, float]] = {}  # level, and when
        began, fake = time.monotonic(), 0.0
        for wait, taken in steps:
            await buckets.passed(wait)
            fake += wait
            levels = await buckets.tell([Report(f"k{one}", *LIMITS[one], many) for one, many in taken.items()])
            spent = time.monotonic() - began  # at most this much more has passed where the clock is a real one
            for (one, many), level in zip(taken.items(), levels, strict=True):
                rate, burst = LIMITS[one]
                before, at = model.get(one, (math.inf, fake))
                model[one] = shared_level(before, fake - at, rate, burst, many), fake
                assert model[one][0] - 1e-3 - 1e-9 * burst <= level <= model[one][0] + rate * spent + 1e-3 + 1e-9 * burst
