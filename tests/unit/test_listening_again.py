"""Going on listening where a server refuses: later and later, and said once."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from nats.errors import AuthorizationError

from shared.adapters.nats import listening
from shared.adapters.nats.listening import LONGEST_PAUSE, Heard, Wanted, listen
from shared.adapters.nats.replies import Lost
from tests.waiting import eventually


class Revoked:
    """A connection that is let in once."""

    opened = 0
    gone = "not connected"

    async def open(self, *_: Any, **__: Any) -> None:
        Revoked.opened += 1
        if Revoked.opened > 1:
            raise AuthorizationError

    async def close(self) -> None:
        """Nothing is left of it."""


async def test_it_is_tried_later_and_later_and_said_once_when_credentials_were_revoked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[int] = []

    async def there(*_: object) -> str:
        return "agent-7"

    async def none(*_: object) -> int:
        return 0

    async def ended(*_: object) -> AsyncGenerator[Heard, None]:
        raise Lost("connection lost: nats: user authentication revoked")
        yield

    def at_once(count: int) -> float:
        failures.append(count)
        return 0.0

    monkeypatch.setattr(Revoked, "opened", 0)
    for name, fake in (("Connection", Revoked), ("_consumer", there), ("_older", none), ("_follow", ended)):
        monkeypatch.setattr(listening, name, fake)
    pause = listening._pause
    monkeypatch.setattr(listening, "_pause", at_once)
    wanted = Wanted(org="acme", filter="sb.acme.>", inbox="_INBOX.acme.agent-7")
    task = asyncio.ensure_future(anext(listen("nats://eu:4222", wanted, lambda filters, older: None)))
    await eventually(lambda: len(failures) >= 10)
    task.cancel()
    await asyncio.wait([task])
    assert failures[:10] == list(range(1, 11))
    assert [pause(count) for count in (1, 2, 3)] == sorted({pause(count) for count in (1, 2, 3)})
    assert pause(100) == LONGEST_PAUSE
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[1].endswith("authorization failed")
