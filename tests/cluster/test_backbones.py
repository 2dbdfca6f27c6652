"""A backbone on a real cluster, from its declaration to the last volume: Helm, the API server and NATS themselves, with no more rights than
the reconciler's own Role. The reconciler and the registry run here, and the cluster is asked as an agent's would be; but in the last test,
where they are the install's own."""

import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import yaml
from nats.errors import Error

from functions.reconcile_backbones import main as reconcile
from functions.registry_crud.main import build as registry_crud
from shared.adapters.helm.backbones import HelmBackbones
from shared.adapters.kubernetes.access import Clusters
from shared.adapters.kubernetes.kubeconfig import Kubeconfig, read_kubeconfig
from shared.adapters.kubernetes.objects import Objects
from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.nats.endpoint import endpoints_of
from shared.domain.principal import Grant
from shared.domain.publishing import Outgoing
from shared.edge.app import Edge
from shared.resources import Resources
from shared.settings import Settings
from tests.charts.rendering import helm
from tests.cluster.conftest import Took
from tests.cluster.install import NAMESPACE, ROOT, Install, run
from tests.events import accepted
from tests.nats_agents import connected, heard
from tests.rest import Api, serving_on
from tests.waiting import eventually, eventually_now

WITHIN = 180.0  # seconds for what a cluster does: images are there, volumes are made, pods roll
ROLE = ROOT / "knative" / "base" / "reconcile-backbones"


def kubectl(*arguments: str, stdin: str = "") -> str:
    done = run("kubectl", *arguments, stdin=stdin)
    assert done.status == 0, done.said
    return done.out


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A namespace with the reconciler's account and its Role in it, and nothing else."""
    name = f"backbones-{secrets.token_hex(3)}"
    kubectl("create", "namespace", name)
    try:
        account = next(yaml.safe_load_all((ROLE / "deployment.yaml").read_text()))
        assert account["kind"] == "ServiceAccount"
        kubectl("apply", "--namespace", name, "--filename", "-", stdin=yaml.safe_dump(account))
        kubectl("apply", "--namespace", name, "--filename", str(ROLE / "role.yaml"))
        yield name
    finally:
        run("kubectl", "delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def access(namespace: str) -> Kubeconfig:
    """The reconciler's own: as its account, by a token, from a Secret in the cluster. An operator would have put it there."""
    shown = json.loads(kubectl("config", "view", "--raw", "--minify", "--output=json"))
    cluster = shown["clusters"][0]["cluster"]
    if path := cluster.pop("certificate-authority", None):
        cluster["certificate-authority-data"] = base64.b64encode(Path(path).read_bytes()).decode()
    token = kubectl("create", "token", "reconcile-backbones", "--namespace", namespace, "--duration=1h").strip()
    text = yaml.safe_dump(Kubeconfig(cluster, {"token": token}).content())
    kubectl("create", "secret", "generic", "acme.eu", "--namespace", namespace, "--from-file=kubeconfig=/dev/stdin", stdin=text)
    objects = Objects(read_kubeconfig(text, loopback=True), namespace)
    try:
        kept = base64.b64decode(objects.secret("acme.eu")["kubeconfig"]).decode()
    finally:
        objects.close()
    return read_kubeconfig(kept, loopback=True)


@pytest.fixture
async def api(database: str, tmp_path: Path, access: Kubeconfig, namespace: str) -> AsyncIterator[Api]:
    """The registry's API, and a reconciler of its own beside it."""

    def provider() -> reconcile.Running:
        clusters = Clusters(lambda wanted: access)
        return cast("reconcile.Running", HelmBackbones(clusters, lambda: namespace, tmp_path / "helm", helm()))

    async with serving_on(database, registry_crud, tmp_path) as served:
        secret = served.resources.settings.secret_file
        resources = Resources(Settings(state_dir=tmp_path / "reconciler", database_url=database, secret_file=secret))
        edge = Edge("reconcile-backbones", partial(reconcile.build, providers=reconcile.Providers(helm=provider)), resources)
        await edge.start()
        try:
            yield served
        finally:
            await edge.stop()


def image() -> dict[str, str]:
    """The server's image of the test cluster."""
    named = yaml.safe_load((ROOT / "infra" / "servers" / "images" / "kustomization.yaml").read_text())["images"]
    found = next(one for one in named if "nats" in one["newName"])
    return {"repository": found["newName"], "tag": str(found["newTag"])}


def spec(**values: Any) -> dict[str, Any]:
    small = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}}
    common = {"image": image(), "resources": small, **values}
    return {"replicas": 1, "jetstream": {"size": "1Gi"}, "expose": {"type": "NodePort"}, "values": common}


def condition(backbone: dict[str, Any], type: str) -> dict[str, Any]:
    return next((one for one in backbone["status"]["conditions"] if one["type"] == type), {})


