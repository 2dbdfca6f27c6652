"""`switchboard tail --since`: what is stored first, then the feed, nothing twice."""

from collections.abc import AsyncIterator
from typing import Any

from infra.cli.past import Frame, as_frames, then_live

TIME = "2026-01-31T12:00:00.000000Z"


def item(id: str, *deliveries: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"id": id, "received_at": TIME, "deliveries": list(deliveries), **more}


def delivery(sequence: int, **more: str) -> dict[str, Any]:
    return {"backbone": "local", "sequence": sequence, "time": TIME, **more}


def frame(*messages: dict[str, Any], deliveries: tuple[dict[str, Any], ...] = ()) -> Frame:
    return {"cursor": "c", "messages": list(messages), "deliveries": list(deliveries)}


class Watch:
    """What is shown of these stored items, newest first, and live frames; and what was asked for when."""

    def __init__(self, items: list[dict[str, Any]], *live: Frame) -> None:
        self.steps: list[str] = []
        self._items, self._frames = items, live

    async def shown(self) -> list[Frame]:
        shown = then_live(self._past, self._live())
        return [await anext(shown) for _ in range(len(self._items) + len(self._frames))]

    async def _past(self) -> list[Frame]:
        self.steps.append("past")
        return as_frames(self._items)

    async def _live(self) -> AsyncIterator[Frame]:
        for frame in self._frames:
            self.steps.append("live")
            yield frame


async def test_past_is_shown_oldest_first_and_asked_for_once_the_feed_is_open() -> None:
    watch = Watch([item("c"), item("b"), item("a")], frame(), frame(item("d")))
    shown = [message["id"] for one in await watch.shown() for message in one["messages"]]
    assert shown == ["a", "b", "c", "d"]
    assert watch.steps == ["live", "past", "live"]


async def test_message_and_delivery_are_shown_once_when_they_were_stored_while_the_feed_was_opened() -> None:
    watch = Watch(
        [item("b", delivery(2)), item("a")], frame(), frame(item("b"), item("c"), deliveries=(delivery(2, id="b"), delivery(3, id="c")))
    )
    shown = await watch.shown()
    assert [message["id"] for one in shown for message in one["messages"]] == ["a", "b", "c"]
    assert [one["id"] for each in shown for one in each["deliveries"]] == ["b", "c"]


async def test_every_attempt_is_shown_when_they_share_an_identity() -> None:
    watch = Watch([item("a", record_id="1")], frame(), frame(item("a", record_id="2"), item("a")))
    assert [message.get("record_id") for one in await watch.shown() for message in one["messages"]] == ["1", "2", None]


async def test_heartbeats_and_gaps_pass_when_there_is_a_past() -> None:
    others: list[Frame] = [{"heartbeat": TIME}, {"gap": {"from": TIME, "to": TIME}}]
    assert (await Watch([item("a")], frame(), *others).shown())[2:] == others


def test_stored_message_looks_as_on_the_feed_when_it_was_delivered() -> None:
    assert as_frames([item("a", delivery(1))]) == [{"messages": [item("a")], "deliveries": [delivery(1, id="a")]}]
