"""Which cluster `switchboard deploy` works on: the one it was told, or the one that was current when it began; and what it says goes."""

import pytest
import typer
from typer.testing import CliRunner, Result

from infra.cli.deploy import register
from infra.cluster import manifests, tools
from infra.cluster.tools import Cluster
from shared.domain.errors import Misconfigured
from tests.unit.cluster_objects import OURS, thing


class Kubectl:
    """What kubectl would say in a cluster with a namespace and a ConfigMap of ours. The current context is another with each look."""

    def __init__(self, labels: dict[str, str]) -> None:
        self.calls: list[list[str]] = []
        self.looks = 0
        self.namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sb", "labels": labels}}

    def __call__(self, command: list[str], stdin: str | None = None) -> str:
        if command[1:] == ["config", "current-context"]:
            self.looks += 1
            return f"look-{self.looks}\n"
        self.calls.append(command)
        if "api-resources" in command:
            return "configmaps\n"
        if "namespace/sb" in command and "get" in command:
            return tools.as_list([self.namespace])
        return tools.as_list([thing("ConfigMap", "ours")]) if "get" in command else ""


def undeploying(*options: str, input: str = "") -> Result:
    """`switchboard deploy --cluster test --undeploy`."""
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return CliRunner().invoke(app, ["deploy", "--cluster", "test", "--undeploy", *options], input=input)


@pytest.fixture
def kubectl(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Kubectl:
    one = Kubectl(getattr(request, "param", OURS))
    monkeypatch.setattr(tools, "run", one)
    monkeypatch.setattr(manifests, "render", lambda name: [thing("ConfigMap", "ours")])
    return one


def test_every_call_names_the_context_that_was_current_at_first_when_none_is_given(kubectl: Kubectl) -> None:
    done = undeploying("--yes")
    assert done.exit_code == 0, done.output
    assert kubectl.calls
    assert {tuple(call[1:3]) for call in kubectl.calls} == {("--context", "look-1")}


def test_context_is_the_one_that_is_given_whichever_is_current(kubectl: Kubectl) -> None:
    assert (Cluster.named("chosen", "sb").context, kubectl.looks) == ("chosen", 0)


def test_kubectl_has_its_own_way_when_no_context_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(command: list[str], stdin: str | None = None) -> str:
        raise Misconfigured("kubectl: error: current-context is not set")

    monkeypatch.setattr(tools, "run", refuse)
    assert Cluster.named(None, "sb").context is None


@pytest.mark.parametrize(("kubectl", "said"), [(OURS, True), ({}, False)], indirect=["kubectl"])
def test_whoever_is_asked_is_told_that_the_namespace_goes_when_it_does(kubectl: Kubectl, said: bool) -> None:
    done = undeploying(input="n\n")
    assert ("the namespace sb goes too" in done.output) is said
    assert not any("delete" in call for call in kubectl.calls)
