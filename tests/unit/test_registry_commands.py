"""The registry's commands (contracts.md, "Registry"); on a registry in memory."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from cloudevents.http import from_http

from shared.domain.principal import Grant
from tests.declared import BACKBONES, CLUSTERS, EU, MAIN, made, registering
from tests.rest import Api, problem


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with registering(tmp_path) as served:
        yield served


async def command(api: Api, key: str | None, kind: str, subject: str | None, data: Any) -> httpx.Response:
    """The answer to a command, as a broker sends it."""
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": f"switchboard.backbone.{kind}", "data": data}
    event |= {} if subject is None else {"subject": subject}
    headers = {"content-type": "application/cloudevents+json", "prefer": "reply"}
    return await api.ask(key, "/", "POST", content=msgspec.json.encode(event), headers=headers)


def replied(answer: httpx.Response, kind: str) -> Any:
    """The data of a reply that is an event of that type."""
    assert answer.status_code == 200, answer.text
    event = from_http(dict(answer.headers), answer.content)
    assert (event["type"], event["source"]) == (f"switchboard.backbone.{kind}", "/clusters/local/registry-crud"), answer.text
    return event.data


async def test_command_does_what_its_rest_call_does(api: Api) -> None:
    admin = await api.key()
    await api.ask(admin, CLUSTERS, "POST", json=EU)
    added = replied(await command(api, admin, "add", None, {"backbone": MAIN, "reason": "why"}), "changed")
    assert (await api.ask(admin, f"{BACKBONES}/{added['id']}")).json() == added["backbone"]
    [revision] = await api.config.revisions("acme", 1)
    assert (revision.revision, revision.reason) == (added["revision"], "why")
    data = {"backbone": {"metadata": {"a": 1}}, "if_match": added["revision"]}
    updated = replied(await command(api, admin, "update", added["id"], data), "changed")
    assert (updated["backbone"]["metadata"], updated["changed"]) == ({"a": 1}, True)
    stale = replied(await command(api, admin, "remove", added["id"], {"if_match": added["revision"]}), "refused")
    assert (stale["status"], stale["etag"]) == (412, f'"{updated["revision"]}"')
    removed = replied(await command(api, admin, "remove", added["id"], {}), "changed")
    assert (removed["id"], removed["backbone"]) == (added["id"], None)


async def test_command_is_refused_by_an_event_when_the_rules_say_no(api: Api) -> None:
    admin, reader = await api.key(), await api.key("r", "acme", Grant("registry:read"))
    own = await made(api, admin)
    for key, kind, subject, data, status in (
        (reader, "remove", own["id"], {}, 403),
        (admin, "remove", "nothing", {}, 404),
        (admin, "add", None, {"backbone": MAIN | {"spec": {"replicas": 2}}}, 422),
        (admin, "add", None, {"backbone": MAIN}, 422),
    ):
        assert replied(await command(api, key, kind, subject, data), "refused")["status"] == status


@pytest.mark.parametrize(
    ("kind", "subject", "data", "pointer"),
    [
        ("add", None, {}, "/data/backbone"),
        ("update", None, {"backbone": {}}, "/subject"),
        ("remove", None, {}, "/subject"),
        ("remove", "main", {"nonsense": 1}, "/data/nonsense"),
        ("remove", "main", {"if_match": "x"}, "/data/if_match"),
        ("remove", "main", {"reason": "x" * 501}, "/data/reason"),
        ("remove", "main", [1], "/data"),
        ("destroy", "main", {}, "/type"),
    ],
)
async def test_command_is_malformed_when_it_cannot_be_read(api: Api, kind: str, subject: str | None, data: Any, pointer: str) -> None:
    answer = await command(api, await api.key(), kind, subject, data)
    assert answer.status_code in (200, 400)
    told = answer.json()
    assert (told["status"], [fault["pointer"] for fault in told["errors"]]) == (400, [pointer])


async def test_command_is_answered_by_a_status_when_nobody_known_sent_it(api: Api) -> None:
    problem(await command(api, None, "remove", "main", {}), 401)
