"""Nothing is kept of a call in C, whether it gives something, leaves it to Python or raises: no object, no reference, no memory."""

import gc
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import psutil
import pytest

from functions.ways import Way
from shared.adapters.nats.frames import Item
from shared.codec.usual import UNUSUAL, WholeEnvelope, address, sender
from shared.domain.message import Message
from shared.domain.publishing import Outgoing
from shared.domain.record import Accepted
from shared.domain.verdict import Delivery, Receipt, Refusal
from tests.compiled import compiled
from tests.conformance.backbones import TRACE, message

RUNS = 2_000
BYTES = 16 * 1024 * 1024  # of the process; a kept body would be 40 MB
REQUEST = {"traceparent": TRACE, "tracestate": "a=b"}
LARGE = b'"' + b"x" * 20_000 + b'"'


def _event(**changed: Any) -> WholeEnvelope:
    return msgspec.structs.replace(WholeEnvelope("1.0", "e-1", "/shop", "order", data=msgspec.Raw(LARGE), traceparent=TRACE), **changed)


def _sent(event_id: str = "e-1", **changed: Any) -> Outgoing:
    return Outgoing(message("acme", event_id, LARGE, **changed), 42)


EVENTS = (
    ((_event(), _event()), b'"' * 48),
    ((_event(traceparent=None), _event(tracestate="c=d"), _event(traceparent=None, tracestate="c=d")), b'"' * 76),
    ((_event(),), b'"' * 25),  # another number of quotes
    ((_event(), _event(id="")), b""),
    ((_event(id="caf\u00e9"),), b""),
    ((_event(time="2023-02-29T00:00:00Z"),), b""),
    ((_event(tracestate="\x00"),), b""),
    ((_event(data=msgspec.Raw(b"[" * 600 + b"]" * 600)),), b""),
    ((_event(datacontenttype="text/plain"),), b""),
    ((_event(), _event(source="a b")), b""),  # a look-up raises
    ((_event(type=""),), b""),
    ((_event(data=None),), b""),
    ((_event(specversion="1"),), b""),
    ((None,), b""),
    (5, b""),
    ((_event(),), 48),  # no text
)
GROUPS = (
    ([_sent(extensions={"n": 1}), _sent()], 2**20),
    ([_sent(), _sent()], 100),
    ([_sent(), _sent(event_id="a b")], 2**20),
    ([_sent(subject="\ud800")], 2**20),
    ([_sent(source="\ud800")], 2**20),
    ([_sent(extensions={"n": "\ud800"})], 2**20),
    ([_sent(topic="t" * 1_100)], 2**20),
    ([_sent(), None], 2**20),
    ([_sent()], 2**70),
    (5, 2**20),
)
ITEM = Item(0, "sb.acme._.t", "NATS/1.0\r\n", LARGE, 20_012, b"k" * 16, False, b"d" * 32)
WIDE = Item(0, "sb.acme._.\u00e9", "NATS/1.0\r\n", LARGE, 20_012, b"k" * 16, False, b"d" * 32)
FRAMES: tuple[Any, ...] = (
    ([ITEM, WIDE, ITEM], None, "r"),
    ([ITEM, WIDE, ITEM], "b", "r"),
    ([msgspec.structs.replace(ITEM, subject="s" * 1_000)] * 3, "b", "r"),  # the bytes grow
    ([ITEM, msgspec.structs.replace(ITEM, subject="\ud800")], "b", "r"),
    ([ITEM, msgspec.structs.replace(ITEM, size=-1)], "b", "r"),
    ([ITEM, msgspec.structs.replace(ITEM, headers="\u00e9")], "b", "r"),
    ([ITEM, None], "b", "r"),
    ([ITEM], "b\x00", "r"),
    ([ITEM], "b", 5),
    ([], "b", "r"),
)
TAKEN = Receipt(_sent(subject="caf\u00e9").message, 42, (Delivery("local", "sb-acme", 2**40), Delivery("eu", status="pending")))
OUTCOMES: tuple[Any, ...] = (
    (TAKEN, TAKEN),
    (TAKEN, Refusal(None)),  # type: ignore[arg-type]
    (TAKEN, msgspec.structs.replace(TAKEN, status='"')),
    (TAKEN, msgspec.structs.replace(TAKEN, status="\ud800")),
    (TAKEN, msgspec.structs.replace(TAKEN, deliveries=(Delivery("local", sequence=2**64),))),
    (msgspec.structs.replace(TAKEN, deliveries=TAKEN.deliveries * 50),),  # the bytes grow
    5,
)
STORED: tuple[Any, ...] = (
    ([TAKEN.message, TAKEN.message], "local", "sb-acme", 2**40),
    ([TAKEN.message, None], "local", "sb-acme", 1),
    ([TAKEN.message], '"', "sb-acme", 1),
    ([TAKEN.message], "local", "\ud800", 1),
    (5, "local", "sb-acme", 1),
)
FIRST_BATCHES: tuple[Any, ...] = (
    ([_sent().message, _sent("e-2", extensions={"n": 1}).message], "b" * 32, 2**20, 2**20),
    ([TAKEN.message, None], "b" * 32, 2**20, 2**20),
    ([TAKEN.message], "b" * 32, 10, 2**20),
    ([_sent(topic=["a"]).message], "b" * 32, 2**20, 2**20),  # a look-up raises
    (5, "b" * 32, 2**20, 2**20),
)
ACCEPTED = Accepted(_sent().message, ("local",))
ADDED: tuple[Any, ...] = (
    [ACCEPTED, Accepted(_sent("e-2").message, ("eu", "local")), ACCEPTED],
    [ACCEPTED, Accepted(_sent("e-2", revision=2**40).message, ())],
    [ACCEPTED, None],
    5,
)
PLACE = (ACCEPTED.message.org, ACCEPTED.message.topic, ACCEPTED.message.subject)
WAYS = {PLACE: Way(2**20, ("local",), None)}
ON_WAYS: tuple[Any, ...] = (
    [ACCEPTED.message, ACCEPTED.message],
    [_sent(extensions={"tenant": "a"}).message, _sent(extensions={"org": "a"}).message],
    [ACCEPTED.message, _sent(subject="nobody's").message],
    [ACCEPTED.message, _sent(topic=["a"]).message],  # a look-up raises
    [ACCEPTED.message, None],
    5,
)
CALLS: dict[str, tuple[tuple[Any, ...], Callable[[Any], Any]]] = {
    "messages": (EVENTS, lambda of: compiled().messages(*of, "acme", 2**50, "http", "shop", 2**40, REQUEST, None)),
    "items": (GROUPS, lambda of: compiled().items(*of)),
    "frames": (FRAMES, lambda of: compiled().frames(*of)),
    "receipts": (OUTCOMES, lambda of: compiled().receipts(of)),
    "receipt": (tuple(of[-1] if isinstance(of, tuple) else of for of in OUTCOMES), lambda of: compiled().receipt(of)),
    "stored_receipts": (STORED, lambda of: compiled().stored_receipts(*of)),
    "each_stored_receipt": (STORED, lambda of: compiled().each_stored_receipt(*of)),
    "first_batch": (FIRST_BATCHES, lambda of: compiled().first_batch(*of)),
    "add": (ADDED, lambda of: compiled().add(of, {}, [], bytearray(), {}, {})),
    "accepted": (ON_WAYS, lambda of: compiled().accepted(of, WAYS, ACCEPTED.message.revision)),
    "bind_messages": (
        ((WholeEnvelope, Message, address, sender), (WholeEnvelope, int, address, sender), (5, Message, address, sender), (5,)),
        lambda of: compiled().bind_messages(*of),
    ),
}


