"""What goes to NATS is the same bytes from C as from Python, or C leaves it: headers, items at the limits, single and batch frames."""

import gc
import sys
from collections import deque
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.nats.binding import extension_lines, shared_lines
from shared.adapters.nats.framed import MOST_BYTES, Framed
from shared.adapters.nats.framed import framed as framed_group
from shared.adapters.nats.frames import ROOM_FOR_BATCH, Item, batch_frames, encode, encode_group, single_frames, usual_items
from shared.domain.message import Message
from shared.domain.names import nats_subject
from shared.domain.publishing import FirstTime, Outgoing
from tests.compiled import ODD, TEXTS, alike, came_to, compiled, same
from tests.conformance.backbones import TRACE, message

MAX_PAYLOAD = 1024 * 1024
MANY = settings(max_examples=300, deadline=None)
NUMBERS = st.sampled_from((0, 1, 42, -1, 2**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**80, True, 1.5, None))
REPLY, BATCH = "_INBOX.acme.x", "0123456789abcdef0123456789abcdef"


def made_of(group: Any, max_payload: Any = MAX_PAYLOAD) -> Any:
    """What the C makes of a group, which Python makes too unless it is None."""
    made = came_to(compiled().items, group, max_payload)
    assert made is None or same(made, came_to(encode_group, group, max_payload))
    return made


def framed(items: list[Item], batch_id: Any = BATCH, reply: Any = REPLY) -> tuple[Any, Any]:
    """The same of frames: each on its own, and as a batch."""
    single, batch = came_to(compiled().frames, items, None, reply), came_to(compiled().frames, items, batch_id, reply)
    assert single is None or single == alike(single_frames, items, reply)
    assert batch is None or batch_id is None or batch == alike(batch_frames, items, batch_id, reply)
    alike(single_frames, items, reply)
    alike(batch_frames, items, batch_id, reply)
    return single, batch


def at_once(messages: Any, max_payload: Any = MAX_PAYLOAD) -> Any:
    """What the C makes of messages for the first time, subjects and frames; it is what it makes of their items."""
    made = came_to(compiled().first_batch, messages, BATCH, max_payload, MOST_BYTES)
    if made is None or isinstance(made, type):
        return made
    subjects, before, after = made
    items = encode_group(FirstTime(messages), max_payload)
    assert subjects == [item.subject for item in items if isinstance(item, Item)]
    assert before + REPLY.encode() + after == alike(batch_frames, items, BATCH, REPLY)
    return made


def items(count: int, **changes: Any) -> list[Item]:
    made = made_of([Outgoing(message("acme", f"e-{number}", **changes), 42) for number in range(count)])
    assert isinstance(made, list)
    return made


def test_messages_go_under_their_own_revision_when_nothing_else_is_said() -> None:
    compiled()  # without it there are no usual items, and this isn't asked
    messages = [message("acme", f"e-{number}", revision=number) for number in range(3)]
    made = usual_items(FirstTime(messages), MAX_PAYLOAD)
    assert made is not None
    assert same(made, encode_group(FirstTime(messages), MAX_PAYLOAD))
    assert same(made, usual_items([Outgoing(one, one.revision) for one in messages], MAX_PAYLOAD))


def test_lines_are_the_messages_own_when_those_of_many_others_were_kept() -> None:
    kept = {text: text for text in (f"agent-{number}" for number in range(3_000))}
    group = [
        Outgoing(message("acme", f"e-{number}", subject=kept[f"agent-{number * 7 % 3_000}"], source=f"/shop-{number % 3}"), 42)
        for number in range(3_000)
    ]
    for _ in range(2):
        assert made_of(group) is not None
        group.reverse()


def test_lines_are_not_kept_when_they_are_long() -> None:
    long, short = (message("acme", "e-1", source="/" + "x" * length) for length in (60_000, 10))
    before = [sys.getrefcount(one.source) for one in (long, short)]
    assert made_of([Outgoing(long, 42), Outgoing(short, 42)]) is not None
    assert sys.getrefcount(long.source) - before[0] < sys.getrefcount(short.source) - before[1]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"time": None},
        {"subject": None},
        {"subject": "caf\u00e9"},
        {"topic": "com.acme.order"},
        {"body": None},
        {"body": b""},
        {"body": None, "datacontenttype": None},
        {"body": b"x" * 100_000, "datacontenttype": "text/plain"},
        {"dataschema": "https://host.example/schema#a"},
        {"extensions": {"traceparent": TRACE, "tracestate": "a=b"}},
        {"extensions": {"n": -5, "flag": True, "text": "caf\u00e9 %"}},
        {"extensions": {}},
        {"event_id": "x" * 512},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_group_is_made_in_c_when_it_is_usual(changes: dict[str, Any]) -> None:
    event_id = changes.pop("event_id", "e-1")
    group = [
        Outgoing(message("acme", event_id, **changes), revision, known) for revision, known in ((42, False), (0, True), (-(2**63), False))
    ]
    for of in (group, tuple(group), []):
        made = made_of(of)
        assert made is not None
        single, batch = framed(made)
        assert single is not None
        assert batch is not None