async def ready(api: Api, key: str, id: str) -> dict[str, Any]:
    """The backbone, once what is declared is what runs, and answers."""

    async def found() -> dict[str, Any]:
        backbone: dict[str, Any] = (await api.ask(key, f"/v1/backbones/{id}")).json()
        assert backbone["status"]["observed_generation"] == backbone["generation"], json.dumps(backbone)
        assert [condition(backbone, type).get("status") for type in ("Ready", "Reachable")] == ["True", "True"], json.dumps(backbone)
        return backbone

    return await eventually(found, within=WITHIN)


async def published(api: Api, backbone: dict[str, Any], id: str, subject: str | None = None) -> int:
    """The sequence that a message has on the backbone, by a door's own way there."""
    doors = NatsBackbones({})
    await doors.start()
    try:
        await eventually(lambda: (found := api.resources.snapshots.current.reach(backbone["id"])) and found.endpoint, within=WITHIN)
        doors.follow(endpoints_of(api.resources.snapshots.current.backbones, None, api.resources.logins.of))
        await eventually(lambda: doors.reachable(backbone["id"]), within=WITHIN)
        group = await doors.publish(backbone["id"], "acme", [Outgoing(accepted(id, org="acme", subject=subject).message, 1)])
        return group.results[0].sequence
    finally:
        await doors.stop()


async def test_backbone_is_deployed_used_rolled_and_taken_away_when_it_is_declared_and_deleted(api: Api, namespace: str) -> None:
    key = await api.key(system=True)
    cluster = {"name": "eu", "provider": "helm", "access": {"kubeconfig_secret": "acme.eu"}}
    assert (await api.ask(key, "/v1/clusters", "POST", json=cluster)).status_code == 202
    declared = await api.ask(key, "/v1/backbones", "POST", json={"cluster": "eu", "name": "main", "spec": spec()})
    assert declared.status_code == 202, declared.text
    id = declared.json()["id"]
    first = await ready(api, key, id)
    assert first["endpoint"].startswith("nats://")
    assert first["status"]["version"].startswith("2.")
    assert await eventually(lambda: published(api, first, "e1"), within=WITHIN) == 1

    repaired = [one for one in (await api.ask(key, f"/v1/backbones/{id}/events")).json()["items"] if one["action"] == "backbone.repaired"]
    assert repaired == []  # what the API server says of its own is no change

    # Somebody edits it behind our back, and deletes a part: both are put back, and recorded.
    kubectl("scale", f"statefulset/{id}", "--replicas=0", "--namespace", namespace)
    await told(api, key, id, "replicas")
    kubectl("patch", f"networkpolicy/{id}", "--namespace", namespace, "--type=merge", "--patch", '{"spec": {"ingress": [{}]}}')
    await told(api, key, id, f"NetworkPolicy {id} had been changed")
    kubectl("delete", f"service/{id}", "--namespace", namespace)
    await told(api, key, id, f"Service {id} had been deleted")
    await ready(api, key, id)

    # Another spec: the release is upgraded, the pod rolls, and what was there is there still.
    now = (await api.ask(key, f"/v1/backbones/{id}")).json()
    before = kubectl("get", f"pod/{id}-0", "--namespace", namespace, "--output=jsonpath={.metadata.uid}")
    wanted = now | {"spec": spec(limits={"maxPayload": "2MB"})}
    assert (await api.ask(key, f"/v1/backbones/{id}", "PUT", json=wanted)).status_code == 202
    rolled = await ready(api, key, id)
    assert kubectl("get", f"pod/{id}-0", "--namespace", namespace, "--output=jsonpath={.metadata.uid}") != before
    assert await eventually(lambda: published(api, rolled, "e2"), within=WITHIN) == 2

    assert (await api.ask(key, f"/v1/backbones/{id}", "DELETE")).status_code == 202

    async def gone() -> bool:
        return (await api.ask(key, f"/v1/backbones/{id}")).status_code == 404

    await eventually(gone, within=WITHIN)
    kinds = "statefulsets,services,pods,persistentvolumeclaims,networkpolicies,poddisruptionbudgets"
    assert kubectl("get", kinds, "--namespace", namespace, "--output=name") == ""
    left = kubectl("get", "configmaps", "--namespace", namespace, "--output=name").split()
    assert left in ([], ["configmap/kube-root-ca.crt"])


