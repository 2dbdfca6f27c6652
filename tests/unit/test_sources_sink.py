"""A source with K_SINK: what it sends, what an answer means, and that ingest believes it what nobody else could say."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
from cloudevents.http import from_http

from shared.domain.errors import Misconfigured
from shared.domain.message import Message
from shared.domain.principal import Grant, Principal
from shared.domain.sink_proof import FRESH_S, SKEW_S, grants_text, prove_message
from shared.domain.token_issuer import Issuer
from shared.edge.vouched import Vouched
from shared.sources.outcomes import Done, Rejected, Retry
from shared.sources.sink import Sink, overrides_of
from tests.events import message
from tests.unit.doors import Doorway

KEY, FOREIGN = b"k" * 40, b"f" * 40
DOOR = Principal("redis:acme", "acme", (Grant("publish"),))
IDP = Issuer("idp", "https://idp.example/", ("switchboard",), ("ES256",), jwks="{}", org="acme", grants_claim="groups")
ALICE = Principal('idp/Ali\u010de "B"', "acme", (Grant("publish", ("orders.>", "\u00e4 %.*")), Grant("read")))  # of a token
NOW = 1_800_000_000

Answer = Callable[[httpx.Request], httpx.Response]


def sink(answer: Answer, **more: object) -> Sink:
    return Sink("http://sink/", (KEY, FOREIGN), transport=httpx.MockTransport(answer), **more)  # type: ignore[arg-type]


def sample(event_id: str = "e1", **more: object) -> Message:
    return message(event_id, principal="redis:acme", **more)  # type: ignore[arg-type]


async def sent(one: Message, **more: object) -> httpx.Request:
    """The request that an event becomes."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202)

    principal = more.pop("principal", DOOR)
    assert await sink(answer, **more)([one], principal) == [Done()]  # type: ignore[arg-type]
    return seen[0]


async def test_event_is_what_it_was_when_the_sdk_reads_what_is_sent() -> None:
    request = await sent(sample(subject="agent ä", body=bytes(range(256)), extensions={"rank": 4, "traceparent": "00-x"}))
    event = from_http(dict(request.headers), request.content, data_unmarshaller=lambda data: data)
    assert (event["id"], event["source"], event["type"], event["topic"]) == ("e1", "/shop", "order", "orders.created")
    assert (event["rank"], event["traceparent"], event["sbprincipal"]) == ("4", "00-x", "acme/redis:acme")
    assert event.get_data() == bytes(range(256))
    assert request.method == "POST"


@pytest.mark.parametrize(
    ("status", "result"),
    [
        *((status, Done) for status in (200, 202, 204)),
        *((status, Retry) for status in (301, 404, 408, 409, 429, 500, 502, 503, 504)),
        *((status, Rejected) for status in (400, 401, 403, 413, 415, 422)),
    ],
)
async def test_answer_means_what_the_contract_says_when_the_sink_gives_it(status: int, result: type) -> None:
    answering = sink(lambda request: httpx.Response(status, text="because"))
    found = await answering.send(sample())
    assert type(found) is result
    assert answering.reachable() == (result is not Retry)
    if isinstance(found, Rejected):
        assert found.reason == f"the sink answered {status}: because"


async def test_reason_is_the_status_when_the_sink_refuses_without_a_word() -> None:
    found = await sink(lambda request: httpx.Response(400)).send(sample())
    assert isinstance(found, Rejected)
    assert found.reason == "the sink answered 400"


@pytest.mark.parametrize(
    ("said", "ms"), [("7", 7000), (None, 1000), ("soon", 1000), ("-3", 1000), ("Fri, 31 Dec 9999 23:59:59 -2300", 1000)]
)
async def test_pause_is_the_sinks_when_it_says_one(said: str | None, ms: int) -> None:
    headers = {} if said is None else {"retry-after": said}
    assert await sink(lambda request: httpx.Response(503, headers=headers)).send(sample()) == Retry(ms)


async def test_pause_lasts_until_then_when_the_sink_gives_a_date() -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    found = await sink(lambda request: httpx.Response(429, headers={"retry-after": when})).send(sample())
    assert isinstance(found, Retry)
    assert 20_000 < found.after_ms <= 30_000


async def test_event_stays_when_the_sink_cannot_be_reached() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody there")

    assert isinstance(await sink(broken).send(sample()), Retry)


async def test_later_events_of_a_source_wait_when_one_is_to_be_tried_again() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["ce-id"])
        return httpx.Response(503 if request.headers["ce-id"] == "a2" else 202)

    some = [sample(f"{source}{number}", source=f"/{source}") for number in (1, 2, 3) for source in "ab"]
    found = await sink(answer)(some, DOOR)
    assert [type(one) for one in found] == [Done, Done, Retry, Done, Retry, Done]
    assert "a3" not in asked
    assert [id for id in asked if id[0] == "b"] == ["b1", "b2", "b3"]