@pytest.mark.parametrize("count", [0, 1, 2, 999, 1000])
def test_frames_are_made_in_c_when_there_are_few_or_many(count: int) -> None:
    single, batch = framed(items(count))
    assert single.count(b"HPUB ") == batch.count(b"HPUB ") == count
    assert batch.count(b"Nats-Batch-Commit: 1\r\n\r\n") == min(count, 1)


def test_frames_are_whole_when_they_are_far_larger_than_a_command_s_usual_line() -> None:
    subject = "s" * 500 + "." + "t" * 500
    large = [msgspec.structs.replace(item, subject=subject, body=b"x" * size) for item in items(3) for size in (0, 1, 70_000)]
    assert framed(large, "b" * 64, "r" * 5_000) != (None, None)
    assert framed(large, "b" * 65)[1] is None


@MANY
@given(
    st.lists(
        st.builds(
            Outgoing,
            st.builds(
                Message,
                st.sampled_from((b"i" * 16, bytes(range(240, 256)), b"\x00" * 16, b"", b"i" * 15, b"i" * 17, bytearray(16), "i" * 16)),
                st.just(b"d" * 32),
                st.sampled_from(("acme", "a" * 40, "")),
                st.one_of(st.just("orders.created"), TEXTS),
                st.one_of(st.none(), TEXTS),
                st.one_of(st.just("/shop"), TEXTS),
                st.one_of(st.just("e-1"), TEXTS),
                st.one_of(st.just("order"), TEXTS),
                st.one_of(st.none(), st.just("2026-11-27T21:30:05Z"), TEXTS),
                st.one_of(st.none(), st.sampled_from(("application/json", "Application/CloudEvents+json", "caf\u00e9/x")), TEXTS),
                st.one_of(st.none(), st.just("https://host.example/schema"), TEXTS),
                st.one_of(
                    st.none(),
                    st.dictionaries(
                        st.sampled_from(("traceparent", "sbid", "n")), st.one_of(st.just(TRACE), TEXTS, st.booleans()), max_size=2
                    ),
                ),
                st.sampled_from((None, b"", b"{}", b"\xff\x00", bytearray(b"x"), "text")),
                st.just(1),
                st.just("http"),
                st.just("shop"),
            ),
            NUMBERS,
            st.booleans(),
            st.sampled_from((None, None, None, "", "id", "a b\u00e9")),
            st.sampled_from((False, False, True, 0, 1)),
        ),
        max_size=3,
    ),
    st.sampled_from((MAX_PAYLOAD, 0, -1, 200, 700, 2**63 - 1, 2**63, 2**200, float(MAX_PAYLOAD))),
)
def test_group_and_its_frames_are_the_same_when_messages_are_any(group: list[Outgoing], max_payload: Any) -> None:
    made_of(group, max_payload)
    result = came_to(encode_group, group, max_payload)
    if isinstance(result, list):
        framed([item for item in result if isinstance(item, Item)])


def test_group_is_the_same_when_one_thing_of_a_message_is_odd() -> None:
    usual = message("acme", "e-1")
    for name in ("org", "topic", "subject", "source", "event_id", "type", "time", "datacontenttype", "dataschema"):
        for text in ODD:
            made_of([Outgoing(msgspec.structs.replace(usual, **{name: text}), 42)])
    for name in ("event_id", "time"):
        for code in (*range(0x180), 0xD800, 0x1F600):
            made = made_of([Outgoing(msgspec.structs.replace(usual, **{name: f"a{chr(code)}"}), 42)])
            assert (made is not None) == (0x21 <= code <= 0x7E and chr(code) not in '"%')


def test_message_is_left_to_python_when_it_is_a_repair_or_has_an_id_of_its_own() -> None:
    usual = Outgoing(message("acme", "e-1"), 42)
    for changes in ({"repair": True}, {"nats_id": "id"}, {"nats_id": ""}, {"revision": 2**63}, {"revision": True}):
        assert made_of([usual, msgspec.structs.replace(usual, **changes)]) is None
    for batch_id in ("b\x00", "\x00", "caf\u00e9", "b" * 65):
        assert framed(items(2), batch_id)[1] is None


