"""Receipts are the same bytes from C as from msgspec, or C leaves them: texts with escapes, every form of delivery, refusals among them."""

from collections import deque
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.codec import encode_each, encode_receipt, encode_receipts
from shared.domain.errors import Fault, Malformed, NotProcessable, Unavailable
from shared.domain.in_a_row import ReceiptsInARow, StoredInARow
from shared.domain.verdict import Delivery, Outcome, Receipt, Refusal, dead_letter
from tests.compiled import TEXTS, alike, came_to, compiled
from tests.events import message

MANY = settings(max_examples=300, deadline=None)
NUMBERS = st.sampled_from((0, 1, 1234, -1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, True))
DELIVERIES = st.one_of(
    st.builds(Delivery, st.one_of(st.just("local"), TEXTS), st.one_of(st.none(), st.just("sb-acme"), TEXTS), st.one_of(st.none(), NUMBERS)),
    st.builds(Delivery, TEXTS, status=st.one_of(st.just("pending"), TEXTS), error=st.one_of(st.none(), TEXTS)),
    st.one_of(st.none(), TEXTS).map(dead_letter),
)


def told(outcomes: Any) -> Any:
    """What the C makes of them, which Python makes too unless it is None; together and one by one."""
    made = came_to(compiled().receipts, outcomes)
    assert made is None or made == alike(encode_receipts, outcomes)
    alike(encode_receipts, outcomes)
    for outcome in outcomes:
        one = came_to(compiled().receipt, outcome)
        assert one is None or one == alike(encode_receipt, outcome)
        alike(encode_receipt, outcome)
    return made


@pytest.mark.parametrize(
    "outcome",
    [
        Receipt(message(), 42, ()),
        Receipt(message(subject="agent-7"), 42, (Delivery("local", "sb-acme", 1234),)),
        Receipt(message(subject="caf\u00e9 \U0001f600", topic="\x7f\u2028"), 0, (Delivery("local", status="pending"),), duplicate=True),
        Receipt(message(), -1, (Delivery("eu", error="refused"), dead_letter(None), Delivery("", "", 0, "", "")), status="received"),
        Receipt(message(), 2**63 - 1, (Delivery("local", "sb-acme", -(2**63)),) * 100),
        Receipt(message(subject="x" * 1_000), 42, ()),
    ],
    ids=range(6),
)
def test_receipt_is_written_in_c_when_it_is_usual(outcome: Receipt) -> None:
    assert compiled().receipt(outcome) is not None
    for outcomes in ([outcome], (outcome,) * 3, [outcome] * 1000, []):
        assert told(outcomes) is not None


@pytest.mark.parametrize("place", ["org", "topic", "subject", "status", "backbone", "stream", "delivery", "error"])
def test_every_character_is_written_the_same_when_a_text_of_a_receipt_has_it(place: str) -> None:
    for code in (*range(0x180), 0x7FF, 0x800, 0x2028, 0xD800, 0xDFFF, 0xFFFE, 0xFFFF, 0x1F600, 0x10FFFF):
        text = f"a{chr(code)}b"
        of_delivery: dict[str, Any] = {"backbone": "local", "status" if place == "delivery" else place: text} if place in (
            "backbone", "stream", "delivery", "error"
        ) else {"backbone": "local"}  # fmt: skip
        of_message: dict[str, Any] = {place: text} if place in ("org", "topic", "subject") else {}
        sent = msgspec.structs.replace(message(), **of_message)
        outcome = Receipt(sent, 42, (Delivery(**of_delivery),), status=text if place == "status" else "accepted")
        usual = code >= 0x20 and chr(code) not in '"\\' and not 0xD800 <= code <= 0xDFFF
        assert (told([outcome]) is not None) == usual


@MANY
@given(
    st.lists(
        st.one_of(
            st.builds(
                Receipt,
                st.builds(
                    lambda made, org, topic, subject: msgspec.structs.replace(message(), id=made, org=org, topic=topic, subject=subject),
                    st.sampled_from((b"i" * 16, bytes(range(240, 256)))),
                    st.one_of(st.just("acme"), TEXTS),
                    st.one_of(st.just("orders.created"), TEXTS),
                    st.one_of(st.none(), TEXTS),
                ),
                NUMBERS,
                st.lists(DELIVERIES, max_size=3).map(tuple),
                st.sampled_from((False, True, 0, 1)),
                st.one_of(st.sampled_from(("accepted", "received")), TEXTS),
            ),
            st.sampled_from(
                (
                    Refusal(Malformed("no id", faults=[Fault("/id", "is missing")])),
                    Refusal(NotProcessable('no "way"', rule="policy:night"), b"i" * 16, 42, recorded=True),
                    Refusal(Unavailable("the log is away", retry_after_ms=1000), b"i" * 16, 2**63),
                )
            ),
        ),
        max_size=4,
    )
)
def test_answer_is_the_same_when_outcomes_are_any(outcomes: list[Outcome]) -> None:
    told(outcomes)


def in_a_row(messages: list[Any], backbone: Any = "local", stream: Any = "sb-acme", first: int = 1) -> ReceiptsInARow:
    return ReceiptsInARow(messages, StoredInARow(backbone, stream, range(first, first + len(messages))))


