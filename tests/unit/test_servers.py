"""infra/servers (on a cluster) and infra/local (on a laptop) run the same servers with the same settings."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local import nats, postgres, valkey
from infra.local.postgres_tree import Tree
from shared.settings import Settings

SERVERS = Path(__file__).parents[2] / "infra" / "servers"
PORTS_AND_PLACES = {"bind", "port", "dir", "requirepass", "maxmemory", "include"}


def words(text: str) -> dict[str, str]:
    """The lines of a valkey.conf, by their first word."""
    lines = (line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#"))
    return dict(lines)


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((SERVERS / name).read_text()))


def pod_of(name: str) -> dict[str, Any]:
    (pod,) = (one["spec"]["template"]["spec"] for one in documents(name) if one["kind"] == "StatefulSet")
    return dict(pod)


def test_valkey_keeps_every_write_when_it_runs_on_a_cluster() -> None:
    local, cluster = words(valkey.CONFIGURATION), words((SERVERS / "valkey.conf").read_text())
    assert {name: cluster[name] for name in local.keys() - PORTS_AND_PLACES} == {
        name: local[name] for name in local.keys() - PORTS_AND_PLACES
    }


def test_valkey_is_not_full_before_the_log_when_the_log_has_its_default_limit() -> None:
    megabytes = int(words((SERVERS / "valkey.conf").read_text())["maxmemory"].removesuffix("mb"))
    assert megabytes * 1024**2 > Settings().log_bytes


def test_nats_has_the_local_limits_and_domain_when_it_runs_on_a_cluster() -> None:
    def settings(text: str) -> set[str]:
        return set(re.findall(r"(?:server_name|max_\w+|domain|sync_interval): \S+", text))

    assert settings((SERVERS / "nats.conf").read_text()) == settings(nats.CONFIGURATION) != set()


def test_postgres_has_the_local_settings_when_it_runs_on_a_cluster() -> None:
    flags = dict(flag.split("=", 1) for flag in postgres._flags(5432, Tree(Path("bin"), "timescaledb")) if flag != "-c")
    given = dict(part.removeprefix("-c").split("=", 1) for part in pod_of("postgres.yaml")["containers"][0]["args"][1:])
    of_the_machine = {"listen_addresses", "port", "unix_socket_directories", "shared_buffers", "dynamic_shared_memory_type"}
    same = flags.keys() - of_the_machine
    assert {name: given.get(name) for name in same} == {name: flags[name] for name in same}


def test_a_new_database_is_made_as_locally_when_it_runs_on_a_cluster() -> None:
    environment = {one["name"]: one["value"] for one in pod_of("postgres.yaml")["containers"][0]["env"]}
    assert {"--auth=scram-sha-256", "--data-checksums", *postgres.LOCALE} == set(environment["POSTGRES_INITDB_ARGS"].split())


@pytest.mark.parametrize("name", ["valkey.yaml", "nats.yaml", "postgres.yaml"])
def test_a_server_has_no_rights_it_does_not_need_when_its_pod_starts(name: str) -> None:
    pod = pod_of(name)
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", ["valkey.yaml", "nats.yaml", "postgres.yaml"])
def test_no_password_is_in_a_manifest_when_it_is_committed(name: str) -> None:
    sources = [volume for volume in pod_of(name)["volumes"] if "switchboard-server-passwords" in str(volume)]
    assert len(sources) == 1
    assert not any(one["kind"] == "Secret" for one in documents(name))