def test_payload_limit_is_the_same_to_the_byte_when_a_message_is_as_large_as_it() -> None:
    outgoing = Outgoing(message("acme", "e-1"), 42)
    item = encode(0, outgoing, MAX_PAYLOAD)
    assert isinstance(item, Item)
    limit = item.size + ROOM_FOR_BATCH
    assert [made_of([outgoing], limit + off) is None for off in (-1, 0, 1)] == [True, False, False]
    assert isinstance(encode_group([outgoing, outgoing], limit - 1)[1], str)


def test_headers_are_made_in_c_just_when_they_are_within_their_limit() -> None:
    taken = [made_of([Outgoing(message("acme", "e", extensions={"x": "y" * size}), 1)]) is not None for size in range(65_100, 65_536)]
    assert (taken[0], taken[-1], taken) == (True, False, sorted(taken, reverse=True))


@MANY
@given(
    st.lists(
        st.builds(
            Item,
            st.just(0),
            st.one_of(st.just("sb.acme._.t"), TEXTS),
            st.one_of(st.just("NATS/1.0\r\na: b\r\n"), TEXTS),
            st.sampled_from((b"", b"{}", b"x" * 600)),
            st.sampled_from((0, 20, 2**28, 2**28 + 1, -1, 2**63, True)),
            st.just(b"k"),
            st.booleans(),
            st.just(b"d" * 32),
        ),
        max_size=3,
    ),
    st.one_of(st.just(BATCH), st.sampled_from(ODD), st.text(max_size=70)),
    st.one_of(st.just(REPLY), TEXTS),
)
def test_frames_are_the_same_when_items_and_names_are_any(made: list[Item], batch_id: str, reply: str) -> None:
    framed(made, batch_id, reply)


@pytest.mark.parametrize("count", [1, 2, 999, 1000])
def test_batch_is_written_at_once_when_messages_go_for_the_first_time(count: int) -> None:
    kinds: list[dict[str, Any]] = [
        {}, {"subject": None}, {"body": None, "datacontenttype": None}, {"time": None}, {"dataschema": "https://a/b"},
        {"extensions": {"traceparent": TRACE, "n": 1}}, {"body": b"x" * 10_000}, {"subject": "caf\u00e9 *"}, {"source": "/s%20p"},
    ]  # fmt: skip
    messages = [message("acme", f"e-{number}", revision=number, **kinds[number % len(kinds)]) for number in range(count)]
    assert at_once(messages) is not None
    assert at_once(tuple(messages)) is not None
    group = framed_group(FirstTime(messages), MAX_PAYLOAD)
    assert isinstance(group, Framed)
    assert (len(group), list(group), group[0].place, group[-1]) == (
        count,
        encode_group(FirstTime(messages), MAX_PAYLOAD),
        0,
        list(group)[-1],
    )
    assert [item.place for item in group[1:3]] == [1, 2][: count - 1]
    assert group.size == len(b"".join(group.frames("")))
    with pytest.raises(AssertionError, match="sent once"):
        group.frames("")


@MANY
@given(st.lists(st.tuples(TEXTS, TEXTS, st.one_of(st.none(), TEXTS), st.one_of(st.none(), TEXTS), NUMBERS), max_size=3))
def test_batch_at_once_is_the_same_when_texts_and_numbers_are_any(parts: list[tuple[Any, ...]]) -> None:
    at_once([
        msgspec.structs.replace(message("acme", "e-1"), event_id=event_id, topic=topic, subject=subject, time=time, revision=revision)
        for event_id, topic, subject, time, revision in parts
    ])  # fmt: skip


def test_batch_is_not_written_at_once_when_a_message_is_at_a_limit_or_odd() -> None:
    usual, odd = message("acme", "e-1"), msgspec.structs.replace
    (item,) = items(1, body=b"x" * 1000)
    limit = item.size + ROOM_FOR_BATCH
    large = message("acme", "e-0", body=b"x" * 1000, revision=42)
    assert at_once([usual, large], limit - 1) is None
    assert at_once([usual, large], limit) is not None
    for messages in ([], [usual, None], [odd(usual, body="text")], [odd(usual, id=b"short")], [odd(usual, extensions={"x": "y" * 70_000})]):
        assert came_to(compiled().first_batch, messages, BATCH, MAX_PAYLOAD, MOST_BYTES) is None
    others: list[Any] = [(iter([usual]), BATCH, 1), ([usual], None, 1), ([usual], "b" * 65, MAX_PAYLOAD), ([usual], BATCH, 2**70)]
    for sequence, batch_id, payload in others:
        assert came_to(compiled().first_batch, sequence, batch_id, payload, MOST_BYTES) is None
    assert framed_group([Outgoing(usual, 1)], MAX_PAYLOAD) is None


