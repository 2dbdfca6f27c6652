"""What every Backbones adapter must do (shared/ports/)."""

import itertools
from typing import Protocol

import msgspec
import pytest

from shared.domain.message import Message, message_digest, message_id, uuid_text
from shared.domain.names import parse_nats_subject
from shared.domain.publishing import Outgoing, PublishedGroup
from shared.ports import Backbones

BACKBONE = "local"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

_numbers = itertools.count()


class Stored(msgspec.Struct, frozen=True):
    """A message as it lies in the stream: header names in lower case."""

    sequence: int
    subject: str
    headers: dict[str, str]
    body: bytes


class Stage(Protocol):
    """An adapter with one backbone, BACKBONE, and a look into its streams."""

    @property
    def backbones(self) -> Backbones: ...

    async def stored(self, org: str) -> list[Stored]:
        """What the org's stream holds, in order."""


def message(org: str, event_id: str | None = None, body: bytes | None = b'{"sku":"a"}', **changes: object) -> Message:
    """A message of the org, of its own identity unless `event_id` says which."""
    event_id = event_id or f"event-{next(_numbers)}"
    plain = Message(
        id=message_id(org, "/shop", event_id),
        digest=message_digest("com.acme.order", "agent-7", "orders.created", "application/json", None, body),
        org=org,
        topic="orders.created",
        subject="agent-7",
        source="/shop",
        event_id=event_id,
        type="com.acme.order",
        time="2026-11-22T14:33:20Z",
        datacontenttype="application/json",
        dataschema=None,
        extensions=None,
        body=body,
        received_at=1,
        door="http",
        principal="shop",
    )
    return msgspec.structs.replace(plain, **changes)


def outgoing(org: str, count: int = 1) -> list[Outgoing]:
    """Messages that no log has seen before."""
    return [Outgoing(message(org), revision=3) for _ in range(count)]


def two_of_one_identity(org: str) -> list[Outgoing]:
    """What the log accepts 120 s apart, each as a message of its own."""
    return [Outgoing(message(org, "e1", body), revision=3) for body in (b'{"amount":1}', b'{"amount":2}')]


def sequences(group: PublishedGroup) -> list[int]:
    return [result.sequence for result in group.results]


def ids(stored: list[Stored]) -> list[str]:
    return [one.headers["ce-id"] for one in stored]


