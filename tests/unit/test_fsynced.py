"""What WAITAOF's reply must say before anything is acknowledged (log.md, "One flush")."""

import pytest

from shared.adapters.redis.flusher import check_fsynced
from shared.adapters.redis.resp import Refused
from shared.domain.errors import Unavailable


@pytest.mark.parametrize(("reply", "replicas"), [([0, 0], 0), ([0, 1], 0), ([0, 1], 1), ([1, 0], 1), ([1, 1], 2)])
def test_outcome_is_unknown_when_too_few_servers_have_it_on_disk(reply: list[int], replicas: int) -> None:
    with pytest.raises(Unavailable, match="to disk in time"):
        check_fsynced(reply, replicas)


def test_outcome_is_unknown_when_the_server_refuses_to_wait() -> None:
    with pytest.raises(Unavailable, match="no AOF"):
        check_fsynced(Refused("no AOF"), 0)


@pytest.mark.parametrize(("reply", "replicas"), [([1, 0], 0), ([1, 1], 1), ([1, 2], 1)])
def test_it_is_on_disk_when_the_server_and_its_replicas_say_so(reply: list[int], replicas: int) -> None:
    check_fsynced(reply, replicas)
