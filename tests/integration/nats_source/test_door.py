"""What the NATS door answers, and what it leaves alone."""

import asyncio
from urllib.parse import unquote

import httpx
import pytest

from tests.integration.fronts import new_key
from tests.integration.nats_source.conftest import Agent, Door, connected, event, headers, served
from tests.nats_streams import read_stream
from tests.waiting import eventually


async def test_the_reply_is_the_receipt_when_a_request_is_an_event(agent: Agent) -> None:
    receipt = await agent.ask("orders.created", event("1", subject="agent-7"))
    assert (receipt["status"], receipt["topic"], receipt["subject"], receipt["org"]) == ("accepted", "orders.created", "agent-7", agent.org)
    assert [one["stream"] for one in receipt["deliveries"]] == [f"sb-{agent.org}"]
    again = await agent.ask("orders.created", b'{"sku": "a"}', headers("1", subject="agent-7"))
    assert (again["id"], again["duplicate"]) == (receipt["id"], True)


async def test_the_receipt_comes_to_the_inbox_when_an_event_is_submitted(agent: Agent) -> None:
    await agent.submit("orders.created", b'{"sku":"a"}', headers("1"))
    await eventually(lambda: agent.receipts)
    assert (agent.receipts[0]["status"], agent.receipts[0]["topic"]) == ("accepted", "orders.created")


async def test_the_stream_is_empty_when_every_submitted_event_has_its_outcome(agent: Agent) -> None:
    for number in range(300):
        await agent.submit("orders.created", event(f"{number}") if number % 3 else b"no event")
    jetstream = agent.client.jetstream()

    async def empty() -> bool:
        return (await jetstream.stream_info(f"sb-submit-{agent.org}")).state.messages == 0

    await eventually(empty, 20)
    assert (await jetstream.stream_info(f"sb-{agent.org}")).state.messages == 200
    rejected = await jetstream.stream_info(f"sb-rejected-{agent.org}")
    assert rejected.state.messages == 100


async def test_a_reject_is_kept_with_its_reason_and_its_bytes_when_it_is_no_event(agent: Agent) -> None:
    sequence = await agent.submit("orders", b'{"specversion":"1.0"}')
    jetstream = agent.client.jetstream()

    async def kept() -> bool:
        return (await jetstream.stream_info(f"sb-rejected-{agent.org}")).state.messages == 1

    await eventually(kept)
    found = await jetstream.get_last_msg(f"sb-rejected-{agent.org}", f"sb._rejected.{agent.org}")
    assert found.data == b'{"specversion":"1.0"}'
    assert found.headers is not None
    assert "/id" in found.headers["sb-reason"]
    assert (found.headers["sb-subject"], found.headers["sb-sequence"]) == (f"submit.{agent.org}.orders", str(sequence))


async def test_the_sender_gets_the_error_too_when_what_it_submitted_is_malformed(agent: Agent) -> None:
    await agent.submit("orders", b"", {"ce-id": "1"})
    await eventually(lambda: agent.receipts)
    assert agent.receipts[0]["status"] == "malformed"
    assert [error["pointer"] for error in agent.receipts[0]["problem"]["errors"]] == ["ce-specversion", "ce-source", "ce-type"]


@pytest.mark.parametrize("topic", ["*", "orders.*", ">", "a%2Eb"])
async def test_it_is_malformed_when_the_subjects_tokens_name_no_topic(agent: Agent, topic: str) -> None:
    receipt = await agent.ask(topic, event("1"))
    assert (receipt["status"], receipt["problem"]["errors"][0]["pointer"]) == ("malformed", "subject")


async def test_it_is_malformed_when_the_event_names_another_topic_than_the_subject(agent: Agent) -> None:
    receipt = await agent.ask("orders", event("1", topic="invoices"))
    assert (receipt["status"], receipt["problem"]["errors"][0]["pointer"]) == ("malformed", "/topic")


@pytest.mark.parametrize("target", ["$JS.API.STREAM.PURGE.x", "$SYS.REQ.x", "_INBOX.other.1"])
async def test_a_name_is_only_a_name_when_it_looks_like_a_servers_own_subject(agent: Agent, target: str) -> None:
    receipt = await agent.ask(target, event("1", subject=target))
    assert (receipt["status"], receipt["topic"], receipt["subject"]) == ("accepted", target, target)


HOSTILE = [
    "$JS.API.STREAM.DELETE.sb-{org}",
    "$SYS.REQ.SERVER.PING",
    "sb.{org}._.orders",
    "_INBOX.other.1",
    "_INBOX.{org}",
    "submit.{org}.x",
]


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_nothing_is_sent_when_the_reply_subject_is_not_in_the_orgs_inbox(agent: Agent, door: Door, hostile: str) -> None:
    where = hostile.format(org=agent.org)
    heard = await agent.client.subscribe(where)
    await agent.client.publish(f"request.{agent.org}.orders", event("1"), reply=where)
    await agent.submit("orders", b"{}", headers("2", replyto=where))
    await agent.submit("orders", b"{}", headers("3"))
    await eventually(lambda: agent.receipts)  # of the third: what came before it is done with
    assert agent.receipts[0]["id"] != ""
    assert [message.data for message in heard._pending_queue._queue if b'"accepted"' in message.data] == []  # type: ignore[attr-defined]
    stream = await agent.client.jetstream().stream_info(f"sb-{agent.org}")
    assert stream.state.messages == 2  # the request, which nobody could be told of, was not taken