class BackbonesConformance:
    """Subclasses give `stage`, a fixture; the fixture `org` is an org nobody else uses."""

    async def test_group_is_stored_in_its_order_when_it_is_small(self, stage: Stage, org: str) -> None:
        group = outgoing(org, 20)
        published = await stage.backbones.publish(BACKBONE, org, group)
        assert (published.backbone, published.stream) == (BACKBONE, f"sb-{org}")
        assert published.created
        assert sequences(published) == list(range(1, 21))
        assert ids(await stage.stored(org)) == [one.message.event_id for one in group]

    async def test_group_is_stored_in_its_order_when_it_takes_several_batches(self, stage: Stage, org: str) -> None:
        group = outgoing(org, 2500)
        published = await stage.backbones.publish(BACKBONE, org, group)
        assert sequences(published) == list(range(1, 2501))
        assert ids(await stage.stored(org)) == [one.message.event_id for one in group]

    async def test_message_is_a_cloudevent_in_binary_mode_when_stored(self, stage: Stage, org: str) -> None:
        event = message(org, event_id="8 f", extensions={"traceparent": TRACE, "urgent": True, "rank": 4})
        published = await stage.backbones.publish(BACKBONE, org, [Outgoing(event, revision=42)])
        [stored] = await stage.stored(org)
        assert published.subjects == (stored.subject,) == (f"sb.{org}.agent-7.orders.created",)
        assert parse_nats_subject(stored.subject) == (org, "agent-7", "orders.created")
        assert stored.body == event.body
        headers = {name: value for name, value in stored.headers.items() if name not in ("ce-sbid", "nats-msg-id")}
        assert headers == {
            "ce-specversion": "1.0",
            "ce-id": "8%20f",
            "ce-source": "/shop",
            "ce-type": "com.acme.order",
            "ce-topic": "orders.created",
            "ce-subject": "agent-7",
            "ce-time": "2026-11-22T14:33:20Z",
            "ce-datacontenttype": "application/json",
            "content-type": "application/json",
            "ce-sbrevision": "42",
            "ce-traceparent": TRACE,
            "traceparent": TRACE,
            "ce-urgent": "true",
            "ce-rank": "4",
        }
        assert stored.headers["ce-sbid"] == stored.headers["nats-msg-id"]

    async def test_first_sequence_comes_back_when_a_message_is_published_again(self, stage: Stage, org: str) -> None:
        group = outgoing(org, 3)
        await stage.backbones.publish(BACKBONE, org, group)
        again = await stage.backbones.publish(BACKBONE, org, [msgspec.structs.replace(group[1], known=True)])
        assert [(result.sequence, result.duplicate) for result in again.results] == [(2, True)]
        assert len(await stage.stored(org)) == 3

    async def test_known_messages_harm_no_batch_when_mixed_with_new_ones(self, stage: Stage, org: str) -> None:
        first = outgoing(org, 2)
        await stage.backbones.publish(BACKBONE, org, first)
        known = [msgspec.structs.replace(one, known=True) for one in first]
        new = outgoing(org, 200)
        published = await stage.backbones.publish(BACKBONE, org, [*new[:100], *known, *new[100:]])
        assert sequences(published) == [*range(3, 103), 1, 2, *range(103, 203)]
        assert [result.duplicate for result in published.results] == [False] * 100 + [True] * 2 + [False] * 100

    async def test_first_sequence_comes_back_when_the_stream_knows_one_and_the_caller_does_not(self, stage: Stage, org: str) -> None:
        stored = outgoing(org, 1)
        await stage.backbones.publish(BACKBONE, org, stored)
        new = outgoing(org, 100)
        published = await stage.backbones.publish(BACKBONE, org, [*new[:50], *stored, *new[50:]])
        assert sequences(published) == [*range(2, 52), 1, *range(52, 102)]
        assert [place for place, result in enumerate(published.results) if result.duplicate] == [50]

    async def test_second_copy_is_a_duplicate_when_a_group_has_a_message_twice(self, stage: Stage, org: str) -> None:
        group = outgoing(org, 100)
        published = await stage.backbones.publish(BACKBONE, org, [*group, msgspec.structs.replace(group[9], known=True)])
        assert sequences(published) == [*range(1, 101), 10]
        assert published.results[-1].duplicate

    async def test_other_content_is_a_message_of_its_own_when_the_stream_knows_its_identity(self, stage: Stage, org: str) -> None:
        first, second = two_of_one_identity(org)
        await stage.backbones.publish(BACKBONE, org, [first])
        published = await stage.backbones.publish(BACKBONE, org, [*outgoing(org), second, *outgoing(org)])
        assert sorted(sequences(published)) == [2, 3, 4]
        assert not any(result.duplicate for result in published.results)
        stored = (await stage.stored(org))[published.results[1].sequence - 1]
        assert (stored.body, stored.headers["ce-sbid"]) == (second.message.body, uuid_text(second.message.id))
        assert stored.headers["nats-msg-id"] == f"{uuid_text(second.message.id)}:c:{second.message.digest.hex()[:16]}"

    @pytest.mark.parametrize("known", [True, False])
    async def test_each_has_its_own_sequence_when_two_of_one_identity_are_published_again(
        self, stage: Stage, org: str, known: bool
    ) -> None:
        both = [msgspec.structs.replace(one, known=known) for one in two_of_one_identity(org)]
        await stage.backbones.publish(BACKBONE, org, both)
        again = await stage.backbones.publish(BACKBONE, org, [*reversed(both), *both])
        assert [(result.sequence, result.duplicate) for result in again.results] == [(2, True), (1, True), (1, True), (2, True)]
        assert len(await stage.stored(org)) == 2

    @pytest.mark.parametrize("count", [0, 300])
    async def test_both_are_stored_when_one_group_has_two_of_one_identity(self, stage: Stage, org: str, count: int) -> None:
        first, second = two_of_one_identity(org)
        group = [first, *outgoing(org, count), second, *outgoing(org, count)]
        published = await stage.backbones.publish(BACKBONE, org, group)
        assert not any(result.duplicate for result in published.results)
        stored = await stage.stored(org)
        assert len(stored) == len(group)
        for one, sequence in zip(group, sequences(published), strict=True):
            assert (stored[sequence - 1].headers["ce-id"], stored[sequence - 1].body) == (one.message.event_id, one.message.body)

    @pytest.mark.parametrize(
        "change", [{"subject": "agent-8"}, {"topic": "orders.changed"}, {"type": "x"}, {"datacontenttype": "text/x"}, {"dataschema": "/s"}]
    )
    async def test_message_is_another_one_when_an_attribute_of_its_digest_differs(
        self, stage: Stage, org: str, change: dict[str, object]
    ) -> None:
        first = message(org)
        second = msgspec.structs.replace(first, digest=bytes(32), **change)
        published = await stage.backbones.publish(BACKBONE, org, [Outgoing(first, 1), Outgoing(second, 1)])
        assert [(result.sequence, result.duplicate) for result in published.results] == [(1, False), (2, False)]

    async def test_message_is_the_same_when_only_time_revision_trace_or_a_default_differ(self, stage: Stage, org: str) -> None:
        first = message(org, subject="a b%", topic="com.acme.order", extensions={"traceparent": "00-1-2-01"})
        second = msgspec.structs.replace(first, time=None, datacontenttype=None, extensions={"rank": 1})
        published = await stage.backbones.publish(BACKBONE, org, [Outgoing(first, 1), Outgoing(second, 2)])
        assert [(result.sequence, result.duplicate) for result in published.results] == [(1, False), (1, True)]

    async def test_replay_is_stored_again_when_it_has_an_id_of_its_own(self, stage: Stage, org: str) -> None:
        [one] = outgoing(org)
        await stage.backbones.publish(BACKBONE, org, [one])
        published = await stage.backbones.publish(BACKBONE, org, [msgspec.structs.replace(one, nats_id="x:r:1")])
        assert sequences(published) == [2]
        assert (await stage.stored(org))[1].headers["nats-msg-id"] == "x:r:1"

    async def test_only_the_oversized_message_is_refused_when_its_neighbours_fit(self, stage: Stage, org: str) -> None:
        group = outgoing(org, 100)
        too_large = Outgoing(message(org, body=b"x" * (4 * 1024 * 1024)), revision=3)
        long_headers = Outgoing(message(org, extensions={"note": "x" * 70_000}), revision=3)
        long_subject = Outgoing(message(org, subject="s" * 1100), revision=3)
        surrogate = Outgoing(message(org, subject="\ud800"), revision=3)
        bad = [too_large, long_headers, long_subject, surrogate]
        published = await stage.backbones.publish(BACKBONE, org, [*group[:50], *bad, *group[50:]])
        assert all(result.refused and not result.sequence for result in published.results[50:54])
        assert sequences(published) == [*range(1, 51), 0, 0, 0, 0, *range(51, 101)]
        assert ids(await stage.stored(org)) == [one.message.event_id for one in group]

    async def test_body_is_untouched_when_it_is_binary_empty_or_absent(self, stage: Stage, org: str) -> None:
        bodies = [bytes(range(256)), b"\r\nPUB x 0\r\n\r\n", b"", None]
        group = [Outgoing(message(org, body=body, datacontenttype=None), revision=3) for body in bodies]
        await stage.backbones.publish(BACKBONE, org, group)
        assert [stored.body for stored in await stage.stored(org)] == [body or b"" for body in bodies]

    async def test_no_header_is_forged_when_attributes_hold_line_breaks(self, stage: Stage, org: str) -> None:
        hostile = message(org, event_id="1\r\nce-source: /other", subject="a b.c*>\r\n", extensions={"x": "\r\n\r\n"})
        published = await stage.backbones.publish(BACKBONE, org, [Outgoing(hostile, revision=3)])
        [stored] = await stage.stored(org)
        assert published.results[0].sequence == 1
        assert stored.headers["ce-source"] == "/shop"
        assert stored.headers["ce-id"] == "1%0D%0Ace-source:%20/other"
        assert parse_nats_subject(stored.subject) == (org, "a b.c*>\r\n", "orders.created")

    async def test_orgs_have_streams_of_their_own_when_both_publish(self, stage: Stage, org: str) -> None:
        other = f"{org}-b"
        await stage.backbones.publish(BACKBONE, org, outgoing(org, 2))
        published = await stage.backbones.publish(BACKBONE, other, outgoing(other, 1))
        assert (published.stream, sequences(published)) == (f"sb-{other}", [1])
        assert len(await stage.stored(org)) == 2

    async def test_created_stays_the_same_when_groups_follow_each_other(self, stage: Stage, org: str) -> None:
        groups = [await stage.backbones.publish(BACKBONE, org, outgoing(org)) for _ in range(3)]
        assert len({group.created for group in groups}) == 1

    async def test_empty_group_is_nothing_to_do_when_published(self, stage: Stage, org: str) -> None:
        published = await stage.backbones.publish(BACKBONE, org, [])
        assert (published.results, published.subjects) == ((), ())

    async def test_everything_is_lost_when_there_is_no_such_backbone(self, stage: Stage, org: str) -> None:
        published = await stage.backbones.publish("nowhere", org, outgoing(org, 2))
        assert [result.lost for result in published.results] == ["no such backbone"] * 2
        assert not stage.backbones.reachable("nowhere")
        assert stage.backbones.reachable(BACKBONE)
