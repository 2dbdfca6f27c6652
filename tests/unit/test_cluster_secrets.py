"""Secrets of a deployment: made once, by stdin, and never written over."""

import base64
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.cluster import secrets, tools
from infra.cluster.secrets import ADMIN_KEY, PASSWORDS, SECRET, SERVERS, Found, make, missing
from infra.cluster.tools import Cluster
from shared.domain.errors import Conflict, Misconfigured
from shared.secret import SHORTEST_KEY

OF_AN_EDGE = {PASSWORDS: {"valkey.conf", "nats.conf"}, SERVERS: {"redis_url", "nats_url"}, SECRET: {"keys"}}
NEEDED = {
    PASSWORDS: {*OF_AN_EDGE[PASSWORDS], "postgres"},
    SERVERS: {*OF_AN_EDGE[SERVERS], "database_url"},
    SECRET: {"keys"},
    ADMIN_KEY: {"key"},
}


class FakeApi:
    """Secrets as an API server keeps them, behind the one function that runs programs; it notes every call."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, bytes]] = {}
        self.calls: list[tuple[list[str], str]] = []

    def run(self, command: list[str], stdin: str | None = None) -> str:
        self.calls.append((command, stdin or ""))
        if "create" in command:
            self._create(json.loads(stdin or ""))
            return ""
        names = command[command.index("secret") + 1 : command.index("--ignore-not-found")]
        return tools.as_list([self._shown(name) for name in names if name in self.kept])

    def _create(self, document: dict[str, Any]) -> None:
        name = document["metadata"]["name"]
        if name in self.kept:
            raise Conflict(f"{name} already exists")
        self.kept[name] = {key: value.encode() for key, value in document["stringData"].items()}

    def _shown(self, name: str) -> dict[str, Any]:
        data = {key: base64.b64encode(value).decode() for key, value in self.kept[name].items()}
        return {"kind": "Secret", "metadata": {"name": name, "resourceVersion": "1"}, "data": data}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi()
    monkeypatch.setattr(tools, "run", fake.run)
    return fake


def found(**values: str) -> Found:
    return Found("1", {key: value.encode() for key, value in values.items()})


def test_every_secret_is_made_when_the_servers_are_ours() -> None:
    assert missing(NEEDED, {}) == sorted(NEEDED)


def test_an_operator_is_told_names_and_keys_when_the_servers_are_not_ours() -> None:
    needed = {SERVERS: {"redis_url", "nats_url"}, ADMIN_KEY: {"key"}}
    with pytest.raises(Misconfigured, match="switchboard-admin-key with key; switchboard-servers with nats_url, redis_url"):
        missing(needed, {})


def test_an_edge_s_secret_is_not_made_when_its_servers_are_ours() -> None:
    with pytest.raises(Misconfigured, match=r"missing: switchboard-secret with keys .*A hub and its edges"):
        missing(OF_AN_EDGE, {}, edge=True)
    assert missing(OF_AN_EDGE, {SECRET: found(keys="x")}, edge=True) == sorted([PASSWORDS, SERVERS])


def test_an_edge_gets_no_way_to_a_database_when_its_secrets_are_made(api: FakeApi) -> None:
    make(Cluster(None, "sb"), {name: OF_AN_EDGE[name] for name in (PASSWORDS, SERVERS)}, {})
    assert {name: set(values) for name, values in api.kept.items()} == {name: OF_AN_EDGE[name] for name in (PASSWORDS, SERVERS)}


def test_a_secret_without_a_key_that_a_pod_reads_is_refused_when_it_is_there() -> None:
    with pytest.raises(Misconfigured, match="switchboard-secret lacks keys"):
        missing({PASSWORDS: set(), SECRET: {"keys"}}, {SECRET: found(other="x")})


def test_the_urls_hold_the_servers_passwords_when_both_are_made(api: FakeApi) -> None:
    make(Cluster(None, "sb"), NEEDED, {})
    urls = {key: urlsplit(value.decode()) for key, value in api.kept[SERVERS].items()}
    assert urls["database_url"].password == api.kept[PASSWORDS]["postgres"].decode()
    assert api.kept[PASSWORDS]["valkey.conf"].decode() == f"requirepass {urls['redis_url'].password}\n"
    assert f'password: "{urls["nats_url"].password}"' in api.kept[PASSWORDS]["nats.conf"].decode()
    assert len({url.password for url in urls.values()}) == 3


def test_the_passwords_are_those_of_the_urls_when_only_the_urls_are_there(api: FakeApi) -> None:
    api.kept[SERVERS] = {"redis_url": b"redis://:r@v:1", "nats_url": b"nats://u:n@v:1", "database_url": b"postgresql://u:p@v:1/d"}
    make(Cluster(None, "sb"), {PASSWORDS: NEEDED[PASSWORDS]}, secrets.read(Cluster(None, "sb"), [SERVERS]))
    assert api.kept[PASSWORDS]["valkey.conf"] == b"requirepass r\n"
    assert api.kept[PASSWORDS]["postgres"] == b"p"


def test_another_deployments_secret_stays_when_it_was_made_meanwhile(api: FakeApi) -> None:
    api.kept[PASSWORDS] = {"valkey.conf": b"requirepass theirs\n", "nats.conf": b'password: "theirs"', "postgres": b"theirs"}
    make(Cluster(None, "sb"), {name: NEEDED[name] for name in (PASSWORDS, SERVERS)}, {})
    assert api.kept[PASSWORDS]["postgres"] == b"theirs"
    assert api.kept[SERVERS]["redis_url"] == b"redis://:theirs@valkey:6379/0"


def test_no_value_is_in_an_argument_when_secrets_are_made(api: FakeApi) -> None:
    make(Cluster("context", "sb"), NEEDED, {})
    values = [value.decode().strip() for kept in api.kept.values() for value in kept.values()]
    assert not [value for command, _ in api.calls for value in values if value in " ".join(command)]


def test_keys_are_long_enough_when_they_are_made(api: FakeApi) -> None:
    make(Cluster(None, "sb"), {name: NEEDED[name] for name in (SECRET, ADMIN_KEY)}, {})
    assert len(api.kept[SECRET]["keys"].strip()) >= SHORTEST_KEY
    assert api.kept[ADMIN_KEY]["key"].startswith(b"sb_")
