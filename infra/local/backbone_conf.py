"""The chart's nats.conf for servers of this machine: rendered by helm once for each sort of backbone, then filled in.

What differs between backbones of one sort (names, domains, ports, folders, passwords) is in the values as placeholders, which the chart's
schema takes, and put in by us: 200 backbones alike ask helm once.
"""

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from infra.local.server import quoted
from infra.local.state import write_private
from shared.backbone_chart import FOLDER as CHART
from shared.domain.registry.deploying import Deployment, ServerTrust, Undeployed

NAME, DOMAIN, DIRECTORY = "sb-placeholder-name", "sb-placeholder-domain", "/sb-placeholder-directory"
SECRET = "sb-placeholder-secret"
ACCOUNT = "A" + "PLACEHOLDER".ljust(55, "A")
KUBERNETES = "1.34.0"  # helm asks no cluster, and takes an old one for granted
HELM_WITHIN = 600.0  # seconds: where this machine has no helm, the first time builds one
FIND_HELM = Path(__file__).parents[1] / "render" / "helm"

Json = dict[str, Any]


class Joined(NamedTuple):
    """A hub as a leaf's configuration names it: URLs, with a password where the hub asks for one; `by_file` where it asks for a token,
    which is in remotes/<number>/creds then."""

    urls: tuple[str, ...]
    by_file: bool = False


class Renderer:
    """Renders the chart; keeps what it rendered in `folder`. `helm` is the program, found where none is given."""

    def __init__(self, folder: Path, helm: str | None = None) -> None:
        self._folder = folder
        self._helm = helm
        self._lock = asyncio.Lock()
        self._known: dict[str, str] = {}  # what was rendered, by digest

    async def conf(self, wanted: Deployment, directory: Path, routes: Sequence[str], hubs: Sequence[Joined]) -> str:
        """The nats.conf of a deployment. `directory` has auth/auth.conf, `routes` are host:port of its servers. Raises Undeployed."""
        _check_here(wanted.values)
        server = wanted.trust.server
        text = await self._rendered(placed(wanted.values, len(routes), hubs, in_account=server is not None))
        text = text.replace(ACCOUNT, "" if server is None else server.account)
        for number, route in enumerate(routes):
            text = text.replace(_route(number), route)
        for hub, joined in enumerate(hubs):
            for place, url in enumerate(joined.urls):
                text = text.replace(_remote(hub, place), url)
        filled = text.replace(f'"{NAME}"', json.dumps(wanted.id)).replace(f'"{DOMAIN}"', json.dumps(wanted.values["jetstream"]["domain"]))
        return filled.replace(f'"{DIRECTORY}', quoted(directory)[:-1])

    async def _rendered(self, values: Json) -> str:
        digest = hashlib.sha256(json.dumps([values, _chart_digest()], sort_keys=True).encode()).hexdigest()[:32]
        if digest not in self._known:
            kept = self._folder / f"{digest}.conf"
            async with self._lock:
                if not kept.exists():
                    write_private(kept, await self._render(values))
                self._known[digest] = kept.read_text()
        return self._known[digest]

    async def _render(self, values: Json) -> str:
        command = (await self._find(), "template", NAME, str(CHART), "--values", "-", "--kube-version", KUBERNETES)
        output = await _run(*command, stdin=json.dumps(values).encode())
        maps = [one for one in yaml.safe_load_all(output) if one and one["kind"] == "ConfigMap"]
        return str(maps[0]["data"]["nats.conf"])

    async def _find(self) -> str:
        if self._helm is None:
            self._helm = shutil.which("helm") or (await _run(str(FIND_HELM))).strip()
        return self._helm


def auth_conf(server: ServerTrust) -> str:
    """What the servers of a backbone go by, as a part of nats.conf: tokens, and no secrets. What they are told later is in RESOLVER_DIR."""
    known = "".join(f'  {account}: "{token}"\n' for account, token in server.accounts.items())
    return (
        f'operator: "{server.operator}"\nsystem_account: {server.system_account}\n'
        f'resolver {{ type: full, dir: $RESOLVER_DIR, allow_delete: false, interval: "30s" }}\nresolver_preload {{\n{known}}}\n'
    )


def placed(values: Mapping[str, Any], servers: int, hubs: Sequence[Joined], *, in_account: bool = False) -> Json:
    """The values with placeholders for what differs between backbones of one sort."""
    own: Json = json.loads(json.dumps(values))
    own["jetstream"]["domain"] = DOMAIN
    own["auth"] = {"secret": SECRET}
    own["local"] = {"configDir": DIRECTORY, "routes": [_route(number) for number in range(servers)] if servers > 1 else []}
    if in_account:
        for remote in own.get("leafnodes", {}).get("remotes", ()):
            remote.setdefault("account", ACCOUNT)
    if hubs:
        own["leafnodes"]["remotes"] = [
            {"urls": [f"nats-leaf://{_remote(hub, place)}" for place in range(len(joined.urls))]}
            | ({"account": ACCOUNT} if in_account else {})
            | ({"credentialsSecret": SECRET} if joined.by_file else {})
            for hub, joined in enumerate(hubs)
        ]
    return own


def _route(number: int) -> str:
    return f"route-{number}.placeholder:6222"


def _remote(hub: int, place: int) -> str:
    return f"hub-{hub}-{place}.placeholder:7422"


def _check_here(values: Mapping[str, Any]) -> None:
    """Raise Undeployed for what only a cluster has: Secrets."""
    remotes = values.get("leafnodes", {}).get("remotes", ())
    named = [f"spec.values.{name}.secret" for name in ("auth", "tls") if values.get(name, {}).get("secret")]
    named += ["spec.values.leafnodes.remotes" for one in remotes if one.get("credentialsSecret")]
    if named:
        raise Undeployed("NoSecrets", f"{named[0]}: the provider local has no Secrets")


@cache
def _chart_digest() -> str:
    """Of the chart that this release has."""
    digest = hashlib.sha256()
    for path in sorted(path for path in CHART.rglob("*") if path.is_file()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


async def _run(*command: str, stdin: bytes | None = None) -> str:
    """What a program prints. Raises Undeployed with what it complains of."""
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else pipe,
            stdout=pipe,
            stderr=pipe,
            env=os.environ | {"KUBECONFIG": os.devnull},
        )
    except OSError as error:
        raise Undeployed("NoHelm", f"helm can't be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(HELM_WITHIN):
            output, complaints = await process.communicate(stdin)
    except BaseException as error:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(error, TimeoutError):
            raise Undeployed("HelmTimedOut", f"helm was not done after {HELM_WITHIN:.0f} s") from None
        raise
    if process.returncode:
        raise Undeployed("HelmRefused", complaints.decode(errors="replace").strip()[-1000:])
    return output.decode()
