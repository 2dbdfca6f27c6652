"""Config commands as CloudEvents (contracts.md, "Events between functions"), and the snapshot for stages and edges."""

import asyncio
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from cloudevents.http import from_http

from functions.config_crud.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.domain.principal import Grant
from shared.domain.request_proof import FRESH_S, HEADER, body_digest, prove_request
from shared.domain.revisions import Write
from shared.domain.sessions import Session
from shared.domain.sessions import encode as encode_session
from shared.domain.sink_proof import prove_message
from shared.domain.snapshot import Snapshot
from shared.stages.events import ACCEPTED, RECEIVED, Said, by_name
from shared.stages.events import signed as sign
from tests.rest import Api, problem, serving
from tests.stored import message

SECRET = b"s" * 48
REPLY = {"prefer": "reply"}


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


async def command(api: Api, key: str | None, kind: str, subject: str | None, data: Any, **more: Any) -> httpx.Response:
    """The answer to a command, as a broker sends it."""
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": f"switchboard.config.{kind}", "data": data, **more}
    event |= {} if subject is None else {"subject": subject}
    headers = {"content-type": "application/cloudevents+json", **REPLY}
    return await api.ask(key, "/", "POST", content=msgspec.json.encode(event), headers=headers)


def replied(answer: httpx.Response, kind: str) -> Any:
    """The data of a reply that is an event of that type."""
    assert answer.status_code == 200, answer.text
    event = from_http(dict(answer.headers), answer.content)
    assert event["type"] == f"switchboard.config.{kind}", answer.text
    assert event["source"] == "/clusters/local/config-crud"
    return event.data


async def test_command_does_what_its_rest_call_does(api: Api) -> None:
    admin = await api.key()
    put = replied(await command(api, admin, "put", "topics/orders.é", {"document": {"max_bytes": 1}, "reason": "why"}), "changed")
    assert (put["path"], put["document"], put["changed"]) == ("topics/orders.é", {"max_bytes": 1}, True)
    [revision] = await api.config.revisions("acme", 1)
    assert (revision.revision, revision.reason, revision.author) == (put["revision"], "why", "admin")
    again = replied(await command(api, admin, "put", "topics/orders.é", {"document": {"max_bytes": 1}}), "changed")
    assert (again["revision"], again["changed"]) == (put["revision"], False)
    patched = replied(await command(api, admin, "patch", "topics/orders.é", {"patch": {"max_bytes": 2}}), "changed")
    assert patched["document"] == {"max_bytes": 2}
    replied(await command(api, admin, "delete", "topics/orders.é", {"if_match": patched["revision"]}), "changed")
    assert await api.config.documents("acme") == {}


async def test_command_is_refused_by_an_event_when_the_rules_say_no(api: Api) -> None:
    admin, reader = await api.key(), await api.key("reader", "acme", Grant("config:read"))
    made = replied(await command(api, admin, "put", "org", {"document": {}}), "changed")
    for key, kind, subject, data, status in (
        (reader, "put", "org", {"document": {}}, 403),
        (admin, "put", "global", {"document": {}}, 403),
        (admin, "put", "org", {"document": {}, "org": "globex"}, 403),
        (admin, "put", "org", {"document": {"max_bytes": 0}}, 422),
        (admin, "put", "nowhere", {"document": {}}, 422),
        (admin, "delete", "topics/a", {}, 404),
        (admin, "put", "org", {"document": {}, "if_match": 1}, 412),
        (admin, "put", "org", {"document": {}, "if_none_match": "*"}, 412),
    ):
        told = replied(await command(api, key, kind, subject, data), "refused")
        assert told["status"] == status, told
        assert told.get("etag") == (f'"{made["revision"]}"' if status == 412 else None)


