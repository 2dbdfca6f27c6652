"""Rules in force in running processes: what is judged again, what is only told, what is undone, and what stays."""

from functools import partial
from typing import Any
from uuid import uuid4

import httpx

from tests.integration.installs import PATIENCE, Install
from tests.waiting import eventually_now


def test_refused_event_is_judged_afresh_when_it_comes_again_with_its_id(install: Install) -> None:
    """After 429, wherever it comes the second time; and after 422, under other rules. Only acceptance uses an identity up."""
    first, second = install.fronts
    _, admin = install.org()
    install.put(admin, "topics/slow", {"rate_limits": [{"name": "slow", "per": ["topic"], "rate": 0.5, "burst": 1}]})
    assert install.send(admin, "a", "slow").status_code == 202
    refused = install.send(admin, "b", "slow")
    assert (refused.status_code, refused.json()["rule"]) == (429, "rate:slow")
    assert 0 < refused.json()["retry_after_ms"] <= 2_000
    assert int(refused.headers["retry-after"]) == -(-refused.json()["retry_after_ms"] // 1000)
    again = [eventually_now(lambda at=front: _taken(install.send(admin, "b", "slow", at=at)), PATIENCE).json() for front in (first, second)]  # type: ignore[misc]
    assert [(one["status"], one["duplicate"]) for one in again] == [("accepted", False), ("accepted", True)]
    install.put(admin, "topics/shut", {"policies": [{"name": "shut", "when": "true"}]})
    assert install.send(admin, "c", "shut").json()["rule"] == "policy:shut"
    install.put(admin, "topics/shut", {})
    opened = install.send(admin, "c", "shut").json()
    assert (opened["status"], opened["duplicate"]) == ("accepted", False)
    for receipt in (again[0], opened):
        told = eventually_now(partial(_accepted, install, admin, receipt["id"]), within=PATIENCE)
        assert (told["earlier"], told["attempts"] >= 1) == ([], True)


def _taken(answer: httpx.Response) -> Any:
    return answer if answer.status_code == 202 else None


def _accepted(install: Install, key: str, id: str) -> Any:
    """What is told of the message, once the store has it as accepted."""
    told = install.stored(key, id)
    return told if told["verdict"] == "accepted" else None


def test_shadow_policies_change_no_verdict_and_why_says_what_they_would_have_done(install: Install) -> None:
    _, admin = install.org()
    policies = [
        {"name": "block", "when": "data.n > 1", "mode": "shadow", "reason": "too many"},
        {"name": "away", "when": "data.n > 1", "mode": "shadow", "effect": "route", "to": ["local"]},
        {"name": "fails", "when": "data.n > 1 && data.m > 1", "mode": "shadow"},
        {"name": "quiet", "when": "data.n > 100", "mode": "shadow"},
        {"name": "real", "when": "data.n > 2"},
    ]
    install.put(admin, "topics/shadowed", {"policies": policies})
    plain, passed, blocked = (install.send(admin, str(n), "shadowed", {"n": n}).json() for n in (1, 2, 3))
    assert (plain["status"], passed["status"], blocked["rule"]) == ("accepted", "accepted", "policy:real")
    fired = [("policy:block", "block"), ("policy:away", "route"), ("policy:fails", "error")]
    for id, shadows in ((plain["id"], []), (passed["id"], fired), (blocked["instance"].rpartition("/")[2], fired)):
        why = install.stored(admin, id, "/why")
        assert [(step["rule"], step["outcome"]) for step in why["steps"] if step["step"] == "shadow"] == shadows, why
    routed = [delivery["backbone"] for delivery in passed["deliveries"]]
    assert routed == [delivery["backbone"] for delivery in plain["deliveries"]]


def test_rollback_restores_the_bytes_in_force_and_neither_a_key_nor_a_grant(install: Install) -> None:
    _, admin = install.org()
    document = b'{"max_bytes":1000,"schema":{"const":["\\u00e9",1.50,-0,12345678901234567890]}}'
    paths = ("org", "topics/a.%3E")
    texts = [install.ask(admin, f"/v1/config/{path}", "PUT", content=document).content for path in paths]
    key_id, key = install.principal(admin, "shop", {"action": "publish"}, {"action": "config:read"})
    latest = install.ask(admin, "/v1/config/revisions?limit=1").json()["items"][0]["revision"]
    install.ask(admin, "/v1/config/principals/shop", "PUT", json={"grants": [{"action": "publish", "topics": ["b"]}]})
    assert install.ask(admin, f"/v1/config/principals/shop/keys/{key_id}", "DELETE").status_code == 204
    _, later = install.principal(admin, "later", {"action": "publish"})
    for method, path in (("PUT", "org"), ("DELETE", "topics/a.%3E"), ("PUT", "topics/b")):
        assert install.ask(admin, f"/v1/config/{path}", method, json={}).is_success
    told = install.ask(admin, "/v1/config/rollback", "POST", json={"to": latest}).json()
    assert [one["path"] for one in told["changes"]] == ["org", "topics/a.>", "topics/b"]
    found = [install.ask(admin, f"/v1/config/{path}") for path in paths]
    assert [(one.content, one.headers["etag"]) for one in found] == [(text, f'"{told["revision"]}"') for text in texts]
    assert install.ask(admin, "/v1/config/topics/b").status_code == 404
    install.in_force(admin, told["revision"])
    for front in install.fronts:
        assert install.send(key, uuid4().hex, at=front).status_code == 401
        assert install.send(later, uuid4().hex, data={}, at=front).status_code != 401
    grants = install.ask(admin, "/v1/config/principals/shop").json()["grants"]
    assert [(one["action"], one["topics"]) for one in grants] == [("publish", ["b"])]
