"""How a group is cut into steps, and what a PubAck is worth."""

import asyncio
from typing import Any

import msgspec
import pytest

from shared.adapters.nats.framed import MOST_BYTES
from shared.adapters.nats.frames import Item, apart, content, encode
from shared.adapters.nats.publishing import BATCH_FROM, IN_PROCESS, Results, Step, first_in_a_row, plan, publish_step
from shared.adapters.nats.replies import NO_RESPONDERS, Acks, ApiError, PubAck
from shared.adapters.nats.streams import Stream
from tests.conformance.backbones import outgoing

MAX_PAYLOAD = 4 * 1024 * 1024


def items(count: int, known: bool = False) -> list[Item]:
    found = [encode(place, msgspec.structs.replace(one, known=known), MAX_PAYLOAD) for place, one in enumerate(outgoing("acme", count))]
    return [item for item in found if isinstance(item, Item)]


def test_group_is_a_batch_when_it_is_large_enough() -> None:
    assert [(step.atomic, len(step.items)) for step in plan(items(BATCH_FROM))] == [(True, BATCH_FROM)]
    assert [(step.atomic, len(step.items)) for step in plan(items(BATCH_FROM - 1))] == [(False, BATCH_FROM - 1)]


def test_batch_ends_at_the_servers_limit_when_the_group_is_larger() -> None:
    assert [(step.atomic, len(step.items)) for step in plan(items(2020))] == [(True, 1000), (True, 1000), (False, 20)]