async def test_command_is_answered_by_its_status_when_it_is_none(api: Api) -> None:
    admin = await api.key()
    problem(await command(api, None, "put", "org", {"document": {}}), 401)
    problem(await command(api, admin, "drop", "org", {}), 400, "/type")
    problem(await command(api, admin, "put", None, {"document": {}}), 400, "/subject")
    problem(await command(api, admin, "put", "org", {}), 400, "/data/document")
    problem(await command(api, admin, "patch", "org", {"document": {}}), 400, "/data/patch")
    problem(await command(api, admin, "put", "org", {"document": {}, "reason": "x" * 501}), 400, "/data/reason")
    problem(await command(api, admin, "put", "org", {"document": {}, "if_match": "1"}), 400, "/if_match")
    problem(await api.ask(admin, "/", "POST", content=b"{}", headers=REPLY), 415)
    problem(await api.ask(admin, "/", "POST", content=b"[]", headers={"content-type": "application/cloudevents-batch+json"}), 400)


# ---- proofs that are forged, or of something else --------------------------------------------------------------------------------


CHANGE = {"document": {"max_bytes": 1}}


def proofs(name: str) -> dict[str, str]:
    """Extensions that say who sent a command, and that it is proven."""
    kind, body = "switchboard.config.put", msgspec.json.encode(CHANGE)
    now, identity = int(time.time()), message("1", type=kind, topic=kind, source="/s", subject="org", principal="admin", body=body)
    hop = Said(identity.id, "acme", "admin", 1, (), by_name(identity))
    signed = {"received": RECEIVED, "accepted": ACCEPTED, "a command's own type": kind}
    if name in signed:
        return {"sbproof": str(msgspec.to_builtins(sign(SECRET, signed[name], "/s", hop, identity))["sbproof"])}
    return {
        "made up": {"sbproof": "0" * 64},
        "empty": {"sbproof": ""},
        "a source's": {"sbproof": prove_message(SECRET, identity, now), "sbprincipal": "acme/admin"},
        "a source's with grants": {
            "sbproof": prove_message(SECRET, identity, now, '[{"action":"admin"}]'),
            "sbprincipal": "acme/issuer/me",
            "sbgrants": '[{"action":"admin"}]',
        },
        "a request's": {"sbproof": prove_request(SECRET, "POST", "/", now)},
        "a principal's name alone": {"sbprincipal": "acme/admin"},
    }[name]


PROOFS = (
    *("received", "accepted", "a command's own type", "made up", "empty"),
    *("a source's", "a source's with grants", "a request's", "a principal's name alone"),
)


@pytest.mark.parametrize("name", PROOFS)
async def test_command_does_nothing_when_a_proof_stands_for_its_key(api: Api, name: str) -> None:
    """Proofs are for messages and processes, with this install's very secret too: whoever sends a command shows a key, and may do what that
    key may."""
    reader = await api.key("reader", "acme", Grant("config:read"))
    admin, data, said = await api.key(), CHANGE, proofs(name)
    before = await api.config.snapshot()
    problem(await command(api, None, "put", "org", data, **said), 401)
    for key in (reader, admin):  # a name that is ours to set makes it malformed, whoever sends it
        refused = problem(await command(api, key, "put", "org", data, **said), 400)
        assert {fault["pointer"] for fault in refused["errors"]} <= {f"/{extension}" for extension in said}
    binary = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "switchboard.config.put", "ce-subject": "org"}
    headers = binary | {f"ce-{extension}": value for extension, value in said.items()} | {"content-type": "application/json", **REPLY}
    for shown, status in ((None, 401), (reader, 400)):
        problem(await api.ask(shown, "/", "POST", content=msgspec.json.encode(data), headers=headers), status)
    assert await api.config.snapshot() == before


# ---- the snapshot ---------------------------------------------------------------------------------------------------------------


async def snapshot(api: Api, query: str = "", key: bytes = SECRET, age: int = 0, **headers: str) -> httpx.Response:
    """The answer to a process of the install."""
    target = "/v1/config/snapshot" + query
    proof = {HEADER: prove_request(key, "GET", target, int(time.time()) - age)}
    return await api.ask(None, target, headers={**proof, **{name.replace("_", "-"): value for name, value in headers.items()}})


def read(answer: httpx.Response) -> Snapshot:
    assert answer.status_code == 200, answer.text
    found = msgspec.msgpack.decode(answer.content, type=Snapshot)
    assert answer.headers["etag"] == f'"{found.revision}"'
    return found