async def test_what_a_slow_sink_has_not_answered_stays_when_the_process_is_to_go() -> None:
    """Every event of a group had its 30 s, one after the other."""
    asked: list[str] = []
    began = asyncio.Event()

    async def hang(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["ce-id"])
        began.set()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    slow = sink(hang)  # type: ignore[arg-type]
    waiting = asyncio.create_task(slow([sample("e1"), sample("e2")], DOOR))
    await began.wait()
    slow.finish(within=0.01)
    async with asyncio.timeout(20):
        assert [type(one) for one in await waiting] == [Retry, Retry]
    assert [type(one) for one in await slow([sample("e3")], DOOR)] == [Retry]
    assert asked == ["e1"]


async def test_what_the_sink_answers_in_time_is_done_when_the_process_is_to_go() -> None:
    ready = sink(lambda request: httpx.Response(202))
    ready.finish(within=60)
    assert await ready([sample("e1"), sample("e2")], DOOR) == [Done(), Done()]


@pytest.mark.parametrize("url", ["http://sink:abc/", "http://sink/\x00", "http://xn--/"])
def test_it_is_misconfigured_when_the_sinks_url_is_none(url: str) -> None:
    with pytest.raises(Misconfigured, match="K_SINK"):
        Sink(url, (KEY,))


async def test_token_is_sent_and_read_again_when_it_was_replaced(tmp_path: Path) -> None:
    token = tmp_path / "token"
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(202)

    to = sink(answer, token=token)
    await to.send(sample())
    for text in ("first", "second"):
        other = tmp_path / text
        other.write_text(f"{text}\n")
        other.replace(token)
        await to.send(sample())
    assert seen == [None, "Bearer first", "Bearer second"]


def test_overrides_are_refused_when_no_event_could_have_them() -> None:
    assert overrides_of(None) == {}
    assert overrides_of('{"extensions":{"team":"eu","topic":"pay"}}') == {"team": "eu", "topic": "pay"}
    bad = ("{", "[]", '{"extensions":{"team":1}}', *(json.dumps({"extensions": {name: "x"}}) for name in ("id", "sbproof", "Team", "data")))
    for text in bad:
        with pytest.raises(Misconfigured, match="K_CE_OVERRIDES"):
            overrides_of(text)


def test_process_does_not_start_when_the_certificates_are_none() -> None:
    with pytest.raises(Misconfigured, match="K_CA_CERTS"):
        Sink("https://sink/", (KEY,), ca_certs="nonsense")


# ---- and ingest, on the other side ------------------------------------------------------------------------------------------------


def event_headers(request: httpx.Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name.startswith(("ce-", "content-type"))}


class Receiving(Doorway):
    """A door that believes the sources of the install."""

    def __init__(self) -> None:
        super().__init__()
        self.state.current = type(self.state.current)(42, self.state.current.keys, orgs=("acme",), issuers=(IDP,))
        self.expected = DOOR
        self.door._vouched = Vouched(self.state, lambda: (FOREIGN, KEY))

    async def submit(self, messages, principal):  # type: ignore[no-untyped-def]
        assert principal == self.expected
        self.submitted += messages
        return [self.judge(one) for one in messages]

    async def take(self, request: httpx.Request, **changes: str | None) -> httpx.Response:
        headers: dict[str, str | None] = {**event_headers(request)}
        headers |= {name.replace("_", "-"): value for name, value in changes.items()}
        return await self.request(headers={k: v for k, v in headers.items() if v is not None}, content=request.content)


@pytest.mark.parametrize("overrides", [{}, {"team": "eu"}, {"topic": "pay.now"}])
@pytest.mark.parametrize("body", [b'{"sku":"\xc3\xa4"}', b"\x00\xff", b"", None])
async def test_principal_is_the_one_a_source_vouches_for_when_the_proof_is_of_that_event(
    overrides: dict[str, str], body: bytes | None
) -> None:
    door = Receiving()
    one = sample(subject="agent-7", body=body or None, extensions={"rank": 4})
    assert (await door.take(await sent(one, overrides=overrides))).status_code == 202
    (taken,) = door.submitted
    assert (taken.id, taken.org, taken.principal, taken.body) == (one.id, "acme", "redis:acme", one.body)
    assert taken.topic == overrides.get("topic", one.topic)
    assert not {"sbprincipal", "sbproof"} & set(taken.extensions or {})