def test_batch_is_not_written_at_once_when_the_group_is_more_than_one() -> None:
    half = message("acme", "e-1", b"x" * (MOST_BYTES // 4))
    assert framed_group(FirstTime([half] * 4), 2 * MOST_BYTES) is not None
    assert framed_group(FirstTime([half] * 4 + [message("acme", "e-2", b"x")]), 2 * MOST_BYTES) is None
    assert framed_group(FirstTime([message("acme", "e-1")] * 1000), MAX_PAYLOAD) is not None
    assert framed_group(FirstTime([message("acme", "e-1")] * 1001), MAX_PAYLOAD) is None


def test_messages_of_a_batch_stay_when_a_look_up_lets_go_of_them() -> None:
    messages = [message("acme", f"e-{number}", b"%d" % number * 50, extensions={"n": number}) for number in range(5)]
    reference = at_once(list(messages))

    def cruel(*of: Any) -> str:
        messages.clear()
        gc.collect()
        return nats_subject(*of)

    compiled().bind_frames(Message, Item, Outgoing, cruel, shared_lines, extension_lines)
    try:
        made = compiled().first_batch(messages, BATCH, MAX_PAYLOAD, MOST_BYTES)
    finally:
        compiled().bind_frames(Message, Item, Outgoing, nats_subject, shared_lines, extension_lines)
    assert messages == []
    assert made == reference


def test_other_objects_are_left_to_python_when_they_are_given() -> None:
    outgoing = Outgoing(message("acme", "e-1"), 42)
    (item,) = items(1)

    class Kind(Outgoing, frozen=True):
        pass

    for group in ([None], [outgoing, "text"], [Kind(outgoing.message, 42)], [Outgoing(None, 42)], deque([outgoing])):  # type: ignore[arg-type]
        assert compiled().items(group, MAX_PAYLOAD) is None
    once = iter([outgoing])
    assert compiled().items(once, MAX_PAYLOAD) is None
    assert next(once) is outgoing, "Python comes to it after this"
    for made in ([None], [item, "text"], (item,), iter([item])):
        assert compiled().frames(made, None, REPLY) is None
    for batch_id, reply in ((5, REPLY), (BATCH, 5), (BATCH, None), (b"x", REPLY)):
        assert compiled().frames([item], batch_id, reply) is None


def test_what_is_being_encoded_stays_when_a_look_up_lets_go_of_it() -> None:
    group = [Outgoing(message("acme", f"e-{number}", b"%d" % number * 50, extensions={"n": number}), 42) for number in range(5)]
    reference = encode_group(group, MAX_PAYLOAD)

    def cruel(*of: Any) -> str:
        group.clear()
        gc.collect()
        return nats_subject(*of)

    compiled().bind_frames(Message, Item, Outgoing, cruel, shared_lines, extension_lines)
    try:
        made = compiled().items(group, MAX_PAYLOAD)
    finally:
        compiled().bind_frames(Message, Item, Outgoing, nats_subject, shared_lines, extension_lines)
    assert group == []
    assert same(made, reference)


@pytest.mark.parametrize("answer", [None, 5, "caf\u00e9", b"text"], ids=str)
def test_group_is_left_to_python_when_headers_are_no_ascii_text(answer: Any) -> None:
    group = [Outgoing(message("acme", "e-1", extensions={"n": 1}), 42)]
    for shared, extensions in ((lambda *of: answer, extension_lines), (shared_lines, lambda of: answer)):
        compiled().bind_frames(Message, Item, Outgoing, nats_subject, shared, extensions)
        try:
            assert compiled().items(group, MAX_PAYLOAD) is None
        finally:
            compiled().bind_frames(Message, Item, Outgoing, nats_subject, shared_lines, extension_lines)


def test_an_interrupt_is_no_reason_to_begin_again_when_it_comes_in_a_look_up() -> None:
    def interrupted(*of: Any) -> str:
        raise KeyboardInterrupt

    compiled().bind_frames(Message, Item, Outgoing, interrupted, shared_lines, extension_lines)
    try:
        with pytest.raises(KeyboardInterrupt):
            compiled().items([Outgoing(message("acme", "e-1"), 42)], MAX_PAYLOAD)
    finally:
        compiled().bind_frames(Message, Item, Outgoing, nats_subject, shared_lines, extension_lines)