def shared_objects() -> list[Any]:
    """What every call touches, the smallest things too: a reference too few of these ends the process some day."""
    found: list[Any] = [None, True, False, b"", (), 0, 1, WholeEnvelope, Message, Item, Outgoing, address, sender, ITEM, WIDE, TAKEN, LARGE]
    found += [
        REQUEST,
        *REQUEST.values(),
        *EVENTS,
        *GROUPS,
        *FRAMES,
        *OUTCOMES,
        *ADDED,
        *STORED,
        *FIRST_BATCHES,
        *ON_WAYS,
        WAYS,
        *WAYS.values(),
        *WAYS[PLACE],
        *PLACE,
        ACCEPTED,
        ACCEPTED.message.id,
        ACCEPTED.targets,
        TAKEN.message,
        TAKEN.deliveries,
        "acme",
        "http",
        "shop",
        "application/json",
        "r",
        "b",
    ]
    kept: tuple[tuple[Any, ...], ...] = (sender("acme", "/shop"), address("acme", "order", None, None, "application/json", None))
    found += [*kept, *(one for answer in kept for one in answer)]
    for events, _ in EVENTS:
        for event in events if isinstance(events, tuple) else ():
            found += [getattr(event, name) for name in event.__struct_fields__] if event is not None else []
    for group, _ in GROUPS:
        for one in group if isinstance(group, list) else ():
            found += [one, *(getattr(one.message, name) for name in one.message.__struct_fields__)] if one is not None else []
    return found


def run(call: Callable[[Any], Any], of: Any, times: int) -> None:
    for _ in range(times):
        try:
            call(of)
        except (*UNUSUAL, AttributeError, TypeError, OverflowError):
            pass


def growth(call: Callable[[Any], Any], of: Any, times: int) -> tuple[int, int, int]:
    """What so many runs leave: references to what they share, objects, and bytes of the process."""
    watched, process = shared_objects(), psutil.Process()
    gc.collect()
    references, objects, size = [sys.getrefcount(one) for one in watched], sys.getallocatedblocks(), process.memory_info().rss
    run(call, of, times)
    gc.collect()
    grown = max(abs(sys.getrefcount(one) - before) for one, before in zip(watched, references, strict=True))
    return grown, sys.getallocatedblocks() - objects, process.memory_info().rss - size


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_kept_when_a_function_ran_two_thousand_times(name: str) -> None:
    inputs, call = CALLS[name]
    assert (call(inputs[0]) is None) == (name == "bind_messages"), "the first is a usual one"
    for place, of in enumerate(inputs):
        run(call, of, 200)
        # What is kept is kept every time; another thread of this process may make something meanwhile, now and then.
        measured = [growth(call, of, RUNS)]
        while len(measured) < 3 and not small(measured):
            measured.append(growth(call, of, RUNS))
        assert small(measured), (name, place, measured)


def small(measured: list[tuple[int, int, int]]) -> bool:
    """Whether less is left than one of anything for each run, or than a body for each."""
    limits = (RUNS // 2, RUNS // 2, BYTES)
    return all(min(each) < limit for each, limit in zip(zip(*measured, strict=True), limits, strict=True))