def alices(**more: object) -> Message:
    return message("e1", principal=ALICE.name, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("grants", [ALICE.grants, ()])
async def test_principal_is_a_tokens_with_its_grants_when_a_source_vouches_for_it(grants: tuple[Grant, ...]) -> None:
    door = Receiving()
    door.expected = Principal(ALICE.name, "acme", grants)
    assert (await door.take(await sent(alices(), principal=door.expected))).status_code == 202
    (taken,) = door.submitted
    assert taken.principal == ALICE.name
    assert not {"sbprincipal", "sbgrants", "sbproof"} & set(taken.extensions or {})


@pytest.mark.parametrize(
    "changes",
    [
        {"ce_sbgrants": None},
        {"ce_sbgrants": grants_text([Grant("admin")])},
        {"ce_sbgrants": "[]"},
        {"ce_sbgrants": "no JSON"},
        {"ce_sbgrants": '[{"action":1}]'},
        {"ce_sbprincipal": "acme/idp/bob"},
        {"ce_sbprincipal": "acme/redis:acme"},
        {"ce_sbprincipal": "acme/other/alice"},
    ],
    ids=str,
)
async def test_answer_is_401_when_the_grants_are_not_those_that_a_source_vouches_for(changes: dict[str, str | None]) -> None:
    door = Receiving()
    door.expected = ALICE
    response = await door.take(await sent(alices(), principal=ALICE), **changes)
    assert response.status_code == 401, response.text
    assert door.submitted == []


async def test_answer_is_401_when_the_tokens_issuer_is_no_longer_in_force() -> None:
    door = Receiving()
    door.state.current = type(door.state.current)(43, door.state.current.keys, orgs=("acme",))
    assert (await door.take(await sent(alices(), principal=ALICE))).status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"ce_sbgrants": "[]"},
        {"ce_sbproof": None},
        {"ce_sbproof": "1.abc"},
        {"ce_sbprincipal": None},
        {"ce_sbprincipal": "acme"},
        {"ce_sbprincipal": "acme/nats:acme"},
        {"ce_sbprincipal": "acme/tester"},
        {"ce_sbprincipal": "globex/redis:globex"},
        {"ce_id": "e2"},
        {"ce_topic": "pay.now"},
        {"ce_subject": "agent-8"},
        {"content_type": "application/cloudevents-batch+json"},
        {"content_type": "Application/CloudEvents+JSON"},
    ],
    ids=str,
)
async def test_answer_is_401_when_the_proof_is_not_of_what_came(changes: dict[str, str | None]) -> None:
    door = Receiving()
    response = await door.take(await sent(sample()), **changes)
    assert response.status_code == 401, response.text
    assert door.submitted == []


async def test_bodies_of_anybody_take_no_room_of_others_while_they_come() -> None:
    """Whoever named a principal and made up a proof could fill the process's room with bodies that never ended."""
    door = Receiving()
    request = await sent(sample())
    headers = [(name.encode(), value.encode()) for name, value in event_headers(request).items()]
    begun, going_on = asyncio.Event(), asyncio.Event()
    parts = iter([{"type": "http.request", "body": b" " * 1024 * 1024, "more_body": True}])

    async def receive() -> dict[str, object]:
        if (part := next(parts, None)) is not None:
            return part
        begun.set()
        await going_on.wait()
        return {"type": "http.disconnect"}

    async def send(event: object) -> None:
        raise AssertionError(event)

    scope = {"type": "http", "method": "POST", "path": "/v1/events", "scheme": "http", "headers": headers}
    coming = asyncio.create_task(door.door.post(scope, receive, send))
    await begun.wait()
    assert (door.door._flight.bytes, door.door._unproven.bytes) == (0, 1024 * 1024)
    going_on.set()
    await coming
    assert door.door._unproven.bytes == 0


async def test_our_extensions_are_malformed_when_they_come_beside_a_key() -> None:
    response = await Doorway().request(headers={**event_headers(await sent(sample())), "authorization": "Bearer sb_unit"}, content=b"{}")
    assert response.status_code == 400


@pytest.mark.parametrize(("age", "good"), [(0, True), (FRESH_S - 5, True), (FRESH_S + 5, False), (-SKEW_S - 5, False)])
async def test_proof_is_good_for_as_long_as_the_log_knows_the_event(age: int, good: bool) -> None:
    door = Receiving()
    one = sample()
    proof = prove_message(KEY, one, int(time.time()) - age)
    response = await door.take(await sent(one), ce_sbproof=proof)
    assert response.status_code == (202 if good else 401)


async def test_nothing_is_believed_when_the_key_is_another_installs() -> None:
    door = Receiving()
    door.door._vouched = Vouched(door.state, lambda: (FOREIGN,))
    assert (await door.take(await sent(sample()))).status_code == 401
    door.door._vouched = Vouched(door.state, lambda: ())
    assert (await door.take(await sent(sample()))).status_code == 401
