"""Clusters over REST (contracts.md, "Registry"); on a registry in memory."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.domain.principal import Grant
from tests.declared import CLUSTERS, EU, registering
from tests.rest import Api, problem


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with registering(tmp_path) as served:
        yield served


async def test_cluster_is_declared_read_replaced_and_forgotten(api: Api) -> None:
    admin = await api.key()
    answer = await api.ask(admin, CLUSTERS, "POST", json=EU, headers={"switchboard-reason": "new land"})
    assert (answer.status_code, answer.headers["location"]) == (202, f"{CLUSTERS}/eu")
    shown = {**EU, "org": "acme", "conditions": []}
    assert answer.json() == shown
    read = await api.ask(admin, answer.headers["location"])
    assert (read.json(), read.headers["etag"]) == (shown, answer.headers["etag"])
    [revision] = await api.config.revisions("acme", 1)
    assert (revision.action, revision.path, revision.reason) == ("cluster.add", "clusters/eu", "new land")
    assert f'"{revision.revision}"' == read.headers["etag"]
    changed = await api.ask(
        admin, f"{CLUSTERS}/eu", "PUT", json=read.json() | {"region": "east"}, headers={"if-match": read.headers["etag"]}
    )
    assert (changed.status_code, changed.json()["region"]) == (202, "east")
    same = await api.ask(admin, f"{CLUSTERS}/eu", "PUT", json=changed.json())
    assert (same.status_code, same.headers["etag"]) == (200, changed.headers["etag"])
    problem(await api.ask(admin, f"{CLUSTERS}/eu", "DELETE", headers={"if-match": read.headers["etag"]}), 412)
    assert (await api.ask(admin, f"{CLUSTERS}/eu", "DELETE")).status_code == 204
    problem(await api.ask(admin, f"{CLUSTERS}/eu"), 404)


@pytest.mark.parametrize("target", [CLUSTERS, "/v1/backbones", f"{CLUSTERS}/eu"])
async def test_nothing_is_said_of_the_body_when_the_caller_may_not_write(api: Api, target: str) -> None:
    reader = await api.key("reader", "acme", Grant("registry:read"))
    refused = await api.ask(reader, target, "PUT" if target.endswith("eu") else "POST", json={"what": "is this"})
    assert problem(refused, 403)["rule"] == "grant"


@pytest.mark.parametrize(
    ("target", "pointer"),
    [
        *((f"{CLUSTERS}?ogr=globex", "ogr"), (f"{CLUSTERS}/eu?limit=1", "limit"), ("/v1/backbones?cluster=a&cluster=b", "cluster")),
        *(("/v1/resolve?topic=a&subjet=agent-7", "subjet"), ("/v1/resolve?topic=a&topic=b", "topic")),
    ],
)
async def test_parameter_is_refused_and_named_when_it_is_unknown_or_there_twice(api: Api, target: str, pointer: str) -> None:
    problem(await api.ask(await api.key(), target), 400, pointer)


async def test_cluster_is_made_by_put_once_when_it_says_so(api: Api) -> None:
    admin, new = await api.key(), {"if-none-match": "*"}
    assert (await api.ask(admin, f"{CLUSTERS}/eu", "PUT", json=EU, headers=new)).status_code == 202
    problem(await api.ask(admin, f"{CLUSTERS}/eu", "PUT", json=EU, headers=new), 412)
    problem(await api.ask(admin, CLUSTERS, "POST", json=EU), 422, "/name")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": "EU"}, "/name"),
        ({"name": None}, "/name"),
        ({"name": "a" * 41}, "/name"),
        ({"name": "eu\n"}, "/name"),
        ({"provider": "terraform"}, "/provider"),
        ({"provider": "local", "access": None}, "/provider"),
        ({"region": 7}, "/region"),
        ({"region": "a\u0000"}, "/region"),
        ({"metadata": []}, "/metadata"),
        ({"metadata": {"a": "x" * 20_000}}, "/metadata"),
        ({"nonsense": 1}, "/nonsense"),
        ({"access": None}, "/access"),
        ({"access": {}}, "/access"),
        ({"access": {"kubeconfig_secret": "acme.eu", "aws_secret": "switchboard/acme/eu"}}, "/access"),
        ({"access": {"kubeconfig": "apiVersion: v1"}}, "/access/kubeconfig"),
        (
            {"access": {"kubeconfig_secret": "apiVersion: v1\nusers: [{user: {exec: {}}}]"}},
            "/access/kubeconfig_secret",
        ),
        ({"access": {"kubeconfig_secret": "acme.../../etc/passwd"}}, "/access/kubeconfig_secret"),
        ({"access": {"kubeconfig_secret": "globex.eu"}}, "/access/kubeconfig_secret"),
        ({"access": {"kubeconfig_secret": "acme-eu"}}, "/access/kubeconfig_secret"),
        ({"access": {"aws_secret": "switchboard/globex/eu"}}, "/access/aws_secret"),
        ({"access": {"aws_secret": '{"a": 1}'}}, "/access/aws_secret"),
        ({"access": {"in_cluster": True}}, "/access/in_cluster"),
        ({"access": {"eks": {"name": "eu", "region": "eu-west-1"}}}, "/access/eks"),
        ({"access": {"eks": {"name": "eu"}}}, "/access/eks/region"),
        ({"access": {"eks": {"name": "eu\n", "region": "eu-west-1"}}}, "/access/eks/name"),
        ({"access": {"kubeconfig_secret": "acme.eu\n"}}, "/access/kubeconfig_secret"),
    ],
)
async def test_answer_names_the_field_when_a_cluster_cannot_be_so(api: Api, change: Any, pointer: str) -> None:
    answer = await api.ask(await api.key(), CLUSTERS, "POST", json=EU | change)
    assert pointer in [fault["pointer"] for fault in problem(answer, 422)["errors"]], answer.text
    assert await api.registry.registered() == {}


async def test_system_admins_say_how_any_cluster_is_got_at_and_others_do_not_see_it(api: Api) -> None:
    system, admin = await api.key("root", "ops", system=True), await api.key()
    for name, access in (("here", {"in_cluster": True}), ("far", {"eks": {"name": "far", "region": "eu-west-1"}})):
        body = {"name": name, "org": None, "provider": "helm", "access": access}
        assert (await api.ask(system, CLUSTERS, "POST", json=body)).status_code == 202
        assert (await api.ask(system, f"{CLUSTERS}/{name}")).json()["access"] == access
        seen = (await api.ask(admin, f"{CLUSTERS}/{name}")).json()
        assert (seen["org"], seen["access"]) == (None, None)
    assert (await api.ask(system, CLUSTERS, "POST", json={"name": "me", "org": None, "provider": "local"})).status_code == 202
    problem(await api.ask(admin, CLUSTERS, "POST", json=EU | {"org": None}), 403)
    problem(await api.ask(admin, CLUSTERS, "POST", json=EU | {"org": "globex"}), 403)
    problem(await api.ask(admin, f"{CLUSTERS}/far", "PUT", json=EU | {"name": "far"}), 403)
    problem(await api.ask(admin, f"{CLUSTERS}/far", "DELETE"), 403)
    problem(await api.ask(system, f"{CLUSTERS}/far", "PUT", json={"provider": "local"}), 422)
