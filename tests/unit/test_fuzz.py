"""The fuzzer's targets, for a moment and always with the same inputs; and what they were once broken by."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.targets import TARGETS

REGRESSIONS: tuple[tuple[str, Any], ...] = ()


@pytest.mark.parametrize("name", TARGETS)
def test_decoder_holds_when_a_hundred_inputs_come(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(target.inputs)
    def hold(one: Any) -> None:
        target.run(one)

    hold()


def test_decoder_holds_when_what_once_broke_it_comes_again() -> None:
    for name, one in REGRESSIONS:
        TARGETS[name].run(one)
