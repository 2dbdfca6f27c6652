"""What a release is told of keys: its own as values, tokens that hold no secrets; how it signs in to its hubs by a Secret."""

import base64
import json
from typing import Any

from shared.adapters.kubernetes.objects import Objects
from shared.domain.registry.deploying import Deployment, Undeployed

Json = dict[str, Any]


def values_of(wanted: Deployment) -> Json:
    """The chart's values, with whom its servers believe. Raises Undeployed where the spec says somebody else."""
    values: Json = json.loads(json.dumps(wanted.values))
    server = wanted.trust.server
    if server is not None:
        if values.get("auth", {}).get("secret"):
            raise Undeployed("SpecRefused", "/spec/values/auth/secret: this backbone has keys of its own: declare another one with it")
        said = {"operator": server.operator, "systemAccount": server.system_account, "accounts": dict(server.accounts)}
        values["auth"] = values.get("auth", {}) | said
        for remote in values.get("leafnodes", {}).get("remotes", ()):
            remote.setdefault("account", server.account)
    for remote, hub in zip(values.get("leafnodes", {}).get("remotes", ()), _reached(wanted), strict=False):
        if hub in wanted.trust.hubs:
            remote |= {"credentialsSecret": secret_name(wanted.id), "credentialsKey": hub}
    return values


def secret_name(id: str) -> str:
    """Of the Secret with a credentials file for each hub, by its id. It has no dot: an org's own Secrets have one (docs/registry.md)."""
    return f"{id}-hubs"


def keep_secret(objects: Objects, wanted: Deployment) -> str:
    """Have the Secret in the cluster, where it signs in to hubs; what somebody had changed of it. What it was for before stays in it:
    servers that are still to be rolled mount it. Raises ApiException."""
    logins = {hub: wanted.trust.hubs[hub].file() for hub in _reached(wanted) if hub in wanted.trust.hubs}
    if not logins:
        return ""
    name = secret_name(wanted.id)
    data = {hub: base64.b64encode(text.encode()).decode() for hub, text in logins.items()}
    found = objects.find("Secret", name)
    if found is None:
        objects.create_secret(name, wanted.id, data)
        return ""
    there = found.get("data") or {}
    if all(there.get(hub) == text for hub, text in data.items()):
        return ""
    objects.patch_secret(name, data)
    changed = any(hub in there and there[hub] != text for hub, text in data.items())
    return f"its Secret {name} had been changed" if changed else ""


def _reached(wanted: Deployment) -> list[str]:
    """The hubs that it is joined to, in the order of its remotes."""
    return [hub.id for hub in wanted.hubs if hub.urls]