async def test_agents_sign_in_to_a_hub_and_its_leaf_with_credentials_of_theirs_until_these_are_revoked(api: Api, namespace: str) -> None:
    key = await api.key(system=True)
    cluster = {"name": "joined", "provider": "helm", "access": {"kubeconfig_secret": "acme.eu"}}
    assert (await api.ask(key, "/v1/clusters", "POST", json=cluster)).status_code == 202
    ids: dict[str, str] = {}
    for scope in ("global", "local"):
        body = {"cluster": "joined", "name": scope, "scope": scope, "spec": spec()}
        ids[scope] = (await api.ask(key, "/v1/backbones", "POST", json=body)).json()["id"]
    hub, leaf = [await ready(api, key, ids[scope]) for scope in ("global", "local")]
    assert await eventually(lambda: published(api, hub, "for-all", "agent-7"), within=WITHIN) == 1

    await api.key("agent-7", "acme", Grant("read", (">",), ("agent-7",)))
    given = {id: (await api.ask(key, f"/v1/backbones/{id}/credentials", "POST", json={"principal": "agent-7"})) for id in ids.values()}
    assert [answer.status_code for answer in given.values()] == [201, 201], [answer.text for answer in given.values()]
    made = {id: answer.json() for id, answer in given.items()}
    async with connected(made[hub["id"]]) as at_hub, connected(made[leaf["id"]]) as at_leaf:
        assert await heard(at_hub, "agent-7", "sb.acme.agent-7.>", "sb-acme") == ["sb.acme.agent-7.orders.created"]
        assert await heard(at_leaf, "agent-7", "sbg.acme.agent-7.>", "sbg-acme") == ["sbg.acme.agent-7.orders.created"]
        assert await at_leaf.asks("$JS.API.STREAM.PURGE.sb-acme") is None
        assert await at_leaf.hears_nothing_of("sb.acme.>")
        path = f"/v1/backbones/{leaf['id']}/credentials/{made[leaf['id']]['id']}"
        assert (await api.ask(key, path, "DELETE")).status_code == 204
        began = time.monotonic()
        await eventually(lambda: at_leaf.connection.is_closed, within=WITHIN)
        print(f"disconnected {1000 * (time.monotonic() - began):.0f} ms after the revocation")
        assert at_hub.connection.is_connected
    with pytest.raises(Error, match=r"(?i)authorization"):
        async with connected(made[leaf["id"]]):
            pass

    name = f"{leaf['id']}-hubs"
    kubectl("patch", f"secret/{name}", "--namespace", namespace, "--type=merge", "--patch", json.dumps({"data": {hub["id"]: "eA=="}}))
    await told(api, key, leaf["id"], f"Secret {name} had been changed")
    for id in ids.values():
        assert (await api.ask(key, f"/v1/backbones/{id}", "DELETE")).status_code == 202
    for id in ids.values():

        async def gone(id: str = id) -> bool:
            return (await api.ask(key, f"/v1/backbones/{id}")).status_code == 404

        await eventually(gone, within=WITHIN)
    kinds = "statefulsets,pods,persistentvolumeclaims,secrets"
    left = kubectl("get", kinds, "--namespace", namespace, "--output=name").split()
    assert [one for one in left if any(id in one for id in ids.values())] == []


async def told(api: Api, key: str, id: str, text: str) -> None:
    """Return when it is told that this had been changed, and was put back."""

    async def found() -> None:
        drifted = condition((await api.ask(key, f"/v1/backbones/{id}")).json(), "Drifted")
        assert text in drifted["message"], drifted
        assert drifted["status"] == "False", drifted

    async def is_told() -> bool:
        await found()
        return True

    await eventually(is_told, within=WITHIN)


async def test_helms_own_reason_is_told_when_an_install_fails(api: Api, namespace: str) -> None:
    key = await api.key(system=True)
    cluster = {"name": "us", "provider": "helm", "access": {"kubeconfig_secret": "acme.eu"}}
    assert (await api.ask(key, "/v1/clusters", "POST", json=cluster)).status_code == 202
    bad = spec(resources={"limits": {"memory": "lots"}})
    id = (await api.ask(key, "/v1/backbones", "POST", json={"cluster": "us", "name": "bad", "spec": bad})).json()["id"]

    async def failed() -> str:
        found = condition((await api.ask(key, f"/v1/backbones/{id}")).json(), "Ready")
        assert found["reason"] == "HelmFailed", found
        return str(found["message"])

    message = await eventually(failed, within=WITHIN)
    assert "lots" in message or "quantities" in message
    assert "token" not in message.lower()
    await api.ask(key, f"/v1/backbones/{id}", "DELETE")

    async def gone() -> bool:
        return (await api.ask(key, f"/v1/backbones/{id}")).status_code == 404

    await eventually(gone, within=WITHIN)


