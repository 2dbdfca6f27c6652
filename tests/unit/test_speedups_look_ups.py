"""What the C is given that is no event as the decoder makes them, or answered by what it asks: it leaves that to Python, unharmed."""

import gc
from collections import OrderedDict, deque
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from shared.codec.usual import Envelope, WholeEnvelope, address, decode_envelopes, messages_of, sender
from shared.domain.message import Message
from tests.compiled import compiled, same
from tests.unit.usual_events import CONTEXT, QUOTE, TRACE, USUAL, decoded


def test_other_objects_are_left_to_python_when_they_are_given() -> None:
    event = WholeEnvelope("1.0", "e", "/s", "t")

    class Text(str):
        __slots__ = ()

    class Kind(WholeEnvelope):
        pass

    unset = WholeEnvelope("1.0", "e", "/s", "t")
    del unset.id
    odd: tuple[Any, ...] = (
        Envelope("1.0", "e", "/s", "t"),
        Kind("1.0", "e", "/s", "t"),
        unset,
        None,
        "text",
        WholeEnvelope("1.0", Text("e"), "/s", "t"),
        WholeEnvelope("1.0", 5, "/s", "t"),  # type: ignore[arg-type]
        WholeEnvelope("1.0", "e", "/s", "t", data=None),  # type: ignore[arg-type]
        WholeEnvelope("1.0", "e", "/s", "t", time=5),  # type: ignore[arg-type]
    )
    for one in odd:
        assert decoded([event, one], QUOTE * 32) is None
    assert decoded(deque([event]), QUOTE * 16) is None
    once = iter([event])
    assert decoded(once, QUOTE * 16) is None  # type: ignore[arg-type]
    assert next(once) is event, "Python comes to it after this"
    assert decoded([], QUOTE * 0) == decoded((), QUOTE * 0) == []
    traces: tuple[Any, ...] = (MappingProxyType({"traceparent": TRACE}), OrderedDict(traceparent=TRACE), [], "text")
    for trace in traces:
        assert decoded([event], QUOTE * 16, msgspec.structs.replace(CONTEXT, trace=trace)) is None
    for topic in (Text("t"), 5):
        assert decoded([msgspec.structs.replace(event, topic="t")], QUOTE * 20, msgspec.structs.replace(CONTEXT, topic=topic)) is None


def test_what_is_being_decoded_stays_when_a_look_up_lets_go_of_it() -> None:
    envelopes: list[WholeEnvelope] = []

    def cruel(*of: Any) -> Any:
        for event in envelopes:
            event.id = event.source = event.type = event.time = event.specversion = "gone"
            event.data = msgspec.Raw()
        envelopes.clear()
        gc.collect()
        return address(*of)

    compiled().bind_messages(WholeEnvelope, Message, cruel, sender)
    try:
        text = msgspec.json.encode([USUAL | {"id": f"event-{number}", "time": f"2026-11-27T21:30:{number}Z"} for number in range(10, 40)])
        events = decode_envelopes(text)
        envelopes.extend(events[:1])
        envelopes.extend(events[1:2])
        del events
        made = decoded(envelopes, QUOTE * 40)
        assert made is None, "the second was changed before its turn"
        envelopes.extend(decode_envelopes(text)[:1])
        (kept,) = decoded(envelopes, QUOTE * 20)
    finally:
        compiled().bind_messages(WholeEnvelope, Message, address, sender)
    (reference,) = messages_of(decode_envelopes(text)[:1], QUOTE * 20, CONTEXT)
    assert same(kept, reference)


@pytest.mark.parametrize("answer", [None, (), (1,) * 8, ("t", None, "t", None, None, True, None, "no bytes"), [1] * 8], ids=str)
def test_event_is_left_to_python_when_a_look_up_answers_something_else(answer: Any) -> None:
    for of_address, of_sender in ((lambda *of: answer, sender), (address, lambda *of: answer)):
        compiled().bind_messages(WholeEnvelope, Message, of_address, of_sender)
        try:
            assert decoded([WholeEnvelope("1.0", "e", "/s", "t")], QUOTE * 16) is None
        finally:
            compiled().bind_messages(WholeEnvelope, Message, address, sender)


def test_nothing_changes_when_the_wrong_class_is_bound() -> None:
    class Partly:
        __slots__ = ("specversion",)

    class Borrowed:
        specversion = WholeEnvelope.specversion

    for wrong in (int, Partly, Borrowed, "text"):
        with pytest.raises((TypeError, AttributeError)):
            compiled().bind_messages(wrong, Message, address, sender)
        assert decoded([WholeEnvelope("1.0", "e", "/s", "t")], QUOTE * 16) is not None