async def test_snapshot_is_what_is_in_force_and_was_at_any_revision(api: Api) -> None:
    key = await api.key()
    seen = [await api.config.snapshot()]
    for number in range(20):
        await api.config.write_documents("acme", Write("x", "org", {"org": b"%d" % number}), "me")
        seen.append(await api.config.snapshot())
    assert read(await snapshot(api, f"?revision={seen[-1].revision}&wait=5")) == seen[-1]
    assert read(await snapshot(api)) == seen[-1]
    assert [read(await snapshot(api, f"?revision={one.revision}")) for one in seen] == seen
    assert seen[-1].principal_of(key) is not None
    problem(await snapshot(api, f"?revision={seen[-1].revision + 1}"), 404)
    problem(await snapshot(api, f"?revision={seen[-1].revision + 1}&wait=0.05"), 404)
    for wrong in ("?revision=-1", "?wait=31", "?wait=-1", "?wait=nan"):
        problem(await snapshot(api, wrong), 400)


async def test_long_poll_is_answered_by_the_change_or_by_its_end(api: Api) -> None:
    await api.key()
    etag = (await snapshot(api)).headers["etag"]
    assert (await snapshot(api, if_none_match=etag)).status_code == 304
    assert (await snapshot(api, "?wait=0.05", if_none_match=etag)).status_code == 304
    assert (await snapshot(api, "?wait=20", if_none_match='"1"')).status_code == 200
    polls = [asyncio.create_task(snapshot(api, "?wait=20", if_none_match=etag)) for _ in range(3)]
    coming = asyncio.create_task(snapshot(api, f"?revision={int(etag[1:-1]) + 1}&wait=20"))
    await asyncio.wait(polls, timeout=0.1)
    await api.config.write_documents("acme", Write("x", "org", {"org": b"{}"}), "me")
    answers = await asyncio.wait_for(asyncio.gather(*polls, coming), 15)
    assert [read(answer).documents for answer in answers] == [{"acme": {"org": b"{}"}}] * 4


async def test_long_poll_ends_when_the_process_is_about_to(api: Api) -> None:
    await api.key()
    etag = (await snapshot(api)).headers["etag"]
    poll = asyncio.create_task(snapshot(api, "?wait=30", if_none_match=etag))
    await asyncio.wait([poll], timeout=0.1)
    api.resources.draining = True
    assert (await asyncio.wait_for(poll, 15)).status_code == 304


async def signed_out(api: Api, session: bytes, proven: bytes | None = None, key: bytes = SECRET) -> httpx.Response:
    """The answer to an edge that tells of a sign-out; the proof is of `proven`, where that is another body."""
    target = f"/v1/config/sessions/ended?{body_digest(session if proven is None else proven)}"
    return await api.ask(None, target, "POST", content=session, headers={HEADER: prove_request(key, "POST", target, int(time.time()))})


async def test_sign_out_at_an_edge_is_for_everybody_when_it_is_proven(api: Api) -> None:
    key = await api.key()
    session = Session(sha256(key.encode()).digest(), int(time.time()) + 60, b"s" * 16)
    packed = encode_session(session)
    problem(await signed_out(api, packed, key=b"another key, as long as the others are"), 401)
    problem(await signed_out(api, packed, proven=packed[:-1]), 401)
    problem(await api.ask(key, "/v1/config/sessions/ended", "POST", content=packed), 401)
    problem(await signed_out(api, packed[:-1]), 400)
    assert (await api.config.snapshot()).ended == {}
    for _ in range(2):
        assert (await signed_out(api, packed)).status_code == 200
    assert (await api.config.snapshot()).ended == {session.id: session.expires}


async def test_snapshot_is_for_processes_of_the_install_only(api: Api) -> None:
    root = await api.key("root", "default", system=True)
    problem(await api.ask(root, "/v1/config/snapshot"), 401)
    problem(await snapshot(api, key=b"another key, as long as the others are"), 401)
    for age in (FRESH_S + 2, -FRESH_S - 2):
        problem(await snapshot(api, age=age), 401)
    other = prove_request(SECRET, "GET", "/v1/config/snapshot?revision=1", int(time.time()))
    for proof in (other, "", "1", "x.y", other[:-1], "9" * 40 + ".a"):
        problem(await api.ask(None, "/v1/config/snapshot", headers={HEADER: proof}), 401)