def told_in_a_row(outcomes: ReceiptsInARow) -> Any:
    """What the C makes of them: None, or what it makes of the same receipts one by one. Python's answer is the same either way."""
    stored = outcomes.stored
    made = came_to(compiled().stored_receipts, outcomes.messages, stored.backbone, stored.stream, stored.sequences.start)
    assert made is None or made == came_to(compiled().receipts, list(outcomes))
    each = came_to(compiled().each_stored_receipt, outcomes.messages, stored.backbone, stored.stream, stored.sequences.start)
    assert (each is None) == (made is None)
    assert each is None or each == [came_to(compiled().receipt, outcome) for outcome in outcomes]
    for some in (outcomes, outcomes[1:], outcomes[::2], outcomes[::-1]):
        assert alike(encode_receipts, some) == alike(encode_receipts, list(some))
        assert alike(encode_each, some) == alike(one_by_one, some)
    return made


def one_by_one(outcomes: ReceiptsInARow) -> list[bytes]:
    return [encode_receipt(outcome) for outcome in outcomes]


@pytest.mark.parametrize("first", [1, 2**31, 2**62 - 3])
def test_answer_is_written_in_c_when_a_stream_stored_all_of_it_in_a_row(first: int) -> None:
    texts = [
        ("orders.created", None, 0),
        ("orders.created", "agent-7", 42),
        ("caf\u00e9", "\U0001f600", 2**63 - 1),
        ("x" * 300, "y" * 900, 1),
    ]
    messages = [message(f"e{at}", topic=topic, subject=subject, revision=rev) for at, (topic, subject, rev) in enumerate(texts)]
    for some in ([], messages, messages[:1], messages * 250):
        assert told_in_a_row(in_a_row(some, first=first)) is not None
    assert told_in_a_row(in_a_row(messages, backbone="eu/caf\u00e9", stream="")) is not None


@MANY
@given(
    st.lists(st.tuples(TEXTS, st.one_of(st.none(), TEXTS), NUMBERS), max_size=4),
    TEXTS,
    TEXTS,
    st.sampled_from((0, -1, 2**62, 2**63 - 3, 2**63)),
)
def test_answer_in_a_row_is_the_same_when_texts_and_numbers_are_any(
    parts: list[tuple[str, str | None, int]], backbone: str, stream: str, first: int
) -> None:
    messages = [msgspec.structs.replace(message(), topic=topic, subject=subject, revision=revision) for topic, subject, revision in parts]
    told_in_a_row(in_a_row(messages, backbone, stream, first))


def test_answer_in_a_row_is_left_to_python_when_anything_is_odd() -> None:
    usual, odd = message(), msgspec.structs.replace
    for messages in ([None], [usual, odd(usual, id=b"short")], [odd(usual, revision=None)], [odd(usual, topic='a"b'), usual]):
        assert came_to(compiled().stored_receipts, messages, "local", "sb-acme", 1) is None
        assert came_to(compiled().each_stored_receipt, messages, "local", "sb-acme", 1) is None
    others: list[tuple[Any, ...]] = [
        ((usual,), "local", "sb-acme", 1),
        ([usual], "lo\\cal", "sb-acme", 1),
        ([usual], "local", None, 1),
        ([usual], "local", "sb-acme", "1"),
        ([usual], "local", "sb-acme", 2**63 - 1),
    ]
    for messages, backbone, stream, first in others:
        assert came_to(compiled().stored_receipts, messages, backbone, stream, first) is None
        assert came_to(compiled().each_stored_receipt, messages, backbone, stream, first) is None


def test_whole_answer_is_python_s_when_one_of_it_is_refused() -> None:
    taken = Receipt(message(), 42, (Delivery("local", "sb-acme", 1),))
    refused = Refusal(Malformed("no id"))
    assert compiled().receipt(refused) is None
    for outcomes in ([refused], [taken, refused], [taken] * 500 + [refused] + [taken] * 500):
        assert told(outcomes) is None


def test_other_objects_are_left_to_python_when_they_are_given() -> None:
    taken = Receipt(message(), 42, (Delivery("local", "sb-acme", 1),))

    class Kind(Receipt, frozen=True):
        pass

    def changed(**of: Any) -> Receipt:
        return msgspec.structs.replace(taken, **of)

    for odd in (
        None,
        "text",
        Kind(taken.message, 42, ()),
        changed(message=None),
        changed(message=msgspec.structs.replace(taken.message, id=b"short")),
        changed(message=msgspec.structs.replace(taken.message, id="i" * 16)),
        changed(deliveries=[*taken.deliveries]),
        changed(deliveries=(None,)),
        changed(deliveries=(Delivery("local", sequence="1"),)),  # type: ignore[arg-type]
        changed(deliveries=(Delivery(None),)),  # type: ignore[arg-type]
        changed(deliveries=(Delivery(5),)),  # type: ignore[arg-type]
        changed(duplicate=1),
        changed(revision=None),
        changed(status=None),
    ):
        assert compiled().receipt(odd) is None
        assert compiled().receipts([taken, odd]) is None
    assert compiled().receipts(deque([taken])) is None
    once = iter([taken])
    assert compiled().receipts(once) is None
    assert next(once) is taken, "Python comes to it after this"