def test_pod_gets_at_clusters_by_a_secret_and_by_its_own_account_when_it_runs_in_one(inline: Install, org: str, took: Took) -> None:
    began = time.monotonic()
    token = kubectl("create", "token", "reconcile-backbones", "--namespace", NAMESPACE, "--duration=1h").strip()
    ca = kubectl("get", "configmap/kube-root-ca.crt", "--namespace", NAMESPACE, "--output=jsonpath={.data.ca\\.crt}")
    where = {"server": "https://kubernetes.default.svc", "certificate-authority-data": base64.b64encode(ca.encode()).decode()}
    text = yaml.safe_dump(Kubeconfig(where, {"token": token}).content())
    kubectl("create", "secret", "generic", f"{org}.eu", "--namespace", NAMESPACE, "--from-file=kubeconfig=/dev/stdin", stdin=text)
    ways = {
        f"{org}-own": ({"in_cluster": True}, {"type": "ClusterIP"}),
        f"{org}-secret": ({"kubeconfig_secret": f"{org}.eu"}, {"type": "LoadBalancer"}),
    }
    ids: dict[str, str] = {}
    with inline.client(inline.key) as client:
        for name, (access, expose) in ways.items():
            client.post("/v1/clusters", json={"name": name, "provider": "helm", "access": access}).raise_for_status()
            body = {"cluster": name, "name": "main", "spec": spec() | {"expose": expose}}
            ids[name] = client.post("/v1/backbones", json=body).raise_for_status().json()["id"]
        own, balanced = ids.values()
        eventually_now(partial(with_an_address, client, balanced), within=WITHIN)
        found = {id: eventually_now(partial(settled, client, id), within=WITHIN) for id in ids.values()}
        assert found[own]["endpoint"] == f"nats://{own}.{NAMESPACE}.svc:4222"
        address = kubectl("get", f"service/{balanced}", "--namespace", NAMESPACE, "--output=jsonpath={.status.loadBalancer.ingress[0].ip}")
        assert found[balanced]["endpoint"] == f"nats://{address}:4222"
        took("two backbones by the pod itself", f"{time.monotonic() - began:.1f} s")

        document = {"routes": [{"to": [f"cluster:{name}" for name in ways]}]}
        client.put(f"/v1/config/topics/{org}.>", json=document).raise_for_status()
        taken = eventually_now(partial(delivered, client, org), within=WITHIN)
        assert taken == set(ids.values())

        client.delete(f"/v1/config/topics/{org}.>").raise_for_status()
        for id in ids.values():
            assert client.delete(f"/v1/backbones/{id}").status_code == 202
        for name, id in ids.items():
            eventually_now(partial(is_gone, client, id), within=WITHIN)
            kinds = "statefulsets,services,pods,persistentvolumeclaims,networkpolicies,configmaps"
            assert kubectl("get", kinds, "--namespace", NAMESPACE, f"--selector=app.kubernetes.io/instance={id}", "--output=name") == ""
            assert client.delete(f"/v1/clusters/{name}").status_code == 204
    kubectl("delete", "secret", f"{org}.eu", "--namespace", NAMESPACE)


def with_an_address(client: httpx.Client, id: str) -> bool:
    """Whether its load balancer has an address: where no controller of the cluster gives it one, we do, once it was said to have none."""
    backbone = client.get(f"/v1/backbones/{id}").json()
    if backbone["endpoint"] is not None:
        return True
    if condition(backbone, "Ready").get("message") == "its load balancer has no address yet":
        status = {"status": {"loadBalancer": {"ingress": [{"ip": cluster_ip(id)}]}}}
        patch = ("--subresource=status", "--type=merge", "--patch", json.dumps(status))
        kubectl("patch", f"service/{id}", "--namespace", NAMESPACE, *patch)
    return False


def is_gone(client: httpx.Client, id: str) -> bool:
    return client.get(f"/v1/backbones/{id}").status_code == 404


def cluster_ip(id: str) -> str:
    return kubectl("get", f"service/{id}", "--namespace", NAMESPACE, "--output=jsonpath={.spec.clusterIP}")


def settled(client: httpx.Client, id: str) -> dict[str, Any]:
    """The backbone, once it runs and answers."""
    backbone: dict[str, Any] = client.get(f"/v1/backbones/{id}").json()
    answers = [condition(backbone, type).get("status") for type in ("Ready", "Reachable")] == ["True", "True"]
    assert answers, json.dumps(backbone)
    return backbone


def delivered(client: httpx.Client, org: str) -> set[str]:
    """The backbones that took a message of that topic at once, where all of them did."""
    event = {"specversion": "1.0", "id": secrets.token_hex(8), "source": "/pod", "type": f"{org}.made", "topic": f"{org}.made", "data": 1}
    answer = client.post("/v1/events", json=event, headers={"content-type": "application/cloudevents+json"})
    assert answer.status_code == 202, answer.text
    deliveries = answer.json()["deliveries"]
    assert all(one.get("sequence") for one in deliveries), deliveries
    return {one["backbone"] for one in deliveries}
