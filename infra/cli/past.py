"""What was there before a watch began: stored messages, shown as the feed would have shown them, and then the feed without them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from infra.cli.answers import read_json
from infra.cli.connection import Connection, checked

PAGE, PAGES = 1000, 10  # messages a page, and pages at most: a page of big bodies is cut by the server, so memory has its end too
ANYBODY = (("subject", "*"), ("subject", ">"))  # to the feed; the query takes a subject as it is written

Frame = dict[str, Any]
Seen = set[tuple[object, ...]]


async def stored(where: Connection, wanted: dict[str, str]) -> tuple[list[Frame], bool]:
    """A frame a stored message, oldest first, and whether there are still older ones. `wanted` has `since`, and the feed's filters.

    What the log has and the store doesn't yet is not among them: a feed that begins there has it (then_live). Raises the error of
    shared.domain.errors that the query answers.
    """
    page = {name: value for name, value in wanted.items() if (name, value) not in ANYBODY} | {"limit": str(PAGE)}
    items: list[dict[str, Any]] = []
    async with where.async_client(timeout=60.0) as client:
        for _ in range(PAGES):
            answer = read_json(checked(await client.get("/v1/messages", params=page)).content)
            items += answer["items"]
            if answer["next"] is None:
                return as_frames(items), False
            page["cursor"] = answer["next"]
    return as_frames(items), True


def as_frames(items: list[dict[str, Any]]) -> list[Frame]:
    """Items of a query, newest first, as the frames that a feed would have sent: oldest first, deliveries behind their message."""
    return [
        {
            "messages": [{**item, "deliveries": []}],
            "deliveries": [{"id": item["id"], **delivery} for delivery in item["deliveries"]],
        }
        for item in reversed(items)
    ]


async def then_live(past: Callable[[], Awaitable[Iterable[Frame]]], live: AsyncIterator[Frame]) -> AsyncIterator[Frame]:
    """The past's frames, then the live ones without what was in the past.

    The past is asked for when the feed's first frame is there: a feed that begins with what no store had then has all that the answer
    hasn't, so nothing falls in between.
    """
    first = await anext(live)
    seen: Seen = set()  # as many as the past has
    for frame in await past():
        seen.update(map(_message_key, frame["messages"]))
        seen.update(map(_delivery_key, frame["deliveries"]))
        yield frame
    yield _without(first, seen)
    async for frame in live:
        yield _without(frame, seen)


def _without(frame: Frame, seen: Seen) -> Frame:
    if "messages" not in frame:  # a heartbeat, or a gap
        return frame
    messages = [message for message in frame["messages"] if _message_key(message) not in seen]
    deliveries = [delivery for delivery in frame["deliveries"] if _delivery_key(delivery) not in seen]
    return {**frame, "messages": messages, "deliveries": deliveries}


def _message_key(message: dict[str, Any]) -> tuple[object, ...]:
    """An identity may have been used more than once: a refusal has an id of its own, a conflict its time."""
    return message["id"], message.get("record_id"), message.get("received_at")


def _delivery_key(delivery: dict[str, Any]) -> tuple[object, ...]:
    return delivery["id"], delivery["backbone"], delivery["sequence"], delivery["time"]
