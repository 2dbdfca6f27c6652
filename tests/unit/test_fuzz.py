"""The fuzzer's targets, for a moment and always with the same inputs; and what they were once broken by."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.targets import TARGETS

DEEP = b"[" * 60_000
NAMES = b"{" + b",".join(b'"%x":1' % number for number in range(12_000)) + b',"z":1,"z":1}'
REGRESSIONS: tuple[tuple[str, Any], ...] = (
    ("snapshot", b"\x81\xa1\xff\x01"),  # a text that is no UTF-8, in the file of a crashed disk: the process didn't start
    ("snapshot", b"\x81\xa1a" + b"\x91" * 5_000),
    ("feed-cursor", (b"\x92\x91\x93\xa1\xff\x01\x01\x05", True)),
    ("session", (b"\x93\xc4 " + b"h" * 32 + b"\xcf\x00\x00\x01\x00\x00\x00\x00\x00\xc4\x10" + b"i" * 16, True)),  # a good one
    ("vouched", (b"acme/idp/shop", b'[{"action":"read","x":' + DEEP, b"1.x")),  # anybody could make it a 500, and a traceback in the log
    ("key-set", NAMES),  # whose names were counted one by one: seconds, minutes
)


@pytest.mark.parametrize("name", TARGETS)
def test_decoder_holds_when_a_hundred_inputs_come(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(target.inputs)
    def hold(one: Any) -> None:
        target.run(one)

    hold()


@pytest.mark.parametrize(("name", "one"), REGRESSIONS, ids=[name for name, _ in REGRESSIONS])
def test_decoder_holds_when_what_once_broke_it_comes_again(name: str, one: Any) -> None:
    TARGETS[name].run(one)
