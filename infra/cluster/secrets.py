"""The Secrets of a deployment: what is missing, and what can be made here. A value is never shown, never in an argument list, and one
that is there is never written over."""

import base64
import contextlib
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from infra.cluster.manifests import OURS
from infra.cluster.tools import Cluster, Manifest
from shared.domain.errors import Conflict, Misconfigured

PASSWORDS, SERVERS, SECRET, ADMIN_KEY = "switchboard-server-passwords", "switchboard-servers", "switchboard-secret", "switchboard-admin-key"
USER = DATABASE = "switchboard"  # as infra/servers has them


class Found(NamedTuple):
    """A Secret in the cluster: its version, and its values by key."""

    version: str
    values: Mapping[str, bytes]


def read(cluster: Cluster, names: Iterable[str]) -> dict[str, Found]:
    """Those of the Secrets that are in the namespace."""
    wanted = sorted(names)
    return {one["metadata"]["name"]: _found(one) for one in (cluster.get("secret", *wanted) if wanted else ())}


def _found(one: Manifest) -> Found:
    values = {key: base64.b64decode(value) for key, value in (one.get("data") or {}).items()}
    return Found(one["metadata"]["resourceVersion"], values)


def missing(needed: Mapping[str, set[str]], found: Mapping[str, Found], edge: bool = False) -> list[str]:
    """The names of the Secrets to make. Raises Misconfigured for those that only an operator can make, and for one without a key
    that a pod reads: a Secret that is there isn't touched. An edge's secret is its hub's."""
    absent = sorted(needed.keys() - found.keys())
    made = set(MADE) - ({SECRET} if edge else set()) if PASSWORDS in needed else set()
    problems = [f"{name} lacks {', '.join(lack)}" for name in sorted(found) if (lack := sorted(needed[name] - found[name].values.keys()))]
    problems += [f"{name} with {', '.join(sorted(needed[name])) or 'its keys'}" for name in absent if name not in made]
    if problems:
        where = "knative/README.md, A hub and its edges" if edge else "README.md, Deploy to a cluster"
        raise Misconfigured(f"Secrets are missing: {'; '.join(problems)} (docs: {where})")
    return absent


def make(cluster: Cluster, needed: Mapping[str, set[str]], found: Mapping[str, Found]) -> None:
    """Make these Secrets, with the keys that pods read. One that another deployment has made meanwhile stays as that made it."""
    known = dict(found)
    for name in sorted(needed, key=list(MADE).index):
        body = {key: value.decode() for key, value in MADE[name](known).items() if key in needed[name]}
        metadata = {"name": name, "namespace": cluster.namespace, "labels": OURS}
        document = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "stringData": body}
        with contextlib.suppress(Conflict):  # made by somebody else since we looked: theirs is what counts
            cluster.kubectl("create", "--filename=-", stdin=json.dumps(document))
        known |= read(cluster, [name])


def versions(found: Mapping[str, Found]) -> dict[str, str]:
    """What changes when a Secret does, by its name."""
    return {name: each.version for name, each in found.items()}


def _passwords(known: Mapping[str, Found]) -> dict[str, bytes]:
    """Passwords for infra/servers: those in the servers' URLs where these are there, else new ones."""
    urls = known[SERVERS].values if SERVERS in known else {}
    valkey, nats, postgres = (_password(urls.get(key, b"")) for key in ("redis_url", "nats_url", "database_url"))
    return {
        "valkey.conf": f"requirepass {valkey}\n".encode(),
        "nats.conf": f'authorization {{ user: {USER}, password: "{nats}" }}\n'.encode(),
        "postgres": postgres.encode(),
    }


def _password(url: bytes) -> str:
    return urlsplit(url.decode()).password or secrets.token_hex(32)


def _servers(known: Mapping[str, Found]) -> dict[str, bytes]:
    """The URLs of infra/servers, by the names of their Services. An edge has no PostgreSQL."""
    values = known[PASSWORDS].values
    valkey = values["valkey.conf"].decode().split()[1]
    nats = values["nats.conf"].decode().split('"')[1]
    urls = {"redis_url": f"redis://:{valkey}@valkey:6379/0", "nats_url": f"nats://{USER}:{nats}@nats:4222"}
    if "postgres" in values:
        urls["database_url"] = f"postgresql://{USER}:{values['postgres'].decode().strip()}@postgres:5432/{DATABASE}"
    return {name: url.encode() for name, url in urls.items()}


def _secret(known: Mapping[str, Found]) -> dict[str, bytes]:
    return {"keys": f"{secrets.token_urlsafe(32)}\n".encode()}


def _admin_key(known: Mapping[str, Found]) -> dict[str, bytes]:
    from shared.adapters.postgres.keys import new_key

    return {"key": new_key().key.encode()}


# What can be made here, where the servers are ours, in this order: the servers' URLs hold their passwords.
MADE: dict[str, Callable[[Mapping[str, Found]], dict[str, bytes]]] = {
    PASSWORDS: _passwords,
    SERVERS: _servers,
    SECRET: _secret,
    ADMIN_KEY: _admin_key,
}