async def test_only_its_sender_is_cut_off_when_a_payload_is_larger_than_the_server_takes(agent: Agent, door: Door) -> None:
    """As large as the server takes is more than any door reads: a refusal. A byte more ends the connection that it comes on."""
    largest = agent.client.max_payload
    refused = await agent.ask("orders", b" " * (largest - 8))  # the server counts what it says of the headers, too
    assert (refused["status"], refused["problem"]["status"], refused["problem"]["rule"]) == ("blocked", 413, "size")
    async with connected(door.nats, door.org) as sending:
        gone = asyncio.Event()
        sending.client._max_payload = 2 * largest  # the client would not send it otherwise

        async def cut_off() -> None:
            gone.set()

        sending.client._disconnected_cb = cut_off
        await sending.client.publish(f"submit.{agent.org}.orders", b" " * (largest + 1))
        async with asyncio.timeout(30):
            await gone.wait()
    assert (await agent.ask("orders", event("after")))["status"] == "accepted"
    assert door.service.ready()


async def test_two_orgs_have_a_message_each_when_they_send_the_same_id(agent: Agent, door: Door) -> None:
    await new_key(door.database, f"{door.org}-b")
    async with connected(door.nats, f"{door.org}-b") as other:
        await served(other)
        first, second = await asyncio.gather(agent.ask("orders", event("1")), other.ask("orders", event("1")))
    assert first["id"] != second["id"]
    assert (first["duplicate"], second["duplicate"]) == (False, False)


async def test_the_keys_principal_sends_when_a_message_has_a_key_of_the_org(agent: Agent, door: Door) -> None:
    own = {"Authorization": f"Bearer {door.key}"}

    async def accepted() -> bool:
        return bool((await agent.ask("orders", b"{}", headers("1") | own))["status"] == "accepted")

    await eventually(accepted)  # the key is a revision later than the org
    wrong = await agent.ask("orders", b"{}", headers("2") | {"Authorization": "Bearer nonsense"})
    assert (wrong["status"], wrong["problem"]["status"]) == ("blocked", 401)


async def test_it_is_forbidden_when_the_key_is_another_orgs(agent: Agent, door: Door) -> None:
    foreign = await new_key(door.database, f"{door.org}-c")
    structured = {"Content-Type": "application/cloudevents+json"}

    async def refused() -> bool:
        receipt = await agent.ask("orders", event("1"), structured | {"Authorization": f"Bearer {foreign}"})
        return bool(receipt["problem"]["status"] == 403)  # 401 until the new key is known

    await eventually(refused)


TRACE, OWN = (f"00-{digit * 32}-b7ad6b7169203331-01" for digit in "ab")
STATE = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"  # percent-encoded or not, it is the same on the backbone
TRACED = {"traceparent": TRACE, "tracestate": STATE}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}


@pytest.mark.parametrize(
    ("payload", "given", "goes_on"),
    [
        (b"{}", headers("1") | TRACED, TRACED),
        (b"{}", headers("1", **TRACED), TRACED),
        (event("1"), STRUCTURED | TRACED, TRACED),
        (event("1", **TRACED), STRUCTURED, TRACED),
        (b"{}", headers("1", traceparent=OWN) | TRACED, {"traceparent": OWN}),
        (event("1", traceparent=OWN), STRUCTURED | TRACED, {"traceparent": OWN}),
        (b"{}", headers("1") | TRACED | {"traceparent": "00-none"}, {}),
    ],
    ids=["binary", "its own attributes", "structured", "its own members", "its own and another", "likewise structured", "no trace"],
)
async def test_the_trace_goes_on_when_a_message_has_one(
    agent: Agent, door: Door, payload: bytes, given: dict[str, str], goes_on: dict[str, str]
) -> None:
    """By request, and submitted."""
    await agent.ask("orders", payload, given)
    await agent.submit("orders", payload.replace(b'"1"', b'"2"'), {**given, **({"ce-id": "2"} if "ce-id" in given else {})})
    await eventually(lambda: len(agent.receipts) == 1)
    for stored in await read_stream(door.nats, agent.org):
        assert stored.headers.get("traceparent") == goes_on.get("traceparent")
        assert stored.headers.get("ce-traceparent") == goes_on.get("traceparent")
        state = stored.headers.get("ce-tracestate")
        assert (state and unquote(state)) == goes_on.get("tracestate")


async def test_the_neighbours_are_logged_when_one_of_a_thousand_is_bad(agent: Agent) -> None:
    jetstream = agent.client.jetstream()
    sent = [
        jetstream.publish(f"submit.{agent.org}.orders", b"\xff" if number in (0, 500, 999) else event(f"{number}"))
        for number in range(1000)
    ]
    await asyncio.gather(*sent)

    async def logged() -> bool:
        return (await jetstream.stream_info(f"sb-submit-{agent.org}")).state.messages == 0

    await eventually(logged, 20)
    assert (await jetstream.stream_info(f"sb-{agent.org}")).state.messages == 997
    assert (await jetstream.stream_info(f"sb-rejected-{agent.org}")).state.messages == 3


async def test_metrics_and_health_answer_when_the_pod_runs(agent: Agent, door: Door) -> None:
    await agent.ask("orders", event("1"))
    async with httpx.AsyncClient(base_url=door.service.url) as client:

        async def idle() -> bool:
            return "switchboard_nats_source_lag 0.0" in (await client.get("/metrics")).text

        await eventually(idle)  # the lag is looked at every 5 s
        assert "switchboard_events_accepted_total" in (await client.get("/metrics")).text
        assert (await client.get("/healthz")).json() == {"status": "alive"}

        async def whole() -> bool:
            return bool((await client.get("/readyz")).json() == {"status": "ready", "degraded": []})

        await eventually(whole)
