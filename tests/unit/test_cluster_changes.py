"""What a deployment finds to do: rendered objects beside those of the cluster."""

import copy
import json
from typing import Any

import pytest

from infra.cluster import changes, secrets, steps, tools, waiting
from infra.cluster.changes import RUN, TOLD, Change, change, compare, job_change, mark, no_longer_rendered, with_what_they_replace
from infra.cluster.manifests import MANAGED_BY
from infra.cluster.plan import Plan
from infra.cluster.secrets import Found
from infra.cluster.tools import Cluster, Manifest
from tests.unit.cluster_objects import function, job, live, thing


def with_label(one: Manifest, name: str, value: str) -> Manifest:
    changed = copy.deepcopy(one)
    changed["metadata"]["labels"][name] = value
    return changed


def test_an_object_is_new_when_the_cluster_does_not_have_it() -> None:
    assert change(function(), None, function()).action == "create"


def test_an_object_is_unchanged_when_only_the_api_server_wrote_into_it() -> None:
    assert change(function(), live(function()), live(function(), resourceVersion="8", generation=4)).action == "unchanged"


def test_a_new_version_label_is_no_change_of_content_when_it_is_the_only_one() -> None:
    labelled = with_label(function(), "app.kubernetes.io/version", "2")
    assert change(labelled, live(with_label(function(), "app.kubernetes.io/version", "1")), live(labelled)).action == "label"


def test_the_diff_names_both_values_when_an_object_changes() -> None:
    found = change(function(image="core:2"), live(function()), live(function(image="core:2")))
    assert found.action == "change"
    assert [line.strip() for line in found.diff if line[:1] in "+-"][2:] == ["-      - image: core:1", "+      - image: core:2"]


def test_no_value_is_shown_when_a_secret_changes() -> None:
    before, after = (thing("Secret", "s", data={"k": value}, type=kind) for value, kind in (("b2xk", "Opaque"), ("bmV3", "Other")))
    shown = "\n".join(change(after, live(before), live(after)).diff)
    assert "Other" in shown
    assert "b2xk" not in shown
    assert "bmV3" not in shown


def test_what_kn_applied_last_is_no_difference_when_nothing_else_differs() -> None:
    noted = live(function(), annotations={changes.LAST_APPLIED: "{}"})
    assert change(function(), noted, live(function())).action == "unchanged"


@pytest.mark.parametrize(
    ("wanted", "versions", "action"),
    [
        (job(), {"switchboard-admin-key": "1"}, "unchanged"),
        (job(image="core:2"), {"switchboard-admin-key": "1"}, "run again"),
        (job(), {"switchboard-admin-key": "2"}, "run again"),
    ],
)
def test_a_job_runs_again_when_it_or_a_secret_it_reads_is_another(wanted: Manifest, versions: dict[str, str], action: str) -> None:
    (ran,) = mark([job()], {"switchboard-admin-key": "1"})
    (now,) = mark([wanted], versions)
    assert job_change(now, live(ran, annotations=ran["metadata"]["annotations"])).action == action


def test_a_job_runs_again_when_it_failed() -> None:
    (ran,) = mark([job()], {})
    failed = live(ran, annotations={RUN: ran["metadata"]["annotations"][RUN]}) | {
        "status": {"conditions": [{"type": "Failed", "status": "True"}]}
    }
    assert job_change(ran, failed).action == "run again"


def settings(hashed: str, since: str, **data: str) -> Manifest:
    one = thing("ConfigMap", f"switchboard-settings-{hashed}", data=data)
    return {**one, "metadata": {**one["metadata"], "creationTimestamp": since}}


def test_the_diff_of_a_new_config_map_is_to_the_newest_of_its_name_when_there_are_older_ones() -> None:
    wanted = Change(settings("k2b8h57c8m", "", A="3", B="1"), "create")
    older = [settings("t4c2mtkt8f", "2026-02-02T00:00:00Z", A="2", B="1"), settings("bd64cf76g2", "2026-01-01T00:00:00Z", A="1", B="1")]
    other = thing("ConfigMap", "switchboard-settings-of-mine", data={"A": "0"})
    (found,) = with_what_they_replace([wanted], [*older, other])
    assert (found.object, found.action) == (wanted.object, "create")
    assert [line for line in found.diff if line[:1] in "+-"][2:] == ["-A: 2", "+A: 3"]
    assert with_what_they_replace([wanted], [other]) == [wanted]


def test_the_diff_of_a_file_is_by_its_lines_and_cut_where_they_are_endless_when_a_config_map_has_files() -> None:
    before = settings("t4c2mtkt8f", "", **{"envoy.json": "{\n 1\n}\n", "openapi.json": "a" * 100_000})
    wanted = settings("k2b8h57c8m", "", **{"envoy.json": "{\n 2\n}\n", "openapi.json": "a" * 100_000 + "b"})
    (found,) = with_what_they_replace([Change(wanted, "create")], [before])
    changed = [line for line in found.diff if line[:1] in "+-"][2:]
    assert {"-envoy.json:  1", "+envoy.json:  2"} < set(changed)
    assert max(map(len, changed)) < 300
    assert changed[3].endswith("(100015 characters)")


