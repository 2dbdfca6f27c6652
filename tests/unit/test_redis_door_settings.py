"""What is made of the settings that a door's Redis tells: some services let nobody ask for them."""

import pytest

from shared.adapters.redis.door_settings import _policy_of, judged
from shared.adapters.redis.resp import Refused
from shared.adapters.redis.told_settings import told_settings
from shared.domain.errors import Misconfigured

KEEPS = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def test_nothing_is_said_when_it_keeps_all() -> None:
    assert judged(KEEPS) is None


@pytest.mark.parametrize("unsaid", list(KEEPS))
def test_it_is_said_which_setting_is_not_known_when_one_is_left_out(unsaid: str) -> None:
    said = judged({name: value for name, value in KEEPS.items() if name != unsaid})
    assert said is not None
    assert f"doesn't say how it is set ({unsaid})" in said


def test_all_are_named_when_it_tells_nothing() -> None:
    said = judged({})
    assert said is not None
    assert "(appendonly, appendfsync, maxmemory-policy)" in said


@pytest.mark.parametrize("others", [KEEPS, {}])
def test_it_is_refused_when_it_evicts_whatever_else_it_tells(others: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="maxmemory-policy=allkeys-lfu"):
        judged(others | {"maxmemory-policy": "allkeys-lfu"})


@pytest.mark.parametrize("reply", [None, 7, b"OK", [], [b"appendonly"], [b"appendonly", None], Refused("ERR unknown command 'CONFIG'")])
def test_a_setting_is_not_told_when_the_answer_is_none(reply: object) -> None:
    """A proxy's nil ended the process with a traceback, as often as it was started."""
    assert told_settings(("appendonly", "maxmemory"), [reply, [b"maxmemory", b"0"]]) == {"maxmemory": "0"}


@pytest.mark.parametrize(
    ("memory", "found"),
    [
        (b"used_memory:1\r\nmaxmemory_policy:allkeys-lru\r\n", {"maxmemory-policy": "allkeys-lru"}),
        (b"used_memory:1\r\n", {}),
        (None, {}),
        (Refused("NOPERM"), {}),
    ],
)
def test_policy_is_found_in_info_where_it_is(memory: object, found: dict[str, str]) -> None:
    assert _policy_of(memory) == found
