"""`switchboard deploy`: once, again, dry, with a change under load, and with one that can't work."""

from pathlib import Path

from tests.cluster.clients import Clients
from tests.cluster.conftest import Took
from tests.cluster.install import INLINE, LOOK, Install, run, variant, with_setting
from tests.cluster.loading import account, load
from tests.waiting import eventually_now

IN_ORDER = ("check-constraints", "config-crud", "ingest", "log-batch", "query", "registry-crud", "route")  # the order deploy goes in
PATIENCE = 20  # seconds for what can't become ready: Knative itself gives up after 120


def test_nothing_changes_when_it_is_deployed_again(inline: Install, took: Took) -> None:
    before, revisions = inline.generations(), inline.revisions()
    again = inline.deploy(INLINE)
    took("deploy again", f"{again.seconds:.1f} s")
    assert "nothing to change" in again.said
    assert (inline.generations(), inline.revisions()) == (before, revisions)
    assert sorted(revisions) == sorted(IN_ORDER)


def test_dry_run_says_what_would_change_and_changes_nothing(inline: Install, folder: Path) -> None:
    before, revisions = inline.generations(), inline.revisions()
    changed = variant(folder, {"SWITCHBOARD_WEBHOOK_ORIGINS": "https://dry.example"})
    done = inline.deploy(changed, "--dry-run")
    assert "switchboard-settings" in done.out
    assert "ingest" in done.out
    assert (inline.generations(), inline.revisions()) == (before, revisions)


def test_admin_key_and_urls_are_what_deploy_prints(inline: Install) -> None:
    printed = inline.printed
    command = next(line for line in printed.splitlines() if "get secret" in line)
    key = run("bash", "-c", command[command.index("kubectl") :]).out
    assert key == inline.key
    assert f"gateway.{inline.cluster.namespace}.svc.cluster.local" in printed


async def test_no_request_fails_when_a_new_revision_rolls_out_under_load(
    inline: Install, clients: Clients, org: str, folder: Path, took: Took
) -> None:
    key, before = inline.new_key("load", org, "action=publish"), inline.revisions()
    gateways = {pod["metadata"]["name"] for pod in inline.pods("gateway")}
    changed = variant(folder, {"SWITCHBOARD_WEBHOOK_ORIGINS": "https://rolled.example"}, trusted_proxies=1)
    with load(clients, key, "rolling") as running:
        running.reaches(50)
        done = inline.deploy(changed, wiring=INLINE)
        # What served before does so for 30 s more: its end is part of it.
        eventually_now(lambda: not inline.ending_pods(), within=120, step=LOOK)
        running.reaches(running.acked + 50)
    after = inline.revisions()
    assert all(before[name] != after[name] for name in IN_ORDER)
    assert gateways.isdisjoint(pod["metadata"]["name"] for pod in inline.pods("gateway"))
    assert running.outcome["tries"] == {}
    await account(inline, org, running.outcome)
    seconds = running.outcome["seconds"]
    took("rolling update of everything", f"{done.seconds:.1f} s")
    took(
        "POST through the gateway meanwhile",
        f"median {seconds['median'] * 1000:.0f} ms, p99 {seconds['p99'] * 1000:.0f} ms, max {seconds['max'] * 1000:.0f} ms",
    )


def test_deploy_stops_and_the_old_revision_goes_on_serving_when_the_new_one_can_t_start(
    inline: Install, org: str, folder: Path, took: Took
) -> None:
    key, before = inline.new_key("sender", org, "action=publish"), inline.revisions()
    broken = variant(folder, patches=[with_setting(name, "SWITCHBOARD_LOG_SHARDS", "none") for name in ("ingest", "query")])
    done = inline.try_deploy(broken, "--timeout", str(PATIENCE))
    took("deploy of a revision that can't start: refused", f"{done.seconds:.1f} s")
    assert done.status != 0
    assert "ingest" in done.said
    assert f"{before['ingest']} goes on serving" in done.said.replace("\n", " ")
    now = inline.revisions()
    assert {name: now[name] for name in now} == before
    created = {one["metadata"]["name"]: one["status"]["latestCreatedRevisionName"] for one in inline.cluster.get("ksvc")}
    assert created["ingest"] != before["ingest"], "the broken one was never tried"
    assert created["query"] == before["query"], "what comes after the one that failed was touched"
    event = {"specversion": "1.0", "id": "1", "source": "/still", "type": "still.there", "data": 1}
    with inline.client(key) as client:
        answer = client.post("/v1/events", json=event, headers={"content-type": "application/cloudevents+json"})
    assert answer.status_code == 202, answer.text
    inline.deploy(INLINE)
    assert inline.revisions()["query"] == before["query"]
