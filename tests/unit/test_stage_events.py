"""Internal events as bytes: what is written is what is read, by us and by the SDK; what is changed on the way is refused."""

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from cloudevents.http import from_http
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Fault, Malformed, NotProcessable, Overloaded, SwitchboardError, TooLarge, Unauthenticated
from shared.domain.message import Message
from shared.domain.refused import Refused, error_of, refused
from shared.stages import events as wire
from tests.events import message

KEY = b"k" * 40
BODY = b'{"sku":"\xc3\xa4"}'


def said(about: Message, **changes: Any) -> wire.Said:
    return wire.Said(about.id, about.org, about.principal, about.revision, ("local",), wire.by_name(about), **changes)


def event(about: Message | None = None, type: str = wire.ACCEPTED, **changes: Any) -> wire.Event:
    about = about or message("e1", body=BODY, subject="agent-7", extensions={"rank": 4, "urgent": True, "note": "ä"})
    return wire.signed(KEY, type, "/clusters/local/ingest", said(about, **changes), about)


def checked(events: list[wire.Event]) -> list[Message]:
    found = [wire.message_of(one) for one in events]
    for one, about in zip(events, found, strict=True):
        wire.check((KEY,), one, about)
    return found


def test_message_by_name_has_the_fields_of_a_message() -> None:
    about = message("e1", extensions={"rank": 4})
    assert wire.plain(wire.by_name(about)) == about
    assert json.loads(msgspec.json.encode(wire.by_name(about)))["event_id"] == "e1"


@pytest.mark.parametrize("body", [BODY, b"", None, bytes(range(256))])
def test_message_is_the_same_when_it_went_through_a_hop(body: bytes | None) -> None:
    sent = [event(message(f"e{number}", body=body, extensions={"rank": 4, "urgent": True})) for number in range(3)]
    for some in (sent, sent[:1]):
        content_type, content = wire.joined([wire.encode(one) for one in some])
        batch, read = wire.decode(content_type, {"content-type": content_type}, content)
        assert batch == (len(some) > 1)
        assert read == some
        assert checked(read) == [wire.plain(one.data.message) for one in some if one.data.message]


def test_event_is_as_the_contract_has_it_when_the_sdk_reads_it() -> None:
    sent = event()
    read = from_http({"content-type": wire.STRUCTURED}, wire.encode(sent))
    assert (read["type"], read["source"], read["specversion"]) == (wire.ACCEPTED, "/clusters/local/ingest", "1.0")
    assert (read["subject"], read["sbproof"]) == (sent.subject, sent.sbproof)
    data: Any = read.get_data()
    assert (data["org"], data["principal"], data["config_revision"], data["targets"]) == ("acme", "tester", 1, ["local"])
    assert base64.b64decode(data["message"]["body"]) == BODY


def test_event_is_read_when_it_comes_in_binary_mode() -> None:
    sent = event()
    headers = {"ce-specversion": "1.0", "ce-id": sent.id, "ce-source": sent.source, "ce-type": sent.type, "ce-subject": sent.subject}
    headers |= {"ce-sbproof": sent.sbproof, "content-type": "application/json", "ce-knativearrivaltime": "2026-01-01T00:00:00Z"}
    batch, read = wire.decode("application/json", headers, msgspec.json.encode(sent.data))
    assert not batch
    assert checked(read) == [wire.plain(sent.data.message)] if sent.data.message else False


CHANGES: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("body", lambda event: event["data"]["message"].update(body=base64.b64encode(b"{}").decode())),
    ("topic", lambda event: event["data"]["message"].update(topic="pay.now")),
    ("extension", lambda event: event["data"]["message"]["extensions"].update(rank=5)),
    ("extension's type", lambda event: event["data"]["message"]["extensions"].update(urgent="true")),
    ("targets", lambda event: event["data"].update(targets=["local", "eu"])),
    ("org", lambda event: event["data"].update(org="globex")),
    ("principal", lambda event: event["data"].update(principal="admin")),
    ("revision", lambda event: event["data"].update(config_revision=2)),
    ("record", lambda event: event["data"].update(record_id=base64.b64encode(b"x" * 16).decode())),
    ("nats id", lambda event: event["data"].update(nats_id="other")),
    ("known", lambda event: event["data"].update(known=True)),
    ("time to publish", lambda event: event["data"].update(until=1)),
    ("type", lambda event: event.update(type=wire.RECEIVED)),
    ("subject", lambda event: event.update(subject="00000000-0000-8000-8000-000000000000")),
    ("proof", lambda event: event.update(sbproof="0" * 64)),
    ("no proof", lambda event: event.pop("sbproof")),
    ("deliveries", lambda event: event["data"].update(deliveries=[{"backbone": "local", "stream": "s", "sequence": 1}])),
]


@pytest.mark.parametrize("change", [change for _, change in CHANGES], ids=[name for name, _ in CHANGES])
@pytest.mark.parametrize("batch", [True, False])
def test_event_is_refused_when_anything_in_it_was_changed(change: Callable[[dict[str, Any]], object], batch: bool) -> None:
    changed = json.loads(wire.encode(event()))
    change(changed)
    content_type = wire.BATCH if batch else wire.STRUCTURED
    content = json.dumps([changed] if batch else changed).encode()
    with pytest.raises(Unauthenticated):
        checked(wire.decode(content_type, {"content-type": content_type}, content)[1])


