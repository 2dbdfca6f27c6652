"""A kubeconfig that somebody else wrote: what we take from it, and what we refuse by name.

It is followed with the reconciler's rights, on the reconciler's machine: it must not run programs, read files, or lead through a proxy or
a connection that isn't checked. What is taken is put together anew, so that nothing else of it is ever read.
"""

import base64
import binascii
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

from shared.domain.registry.deploying import Undeployed
from shared.domain.registry.endpoints import check_host_port

LARGEST = 64 * 1024  # bytes
PROGRAMS = ("exec", "auth-provider")
FILES = ("client-certificate", "client-key", "tokenFile", "certificate-authority")
USER, CLUSTER = ("token", "client-certificate-data", "client-key-data"), ("server", "certificate-authority-data", "tls-server-name")
HTTPS = 443
NAME = "cluster"  # of everything in what we make

Json = dict[str, Any]


class Kubeconfig(NamedTuple):
    """How one cluster is got at. `cluster` and `user` are the kubeconfig's own maps, with nothing in them but USER and CLUSTER. `here`: its
    API server may be on loopback."""

    cluster: Json
    user: Json
    here: bool = False

    def content(self) -> Json:
        """As a kubeconfig, for Helm and the kubernetes client."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": NAME, "cluster": self.cluster}],
            "users": [{"name": NAME, "user": self.user}],
            "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
            "current-context": NAME,
        }

    def secrets(self) -> list[str]:
        """What must be in no message."""
        return [str(value) for value in self.user.values() if value]


def read_kubeconfig(text: str, *, loopback: bool = False) -> Kubeconfig:
    """What the current context of a kubeconfig says. Raises Undeployed, which names the field and quotes nothing of it."""
    if len(text.encode()) > LARGEST:
        raise refused("it is over 64 KiB")
    content = _parsed(text)
    context = _named(content, "contexts", "context", content.get("current-context"))
    cluster = _named(content, "clusters", "cluster", context.get("cluster"))
    user = _named(content, "users", "user", context.get("user"))
    _check_fields("cluster", cluster, CLUSTER)
    _check_fields("user", user, USER)
    _check_server(cluster.get("server"), loopback)
    for holder, field in ((cluster, "certificate-authority-data"), (user, "client-certificate-data"), (user, "client-key-data")):
        _check_base64(holder, field)
    if not user:
        raise refused("user: neither a token nor a client certificate")
    return Kubeconfig(cluster, user, loopback)


def without_secrets(text: str, access: Kubeconfig) -> str:
    """What Helm or the client said, in one line of at most 600 characters, and nothing of the credentials in it."""
    for secret in access.secrets():
        text = text.replace(secret, "***")
    lines = (line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("WARNING", "W0", "W1")))
    return " ".join(lines).removeprefix("Error: ")[:600]


def refused(why: str) -> Undeployed:
    """The error of a kubeconfig that isn't followed."""
    return Undeployed("AccessRefused", f"the kubeconfig is refused: {why}")


def _parsed(text: str) -> Json:
    try:
        if any(isinstance(token, (yaml.AliasToken, yaml.AnchorToken)) for token in yaml.scan(text)):
            raise refused("YAML anchors and aliases")
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        raise refused("it is no YAML") from None
    if not isinstance(content, dict):
        raise refused("it is no object")
    return content


def _named(content: Json, many: str, one: str, name: object) -> Json:
    items = content.get(many)
    if not isinstance(name, str) or not isinstance(items, list):
        raise refused(f"{many}: the current context has none")
    found = [item.get(one) for item in items if isinstance(item, dict) and item.get("name") == name]
    if len(found) != 1 or not isinstance(found[0], dict):
        raise refused(f"{many}: the current context wants one of its name, with {one} in it")
    return found[0]


def _check_fields(where: str, found: Json, taken: tuple[str, ...]) -> None:
    for field, value in found.items():
        if field in PROGRAMS:
            raise refused(f"{where}.{field}: it would run a program; take a token or a client certificate")
        if field in FILES:
            raise refused(f"{where}.{field}: a path on another machine; put the content into {field}-data")
        if field == "proxy-url":
            raise refused(f"{where}.proxy-url: no proxies")
        if field == "insecure-skip-tls-verify":
            if value is not False:
                raise refused(f"{where}.insecure-skip-tls-verify: the server must be checked; give its certificate-authority-data")
        elif field not in taken and field != "extensions":
            raise refused(f"{where}.{field if str(field).isprintable() else '?'}: not taken; {where} may have {', '.join(taken)}"[:300])
        elif field in taken and not isinstance(value, str):
            raise refused(f"{where}.{field}: text is wanted")
    for field in [field for field in found if field not in taken]:
        del found[field]


def _check_server(server: object, loopback: bool) -> None:
    try:
        parts = urlsplit(server) if isinstance(server, str) else urlsplit("")
        _ = parts.port
    except ValueError:
        raise refused("cluster.server: not a URL") from None
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise refused("cluster.server: an https:// URL, without a user in it, is wanted")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    try:
        check_host_port(f"{host}:{parts.port or HTTPS}", local=loopback)
    except ValueError as error:
        raise refused(f"cluster.server: {error}") from None


def _check_base64(holder: Json, field: str) -> None:
    try:
        base64.b64decode(holder.get(field, ""), validate=True)
    except (binascii.Error, ValueError):
        raise refused(f"{field}: not base64") from None