def test_step_ends_at_the_limit_in_bytes_when_messages_are_large() -> None:
    large = [msgspec.structs.replace(item, size=MOST_BYTES // 4) for item in items(10)]
    assert [len(step.items) for step in plan(large)] == [4, 4, 2]
    huge = [msgspec.structs.replace(item, size=MOST_BYTES + 1) for item in items(2)]
    assert [len(step.items) for step in plan(huge)] == [1, 1]


def test_known_go_first_and_alone_when_the_rest_is_a_batch() -> None:
    known, new = items(3, known=True), items(BATCH_FROM)
    steps = list(plan([*new[:50], *known, *new[50:]]))
    assert [(step.atomic, step.items) for step in steps] == [(False, known), (True, new)]


def test_known_copy_goes_last_when_the_group_has_the_message_itself() -> None:
    new = items(BATCH_FROM)
    copy = msgspec.structs.replace(new[5], known=True)
    assert [(step.atomic, len(step.items)) for step in plan([copy, *new])] == [(True, BATCH_FROM), (False, 1)]


def test_order_is_kept_when_there_is_no_batch() -> None:
    mixed = [*items(2), *items(2, known=True), *items(1)]
    assert [step.items for step in plan(mixed)] == [mixed]


class Answers:
    """A connection on which each question has the next of these answers, or none."""

    gone = None

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def ask(self, acks: Acks, frames: object, deadline: float) -> None:
        if self.answers:
            acks.take(b"0", self.answers.pop(0).encode(), None)


@pytest.mark.parametrize(("last", "first"), [(300, 45), (256, 1), (255, None), (3, None), (0, None)])
async def test_batch_is_stored_when_there_is_room_for_all_of_it_before_the_last_sequence(last: int, first: int | None) -> None:
    connection: Any = Answers(f'{{"stream":"sb-acme","seq":{last},"count":256}}')
    results = Results([None] * 256)
    deadline = asyncio.get_running_loop().time() + 60
    await publish_step(connection, Stream("sb-acme", "", ""), Step(items(256), True, 0), results, deadline)
    assert (results.in_a_row and results.in_a_row.sequences) == (first and range(first, first + 256))
    assert first or all(result is not None and result.lost == "no PubAck in time" for result in results), "asked for one by one"


class Leaving:
    """A connection to a server whose stream is just being stored to, and gone when it is asked again."""

    gone = None

    def __init__(self, stored: int) -> None:
        self.stored = stored  # the place of the message that is

    async def ask(self, acks: Acks, encode: object, deadline: float) -> None:
        acks.answers = [NO_RESPONDERS] * len(acks.answers)
        if len(acks.answers) > 1:
            acks.answers[self.stored] = PubAck(error=ApiError(IN_PROCESS))


async def test_messages_that_nobody_took_are_in_order_when_one_was_sent_twice() -> None:
    """They go once more, as a batch: its sequences are theirs in the order of the group."""
    connection: Any = Leaving(2)
    step, deadline = Step(items(5), False, 0), asyncio.get_running_loop().time() + 60
    nobody = await publish_step(connection, Stream("sb-acme", "", ""), step, Results([None] * 5), deadline)
    assert [item.place for item in nobody] == [0, 1, 2, 3, 4]


def test_pub_ack_does_not_count_when_it_is_another_streams() -> None:
    acks = Acks(1, "sb-acme", "local")
    assert not acks.take(b"0", b'{"stream":"other","domain":"local","seq":9}', None)
    assert not acks.take(b"0", b'{"stream":"sb-acme","domain":"leaf","seq":9}', None)
    assert (acks.answers, acks.foreign) == ([None], "acknowledged by stream sb-acme of domain leaf")
    assert acks.take(b"0", b'{"stream":"sb-acme","domain":"local","seq":1}', None)
    assert acks.answers[0] is not None
    assert acks.answers[0].seq == 1


@pytest.mark.parametrize("seq", [2**64, 2**70, 2**63, -1, "1e3", '"7"'])
def test_pub_ack_does_not_count_when_its_sequence_is_none_that_the_log_could_keep(seq: object) -> None:
    """One of 2**64 was a delivery record that couldn't be packed: no flush of that door's shard could any more, whoever's messages."""
    acks = Acks(1, "sb-acme", "local")
    assert not acks.take(b"0", f'{{"stream":"sb-acme","domain":"local","seq":{seq}}}'.encode(), None)
    assert acks.answers == [None]
    assert acks.take(b"0", f'{{"stream":"sb-acme","domain":"local","seq":{2**62}}}'.encode(), None)


def test_pub_ack_does_not_count_when_it_has_a_text_that_no_server_says() -> None:
    """It was the reason of a refusal, and went into the log with each message; with a NUL the store refused the batch that it was in."""
    acks = Acks(1, "sb-acme", "local")
    long = "x" * 2_001
    assert not acks.take(b"0", f'{{"stream":"sb-acme","error":{{"code":400,"err_code":10054,"description":"{long}"}}}}'.encode(), None)
    assert not acks.take(b"0", b'{"stream":"sb-acme","error":{"code":400,"err_code":10054,"description":"a\\u0000b"}}', None)
    assert not acks.take(b"0", f'{{"stream":"{long}","seq":1}}'.encode(), None)
    assert (acks.answers, acks.foreign) == ([None], None)


def test_pub_ack_does_not_count_when_it_names_no_domain_and_our_server_has_one() -> None:
    acks = Acks(2, "sb-acme", "local")
    assert not acks.take(b"0", b'{"stream":"sb-acme","seq":9}', None)
    assert (acks.answers[0], acks.foreign) == (None, "acknowledged by stream sb-acme")
    assert not acks.take(b"0", b'{"stream":"sb-acme","seq":0,"error":{"code":400,"err_code":10054}}', None)
    assert acks.answers[0] is not None, "an error never says its domain"
    assert Acks(1, "sb-acme", "").take(b"0", b'{"stream":"sb-acme","seq":1}', None)


@pytest.mark.parametrize(
    ("code", "err_code", "description", "passes"),
    [
        (400, 10054, "message size exceeds maximum allowed", False),
        (400, 10097, "header size exceeds maximum allowed of 64k", False),
        (400, 10109, "invalid operation on sealed stream", False),
        (503, 10077, "maximum messages exceeded", False),
        (503, 10077, "maximum bytes exceeded", False),
        (503, 10077, "maximum messages per subject exceeded", False),
        (503, 10077, "write msgs/1.blk: no space left on device", True),
        (503, 10077, "store is closed", True),
        (503, 10008, "JetStream system temporarily unavailable", True),
        (500, 10009, "JetStream cluster can not handle request", True),
        (503, 10023, "insufficient resources", True),
        (500, 10028, "insufficient memory resources available", True),
        (503, 10039, "JetStream not enabled for account", True),
        (500, 10047, "insufficient storage resources available", True),
        (503, 10076, "JetStream not enabled", True),
        (500, 10118, "stream is offline", True),
        (429, 10167, "too many requests", True),
        (400, 10002, "resource limits exceeded for account", True),
    ],
)
def test_error_holds_messages_up_when_it_is_the_servers_state_and_refuses_them_otherwise(
    code: int, err_code: int, description: str, passes: bool
) -> None:
    assert ApiError(err_code, code, description).passes == passes


def test_step_has_more_time_when_it_has_more_bytes() -> None:
    large = [msgspec.structs.replace(item, size=MOST_BYTES // 2) for item in items(3)]
    assert [step.seconds(2.0) for step in plan(large)] == [3.0, 2.5]


def test_message_keeps_all_but_its_id_when_it_is_told_apart() -> None:
    (item,) = items(1)
    other = apart(item)
    assert (len(other.headers) - len(item.headers), other.size - item.size) == (19, 19)
    assert [line for line in other.headers.split("\r\n") if line not in item.headers.split("\r\n")] == [f"Nats-Msg-Id: {other.key!s}"]
    assert content(other.headers, other.body) == content(item.headers, item.body)


def test_answer_is_passed_over_when_it_is_no_pub_ack() -> None:
    acks = Acks(2, "sb-acme", "")
    for data in (b"", b"hello", b"{}", b"null", b'{"seq":1}'):
        assert not acks.take(b"0", data, None)
    for place in (b"x", b"", b"2", b"-1"):
        assert not acks.take(place, b'{"stream":"sb-acme","seq":1}', None)
    assert not acks.take(b"0", b"", b"NATS/1.0 503\r\nNats-Subject: sb.acme\r\n\r\n")
    assert acks.answers == [NO_RESPONDERS, None]


def test_second_answer_changes_nothing_when_a_place_was_answered() -> None:
    acks = Acks(2, "sb-acme", "")
    acks.take(b"0", b'{"stream":"sb-acme","seq":1}', None)
    assert not acks.take(b"0", b'{"stream":"sb-acme","seq":2}', None)
    assert acks.take(b"1", b'{"stream":"sb-acme","seq":3}', None)


def test_acks_are_in_a_row_only_when_every_message_is_new_and_nothing_lies_between() -> None:
    row = [PubAck("s", seq=sequence) for sequence in (7, 8, 9)]
    assert [first_in_a_row(row), first_in_a_row(row[1:]), first_in_a_row(row[2:])] == [7, 8, 9]
    odd: list[PubAck | None] = [
        None, PubAck("s", seq=8, duplicate=True), PubAck("s", seq=10), PubAck("s", seq=7), PubAck(), PubAck("s", seq=8, error=ApiError()),
    ]  # fmt: skip
    for one in odd:
        assert first_in_a_row([row[0], one, row[2]]) == 0
    for one in (None, PubAck(error=ApiError()), PubAck("s", seq=7, duplicate=True), PubAck("s")):
        assert first_in_a_row([one]) == 0
