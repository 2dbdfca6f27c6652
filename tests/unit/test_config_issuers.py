"""Issuers of tokens over REST: config like all other; on a config store in memory."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from functions.config_crud.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.domain.principal import Grant
from tests.rest import Api, problem, serving
from tests.tokens import AUDIENCE, ISSUER, jwk, token
from tests.waiting import eventually

ISSUERS = "/v1/config/issuers"
IDP = f"{ISSUERS}/idp"
KEYS = {"keys": [jwk("k1")]}
BODY: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["ES256"], "jwks": KEYS, "org": "acme"}
MAPPED = {"claim": "groups", "values": {"ops": [{"action": "config:read", "topics": [">"], "subjects": ["*"]}]}}


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


async def test_token_opens_the_api_when_its_issuer_was_put_and_no_more_when_it_was_deleted(api: Api) -> None:
    root, _ = await api.key("root", "default", system=True), await api.key("admin", "acme")
    made = await api.ask(root, IDP, "PUT", json={**BODY, "grants": MAPPED}, headers={"switchboard-reason": "sso"})
    assert made.status_code == 201, made.text
    shown = {"name": "idp", **BODY, "audience": [AUDIENCE], "principal_claim": "sub", "grants": MAPPED, "leeway": 10, "types": []}
    assert made.json() == {**shown, "config_revision": int(made.headers["etag"].strip('"'))}
    assert (await api.ask(root, IDP)).json() == shown
    assert (await api.ask(root, ISSUERS)).json() == {"items": [shown], "next": None}
    await eventually(lambda: api.resources.snapshots.current.issuers)
    assert (await api.ask(token(groups=["ops"]), "/v1/config/principals")).status_code == 200
    problem(await api.ask(token(groups=["ops"]), "/v1/config/principals/x", "PUT", json={"grants": []}), 403)
    problem(await api.ask(token(), "/v1/config/principals"), 403)
    problem(await api.ask(token("k2", groups=["ops"]), "/v1/config/principals"), 401)
    assert 'switchboard_tokens_refused_total{reason="key"} 1.0' in (await api.client.get("/metrics")).text
    assert (await api.ask(root, IDP, "DELETE")).status_code == 204
    await eventually(lambda: not api.resources.snapshots.current.issuers)
    problem(await api.ask(token(groups=["ops"]), "/v1/config/principals"), 401)
    problem(await api.ask(root, IDP), 404)
    problem(await api.ask(root, IDP, "DELETE"), 404)


async def test_token_speaks_as_a_principal_without_a_key_when_its_claim_names_it(api: Api) -> None:
    root, admin = await api.key("root", "default", system=True), await api.key()
    await api.ask(admin, "/v1/config/principals/shop", "PUT", json={"grants": [{"action": "config:read"}]})
    await api.ask(root, IDP, "PUT", json=BODY)
    await eventually(lambda: api.resources.snapshots.current.issuers)
    assert (await api.ask(token(), "/v1/config/principals/shop")).status_code == 200
    assert (await api.ask(admin, "/v1/config/principals/shop", "DELETE")).status_code == 204
    await eventually(lambda: not api.resources.snapshots.current.keyless)
    problem(await api.ask(token(), "/v1/config/principals/shop"), 401)


async def test_issuer_has_a_history_and_etags_when_it_changes(api: Api) -> None:
    root = await api.key("root", "default", system=True)
    made = await api.ask(root, IDP, "PUT", json=BODY, headers={"if-none-match": "*"})
    problem(await api.ask(root, IDP, "PUT", json=BODY, headers={"if-none-match": "*"}), 412)
    again = await api.ask(root, IDP, "PUT", json={**BODY, "leeway": 0}, headers={"if-match": made.headers["etag"]})
    assert again.status_code == 200
    problem(await api.ask(root, IDP, "DELETE", headers={"if-match": made.headers["etag"]}), 412)
    newest = (await api.ask(root, "/v1/config/revisions")).json()["items"][0]
    assert (newest["path"], newest["action"], newest["author"], newest["org"]) == ("issuers/idp", "issuer.put", "root", "default")
    assert (newest["before"].get("leeway"), newest["after"]["leeway"]) == (None, 0)
    other = await api.key()
    assert all(one["path"] != "issuers/idp" for one in (await api.ask(other, "/v1/config/revisions")).json()["items"])


async def test_issuers_are_for_system_admins(api: Api) -> None:
    await api.key("root", "default", system=True)
    limited = await api.key("half", "default", Grant("config:write"), system=True)
    for key in (await api.key(), limited):
        for method, path in (("GET", ISSUERS), ("GET", IDP), ("PUT", IDP), ("DELETE", IDP)):
            problem(await api.ask(key, path, method, **({"json": BODY} if method == "PUT" else {})), 403)


async def test_issuer_is_refused_when_its_tokens_could_be_anothers(api: Api) -> None:
    root = await api.key("root", "default", system=True)
    await api.ask(root, IDP, "PUT", json=BODY)
    problem(await api.ask(root, f"{ISSUERS}/twin", "PUT", json={**BODY, "audience": ["other", AUDIENCE]}), 422)
    assert (await api.ask(root, f"{ISSUERS}/twin", "PUT", json={**BODY, "audience": "other"})).status_code == 201


@pytest.mark.parametrize(
    ("pointer", "change"),
    [
        ("/issuer", {"issuer": None}),
        ("/issuer", {"issuer": ""}),
        ("/algorithms/0", {"algorithms": ["HS256"]}),
        ("/algorithms/0", {"algorithms": ["none"]}),
        ("/algorithms", {"algorithms": []}),
        ("", {"audience": []}),
        ("/audience", {"audience": {"a": 1}}),
        ("/audience/1", {"audience": ["a", 1]}),
        ("/org", {"org": ["acme"]}),
        ("", {"jwks": None}),
        ("", {"jwks_url": "https://idp.example/jwks"}),
        ("/jwks_url", {"jwks": None, "jwks_url": "http://idp.example/jwks"}),
        ("/jwks", {"jwks": {"keys": []}}),
        ("/jwks", {"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}}),
        ("/jwks", {"jwks": {"keys": [jwk("k1"), {**jwk("k2"), "d": "AAAA"}]}}),
        ("/jwks", {"jwks": {"keys": [jwk("weak", "RS256")]}}),
        ("/org", {"org": "No Org"}),
        ("/org/allowed", {"org": {"claim": "org", "allowed": []}}),
        ("/grants/values/ops/0/action", {"grants": {"claim": "groups", "values": {"ops": [{"action": "rule"}]}}}),
        ("/leeway", {"leeway": 3_600}),
        ("/leeway", {"leeway": -1}),
        ("/more", {"more": 1}),
    ],
)
async def test_issuer_is_refused_with_its_field_when_that_is_wrong(api: Api, pointer: str, change: dict[str, Any]) -> None:
    root = await api.key("root", "default", system=True)
    answer = await api.ask(root, IDP, "PUT", json={name: value for name, value in {**BODY, **change}.items() if value is not None})
    assert pointer in [fault["pointer"] for fault in problem(answer, 400)["errors"]], answer.text


@pytest.mark.parametrize("name", ["a/b", "a:b", "-a", "x" * 65, "a.b"])
async def test_issuer_is_refused_when_its_name_is_none(api: Api, name: str) -> None:
    root = await api.key("root", "default", system=True)
    answer = await api.ask(root, f"{ISSUERS}/{name}", "PUT", json=BODY)
    assert answer.status_code in (400, 404), answer.text