HALF = "\ud800"  # half a surrogate pair: JSON can name it, UTF-8 can't hold it
NOT_OURS: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("half a pair in the proof", lambda event: event.update(sbproof=HALF)),
    ("half a pair in the subject", lambda event: event.update(subject=HALF)),
    ("half a pair in the org", lambda event: event["data"].update(org=HALF)),
    ("half a pair in the message", lambda event: event["data"]["message"].update(topic=HALF)),
    ("half a pair in the version", lambda event: event.update(specversion=HALF)),
    ("a revision below 0", lambda event: event["data"].update(config_revision=-1)),
    ("a revision over 64 bits", lambda event: event["data"].update(config_revision=2**64)),
    ("a time over 64 bits", lambda event: event["data"].update(until=-(2**70))),
    ("a message id that is no UUID", lambda event: event["data"]["message"].update(id="AAAA")),
]


@pytest.mark.parametrize("change", [change for _, change in NOT_OURS], ids=[name for name, _ in NOT_OURS])
@pytest.mark.parametrize("batch", [True, False])
def test_event_is_refused_when_it_says_what_nobody_can_have_signed(change: Callable[[dict[str, Any]], object], batch: bool) -> None:
    changed = json.loads(wire.encode(event()))
    change(changed)
    content_type = wire.BATCH if batch else wire.STRUCTURED
    content = json.dumps([changed] if batch else changed).encode()
    with pytest.raises((Malformed, Unauthenticated)) as refused:
        checked(wire.decode(content_type, {"content-type": content_type}, content)[1])
    assert refused.value.detail.encode(), "it can be answered"


def test_event_is_unharmed_when_a_broker_adds_attributes_and_writes_the_json_anew() -> None:
    changed = json.loads(wire.encode(event()))
    changed = {"knativebrokerttl": 255, **dict(reversed(changed.items()))}
    _, read = wire.decode(wire.STRUCTURED, {"content-type": wire.STRUCTURED}, json.dumps(changed, indent=1).encode())
    assert checked(read)


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        (wire.STRUCTURED, b""),
        (wire.STRUCTURED, b"{}"),
        (wire.STRUCTURED, b"null"),
        (wire.STRUCTURED, b"[" * 100_000),
        (wire.STRUCTURED, b"\xff"),
        (wire.BATCH, b"{}"),
        (wire.BATCH, b"[1]"),
        (wire.BATCH, b'[{"id":"\xff"}]'),
        (wire.BATCH, b"[" * 100_000),
        ("application/json", b"{}"),
        ("", b""),
    ],
)
def test_bytes_are_malformed_when_they_are_no_event_of_ours(content_type: str, content: bytes) -> None:
    with pytest.raises(Malformed):
        wire.decode(content_type, {"content-type": content_type}, content)


@given(st.binary(max_size=200), st.sampled_from([wire.STRUCTURED, wire.BATCH, "application/json", "text/plain; x"]))
def test_anything_is_malformed_and_nothing_else_when_it_is_random(content: bytes, content_type: str) -> None:
    headers = {"content-type": content_type, "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
    with suppress(Malformed, Unauthenticated):
        wire.decode(content_type, headers, content)


@pytest.mark.parametrize("proof", [{}, {"sbproof": ""}, {"sbproof": "0" * 64}, {"sbproof": 7}])
def test_event_is_unauthenticated_when_its_proof_is_missing_or_its_data_could_not_have_one(proof: dict[str, Any]) -> None:
    said: list[object] = [{}, {"record_id": 7}, [], "text", None]
    for data in said:
        sent = {"specversion": "1.0", "id": "1", "source": "/s", "type": wire.RECEIVED, "subject": "s", "data": data, **proof}
        with pytest.raises(Unauthenticated):
            wire.decode(wire.STRUCTURED, {"content-type": wire.STRUCTURED}, json.dumps(sent).encode())


def test_event_is_malformed_when_it_carries_no_message() -> None:
    about = message("e1")
    sent = wire.signed(KEY, wire.ACCEPTED, "/s", msgspec.structs.replace(said(about), message=None), about)
    with pytest.raises(Malformed):
        wire.message_of(sent)


@pytest.mark.parametrize(
    "error",
    [
        TooLarge("too large", rule="max_bytes", faults=[Fault("/data", "has 2 bytes")]),
        Overloaded("slow down", rule="rate", retry_after_ms=250),
        NotProcessable("no", rule="policy"),
        Malformed("bad", status=415),
    ],
)
def test_error_is_the_same_when_it_went_through_a_hop(error: SwitchboardError) -> None:
    found = error_of(msgspec.json.decode(msgspec.json.encode(refused(error)), type=Refused))
    assert type(found) is type(error)
    assert refused(found) == refused(error)
    assert (found.status, found.faults) == (error.status, error.faults)
