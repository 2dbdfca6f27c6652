"""Revisions, differences and rollback over REST; and that any history of writes leaves what a simple model says."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.config_crud.documents import Target, delete_document, patch_document, put_document
from functions.config_crud.history import rollback
from functions.config_crud.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.domain.config.patch import merge_patch
from shared.domain.config.paths import parse_path
from shared.domain.errors import NotFound, NotProcessable
from shared.domain.json_text import canonical, parse
from shared.domain.principal import Grant, Principal
from shared.domain.revisions import Write
from tests.rest import Api, problem, serving

ORG, REVISIONS, ROLLBACK = "/v1/config/org", "/v1/config/revisions", "/v1/config/rollback"


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


async def put(api: Api, key: str, path: str, document: Any, reason: str = "") -> int:
    """The revision that it made."""
    answer = await api.ask(key, f"/v1/config/{path}", "PUT", json=document, headers={"switchboard-reason": reason.encode()})
    assert answer.status_code in (200, 201), answer.text
    return int(answer.headers["etag"].strip('"'))


async def test_revision_says_who_what_when_and_why(api: Api) -> None:
    admin = await api.key()
    first = await put(api, admin, "topics/a", {"max_bytes": 1}, "größer")
    second = await put(api, admin, "topics/a", {"max_bytes": 2})
    [newest, older] = (await api.ask(admin, f"{REVISIONS}?limit=2")).json()["items"]
    assert newest.items() >= {"revision": second, "before": {"max_bytes": 1}, "after": {"max_bytes": 2}, "reason": ""}.items()
    assert older.items() >= {"revision": first, "org": "acme", "path": "topics/a", "author": "admin", "before": None}.items()
    assert (older["reason"], older["after"], older["action"]) == ("größer", {"max_bytes": 1}, "document.put")
    assert older["time"].endswith("Z")
    assert older["time"] <= newest["time"]
    assert (await api.ask(admin, f"{REVISIONS}/{first}")).json() == older


async def test_pages_have_every_revision_once(api: Api) -> None:
    admin = await api.key()
    for number in range(7):
        await put(api, admin, f"topics/{number % 2}", {"max_bytes": 1 + number})
    seen: list[int] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        page = (await api.ask(admin, f"{REVISIONS}?limit=2" + (f"&cursor={page['next']}" if page["next"] else ""))).json()
        seen += [one["revision"] for one in page["items"]]
    assert seen == list(range(10, 1, -1))  # admin and its key, then seven documents
    assert [one["path"] for one in (await api.ask(admin, f"{REVISIONS}?path=topics/1")).json()["items"]] == ["topics/1"] * 3
    for wrong in ("limit=0", "limit=201", "cursor=x", "cursor=-1", "cursor=" + "9" * 30):
        problem(await api.ask(admin, f"{REVISIONS}?{wrong}"), 400)


async def test_org_sees_its_own_revisions_and_everybodys(api: Api) -> None:
    root, admin, other = await api.key("root", "default", system=True), await api.key(), await api.key("admin", "globex")
    own = await put(api, admin, "org", {"max_bytes": 1})
    others = await put(api, other, "org", {"max_bytes": 2})
    everybodys = await put(api, root, "global", {"max_bytes": 3})
    seen = [one["revision"] for one in (await api.ask(admin, f"{REVISIONS}?limit=2")).json()["items"]]
    assert seen == [everybodys, own]
    for number in (others, everybodys + 1):
        problem(await api.ask(admin, f"{REVISIONS}/{number}"), 404)
    assert (await api.ask(root, f"{REVISIONS}/{others}?org=globex")).status_code == 200
    problem(await api.ask(admin, f"{REVISIONS}?org=globex"), 403)
    text = (await api.ask(admin, REVISIONS)).text
    assert "globex" not in text
    assert (await api.ask(admin, f"{REVISIONS}/{everybodys}")).json()["author"] == "default/root"


async def test_keys_are_nowhere_in_revisions(api: Api) -> None:
    admin = await api.key()
    await api.ask(admin, "/v1/config/principals/shop", "PUT", json={"grants": [{"action": "publish"}]})
    made = (await api.ask(admin, "/v1/config/principals/shop/keys", "POST")).json()
    await api.ask(admin, "/v1/config/principals/shop", "DELETE")
    answer = await api.ask(admin, REVISIONS)
    assert made["key"] not in answer.text
    deleted, created, put_shop = answer.json()["items"][:3]
    assert (created["path"], created["before"], created["after"]) == (f"principals/shop/keys/{made['id']}", None, None)
    assert (put_shop["after"]["grants"][0]["action"], deleted["before"], deleted["after"]) == ("publish", put_shop["after"], None)


async def test_diff_says_what_differs_between_two_states(api: Api) -> None:
    root, admin = await api.key("root", "default", system=True), await api.key()
    first = await put(api, admin, "topics/a", {"max_bytes": 1})
    await put(api, admin, "topics/b", {"max_bytes": 1})
    await put(api, await api.key("admin", "globex"), "topics/a", {"max_bytes": 1})
    await put(api, root, "global", {"max_bytes": 3})
    last = await put(api, admin, "topics/a", {"max_bytes": 2})
    forth = (await api.ask(admin, f"/v1/config/diff?from={first}&to={last}")).json()
    assert (forth["from"], forth["to"]) == (first, last)
    assert [(one["path"], one["before"], one["after"]) for one in forth["changes"]] == [
        ("global", None, {"max_bytes": 3}),
        ("topics/a", {"max_bytes": 1}, {"max_bytes": 2}),
        ("topics/b", None, {"max_bytes": 1}),
    ]
    assert (await api.ask(admin, f"/v1/config/diff?from={first}")).json() == forth
    back = (await api.ask(admin, f"/v1/config/diff?from={last}&to={first}")).json()
    assert [(one["after"], one["before"]) for one in back["changes"]] == [(one["before"], one["after"]) for one in forth["changes"]]
    assert (await api.ask(admin, f"/v1/config/diff?from={last}&to={last}")).json()["changes"] == []
    problem(await api.ask(admin, f"/v1/config/diff?from={last + 1}"), 400, "from")
    problem(await api.ask(admin, f"/v1/config/diff?from=0&to={last + 1}"), 400, "to")
    problem(await api.ask(admin, "/v1/config/diff"), 400, "/from")


# ---- rollback -------------------------------------------------------------------------------------------------------------------


async def test_rollback_restores_the_very_bytes_in_one_revision_and_no_key(api: Api) -> None:
    admin = await api.key()
    for path in ("org", "topics/a", "topics/b"):
        await put(api, admin, path, {"max_bytes": 1, "rate_limits": []})
    good = await api.config.snapshot()
    await put(api, admin, "topics/a", {"max_bytes": 2})
    await api.ask(admin, "/v1/config/topics/b", "DELETE")
    await put(api, admin, "topics/c", {})
    await api.ask(admin, "/v1/config/principals/shop", "PUT", json={"grants": []})
    key = (await api.ask(admin, "/v1/config/principals/shop/keys", "POST")).json()["key"]
    bad = await api.config.snapshot()
    told = (await api.ask(admin, ROLLBACK, "POST", json={"to": good.revision}, headers={"switchboard-reason": "too big"})).json()
    after = await api.config.snapshot()
    assert after.documents == good.documents
    assert (after.revision, told["revision"], told["to"]) == (bad.revision + 1, bad.revision + 1, good.revision)
    assert after.keys == bad.keys
    assert after.principal_of(key) == Principal("shop", "acme", ())
    assert told["before"] == {"topics/a": {"max_bytes": 2}, "topics/c": {}}
    assert set(told["after"]) == {"topics/a", "topics/b"}
    revision = (await api.ask(admin, f"{REVISIONS}/{after.revision}")).json()
    assert (revision["path"], revision["reason"], revision["before"], revision["after"]) == (
        "rollback",
        "too big",
        told["before"],
        told["after"],
    )
    assert (await api.ask(admin, "/v1/config/topics/b")).headers["etag"] == f'"{after.revision}"'
    again = (await api.ask(admin, ROLLBACK, "POST", json={"to": good.revision})).json()
    assert (again["revision"], again["changes"]) == (None, [])
    assert (await api.ask(admin, ROLLBACK, "POST", json={"to": bad.revision})).json()["revision"] == after.revision + 1
    assert (await api.config.snapshot()).documents == bad.documents


async def test_rollback_is_one_orgs_and_globals_own_for_system_admins(api: Api) -> None:
    root, admin, other = await api.key("root", "default", system=True), await api.key(), await api.key("admin", "globex")
    start = (await api.config.snapshot()).revision
    await put(api, admin, "org", {"max_bytes": 1})
    await put(api, other, "org", {"max_bytes": 2})
    await put(api, root, "global", {"max_bytes": 3})
    await api.ask(admin, ROLLBACK, "POST", json={"to": start})
    assert set((await api.config.snapshot()).documents) == {"globex", ""}
    problem(await api.ask(admin, f"{ROLLBACK}?org=globex", "POST", json={"to": start}), 403)
    problem(await api.ask(admin, ROLLBACK, "POST", json={"to": start, "global": True}), 403)
    problem(await api.ask(await api.key("r", "acme", Grant("config:read")), ROLLBACK, "POST", json={"to": start}), 403)
    problem(await api.ask(await api.key("w", "acme", Grant("config:write", ("a",))), ROLLBACK, "POST", json={"to": start}), 403)
    assert (await api.ask(root, ROLLBACK, "POST", json={"to": start, "global": True})).json()["before"] == {"global": {"max_bytes": 3}}
    assert set((await api.config.snapshot()).documents) == {"globex"}
    await api.ask(root, f"{ROLLBACK}?org=globex", "POST", json={"to": start})
    assert (await api.config.snapshot()).documents == {}


async def test_rollback_is_refused_when_its_revision_is_to_come_or_none(api: Api) -> None:
    admin = await api.key()
    now = (await api.config.snapshot()).revision
    problem(await api.ask(admin, ROLLBACK, "POST", json={"to": now + 1}), 422, "/to")
    for wrong in (-1, "1", 1.5, None, 2**63):
        problem(await api.ask(admin, ROLLBACK, "POST", json={"to": wrong}), 400, "/to")
    problem(await api.ask(admin, ROLLBACK, "POST", json={}), 400, "/to")


async def test_nothing_is_rolled_back_when_one_document_does_not_hold_any_more(api: Api) -> None:
    admin = await api.key()
    store = api.config
    await store.write_documents("acme", Write("document.put", "topics/a", {"topics/a": b'{"max_bytes":1}'}), "an older release")
    old = await store.write_documents("acme", Write("document.put", "topics/b", {"topics/b": b'{"gone_field":1}'}), "an older release")
    await api.ask(admin, "/v1/config/topics/b", "DELETE")
    now = (await api.ask(admin, "/v1/config/topics/a", "PUT", json={"max_bytes": 2})).headers["etag"]
    refused = problem(await api.ask(admin, ROLLBACK, "POST", json={"to": old}), 422, "/topics~1b/gone_field")
    assert "topics/b" in refused["detail"]
    assert (await api.ask(admin, "/v1/config/topics/a")).headers["etag"] == now


async def test_rollbacks_and_writes_are_one_after_the_other_when_they_come_at_once(api: Api) -> None:
    admin = await api.key()
    states = []
    for number in range(3):
        await put(api, admin, "topics/a", {"max_bytes": 1 + number})
        states.append(await put(api, admin, "topics/b", {"max_bytes": 1 + number}))
    rollbacks = [api.ask(admin, ROLLBACK, "POST", json={"to": to}) for to in states * 3]
    writes = [api.ask(admin, f"/v1/config/topics/{name}", "PUT", json={"max_bytes": 100 + n}) for n, name in enumerate("abcabc")]
    answers = await asyncio.gather(*rollbacks, *writes)
    assert {answer.status_code for answer in answers} <= {200, 201}
    for answer in answers[: len(rollbacks)]:
        told = answer.json()
        if told["revision"] is not None:
            assert (await api.config.documents("acme", told["revision"])).keys() == (await api.config.documents("acme", told["to"])).keys()
            after = {path: one.text for path, one in (await api.config.documents("acme", told["revision"])).items()}
            assert after == {path: one.text for path, one in (await api.config.documents("acme", told["to"])).items()}


# ---- any history ----------------------------------------------------------------------------------------------------------------

PATHS = ("org", "topics/a", "topics/b.>", "subjects/x")
ADMIN = Principal("admin", "acme", (Grant("admin"),))
documents = st.fixed_dictionaries({}, optional={"max_bytes": st.integers(1, 3), "retry": st.just({"attempts": 2}), "schema": st.booleans()})
patches = st.fixed_dictionaries({}, optional={"max_bytes": st.none() | st.integers(1, 3), "retry": st.none() | st.just({"max_ms": 40_000})})
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(PATHS), documents),
        st.tuples(st.just("patch"), st.sampled_from(PATHS), patches),
        st.tuples(st.just("delete"), st.sampled_from(PATHS), st.none()),
        st.tuples(st.just("rollback"), st.integers(0, 30), st.none()),
    ),
    max_size=25,
)


async def admit_all(org: str, path: str, value: Any, *, trial: bool = True, publish: bool = True) -> None:
    """Every document is good."""


def reference_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2, word for word."""
    if isinstance(patch, dict):
        if not isinstance(target, dict):
            target = {}
        target = dict(target)
        for name, value in patch.items():
            if value is None:
                if name in target:
                    del target[name]
            else:
                target[name] = reference_patch(target.get(name), value)
        return target
    return patch