def told(one: Manifest) -> Manifest:
    """The object, with a Secret in its pods' environment and another in a volume."""
    env = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "servers", "key": "a"}}}]
    pod = {"containers": [{"image": "core:1", "env": env}], "volumes": [{"name": "v", "secret": {"secretName": "keys"}}]}
    return {**one, "spec": {"template": {"spec": pod}}}


@pytest.mark.parametrize("one", [told(function()), told(thing("Deployment", "logger", "apps/v1"))], ids=["Service", "Deployment"])
@pytest.mark.parametrize(("versions", "rolled"), [({"servers": "2", "keys": "1"}, True), ({"servers": "1", "keys": "2"}, False)])
def test_pods_are_new_when_a_secret_in_their_environment_is_another(one: Manifest, versions: dict[str, str], rolled: bool) -> None:
    before, after = (mark([one], each)[0] for each in ({"servers": "1", "keys": "1"}, versions))
    assert (change(after, live(before), live(after)).action == "change") is rolled
    assert TOLD in after["spec"]["template"]["metadata"]["annotations"]
    assert "annotations" not in after["metadata"]


def test_pods_stay_when_they_have_no_secret_in_their_environment() -> None:
    assert mark([function(), thing("ConfigMap", "c")], {"servers": "1"}) == [function(), thing("ConfigMap", "c")]


def test_what_was_planned_before_its_secrets_were_made_is_applied_with_them_when_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[Manifest] = []
    one = told(thing("Deployment", "logger", "apps/v1"))
    version = {"servers": Found("7", {"a": b"x"}), "keys": Found("8", {})}
    monkeypatch.setattr(secrets, "read", lambda cluster, names: {name: version[name] for name in names if name in version and made})
    made: list[str] = []
    monkeypatch.setattr(secrets, "make", lambda cluster, needed, found: made.extend(needed))
    monkeypatch.setattr(waiting, "rolled_out", lambda *arguments: None)

    def run(command: list[str], stdin: str | None = None) -> str:
        applied.extend(json.loads(stdin or "")["items"])
        return ""

    monkeypatch.setattr(tools, "run", run)
    planned = Change(mark([one], {})[0], "create")
    steps.carry_out(Plan(Cluster("here", "sb"), [planned], ["keys", "servers"], [], []), lambda line: None, 1)
    assert applied == mark([one], {"servers": "7", "keys": "8"})


def test_knative_is_not_asked_about_a_service_when_its_account_is_still_to_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    new, moved, kept = function("new"), function("moved"), function("kept")
    moved["spec"]["template"]["spec"]["serviceAccountName"] = "moved"
    asked: list[str] = []

    def answer(command: list[str], stdin: str | None = None) -> str:
        if "get" in command:
            return tools.as_list([live(function("moved")), live(kept)])
        asked.extend(one["metadata"]["name"] for one in tools.listed(stdin or ""))
        return stdin or ""

    monkeypatch.setattr(tools, "run", answer)
    account = thing("ServiceAccount", "moved")
    found = {
        one.key.name: one.action for one in compare(Cluster(None, "sb"), [account, new, moved, kept], exists=True) if one.object != account
    }
    assert sorted(asked) == ["kept", "moved"]  # the Service, and the account itself
    assert found == {"new": "create", "moved": "change", "kept": "unchanged"}


def test_only_what_is_ours_alone_is_no_longer_rendered_when_the_namespace_holds_more(monkeypatch: pytest.MonkeyPatch) -> None:
    owned = thing("Revision", "ingest-00001", "serving.knative.dev/v1")
    owned["metadata"]["ownerReferences"] = [{"kind": "Configuration"}]
    there = [
        thing("ConfigMap", "old"),
        thing("ConfigMap", "kept"),
        thing("PersistentVolumeClaim", "data-valkey-0"),
        thing("Secret", "switchboard-servers"),
        thing("Endpoints", "valkey"),
        thing("Ingress", "an-operators", "networking.k8s.io/v1", labels={MANAGED_BY: "argocd"}),
        owned,
    ]
    answers: list[Any] = ["configmaps\nsecrets\n", tools.as_list(there)]
    monkeypatch.setattr(tools, "run", lambda command, stdin=None: answers.pop(0))
    found = no_longer_rendered(Cluster(None, "sb"), [thing("ConfigMap", "kept")], keep=["switchboard-servers"])
    assert [one["metadata"]["name"] for one in found] == ["old"]
