"""Pods that end in the middle of traffic: nothing that was acknowledged is lost, doubled, or published unlogged."""

from collections.abc import Sequence

import pytest

from infra.cluster.tools import Cluster
from tests.cluster.clients import Clients
from tests.cluster.conftest import Took
from tests.cluster.install import BROKERED, INLINE, REMOTE, Install
from tests.cluster.loading import account, load

EVENTING, DISPATCHER = Cluster(None, "knative-eventing"), "messaging.knative.dev/role=dispatcher"
CHANNEL = "imc-dispatcher"  # the Broker's: the events that it has in hand are gone with it
WARM = 100  # acked before the first is killed
BETWEEN = 120  # acked between two: each has its effect, and the next finds the install at work


@pytest.mark.parametrize(
    ("wiring", "killed"),
    [
        (INLINE, ("ingest", "logger", "nats", "gateway", "valkey", "postgres", "ingest")),
        (BROKERED, ("check-constraints", "route", CHANNEL, "ingest", "valkey", "logger")),
        (REMOTE, ("route", "check-constraints", "log-batch", "ingest", "logger", "nats")),
    ],
    ids=["inline", "brokered", "remote"],
)
async def test_every_acked_message_has_one_row_and_a_delivery_when_pods_are_killed_under_load(
    install: Install, clients: Clients, org: str, took: Took, wiring: str, killed: Sequence[str]
) -> None:
    install.has(wiring)
    key = install.new_key("load", org, "action=publish")
    with load(clients, key, "killed", retry=True) as running:
        running.reaches(WARM)
        for name in killed:
            if name == CHANNEL:
                kill_channel()
            else:
                install.kill(name)
            running.reaches(running.acked + BETWEEN)
    outcome = running.outcome
    await account(install, org, outcome)
    took(f"{len(killed)} kills under load, {wiring}", f"{outcome['sent']} acked, longest {outcome['seconds']['max']:.1f} s")
    took(f"answers to retry meanwhile, {wiring}", str(sum(outcome["tries"].values())))


def kill_channel() -> None:
    """End the pod of the in-memory channel as a crash would; another one is there soon."""
    EVENTING.kubectl("delete", "pod", f"--selector={DISPATCHER}", "--grace-period=1", "--wait=false")