@settings(max_examples=150, deadline=None)
@given(steps)
def test_state_is_the_models_when_any_history_was_written(history: list[tuple[str, Any, Any]]) -> None:
    async def run() -> None:
        store = MemoryConfigStore()
        model: dict[str, Any] = {}
        states: list[dict[str, Any]] = [{}, {}]  # of revision 0, 1, ...
        for kind, where, value in history:
            before = dict(model)
            try:
                if kind == "rollback":
                    await rollback(store, admit_all, ADMIN, None, where, "")
                    model = dict(states[where])
                elif kind == "put":
                    await put_document(store, admit_all, ADMIN, Target(None, parse_path(where)), value)
                    model[where] = value
                elif kind == "patch":
                    await patch_document(store, admit_all, ADMIN, Target(None, parse_path(where)), value)
                    model[where] = reference_patch(model.get(where, {}), value)
                else:
                    await delete_document(store, ADMIN, Target(None, parse_path(where)))
                    del model[where]
            except NotFound:
                assert kind == "delete"
                assert where not in model
            except NotProcessable:
                assert kind == "rollback"
                assert where >= len(states)
            if model != before:
                states.append(dict(model))
            assert await store.current() == len(states) - 1
        for number, state in enumerate(states):
            kept = await store.documents("acme", number)
            assert {path: one.text for path, one in kept.items()} == {path: canonical(value) for path, value in state.items()}

    asyncio.run(run())


# ---- JSON -----------------------------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_canonical_text_is_one_whatever_way_the_value_was_written(value: Any) -> None:
    text = canonical(value)
    assert parse(text) == value
    assert canonical(parse(text)) == text
    assert canonical(parse(json.dumps(value, indent=3).encode())) == text


@given(values, values)
def test_patched_document_is_the_references_when_anything_is_patched_with_anything(target: Any, patch: Any) -> None:
    kept = canonical(target)
    assert canonical(merge_patch(target, patch)) == canonical(reference_patch(target, patch))
    assert canonical(target) == kept


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396, appendix A
        *(({"a": "b"}, {"a": "c"}, {"a": "c"}), ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}), ({"a": "b"}, {"a": None}, {})),
        *(
            ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
            ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
            ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        *(({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}), (["a", "b"], ["c", "d"], ["c", "d"]), ({"a": "b"}, ["c"], ["c"])),
        *(({"a": "foo"}, None, None), ({"a": "foo"}, "bar", "bar"), ({"e": None}, {"a": 1}, {"e": None, "a": 1})),
        *(([1, 2], {"a": "b", "c": None}, {"a": "b"}), ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}})),
    ],
)
def test_patch_is_applied_as_the_rfc_shows(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == reference_patch(target, patch) == result
