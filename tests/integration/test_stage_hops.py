"""The stages as processes, spoken to from outside: proofs, refusals, what a broker makes of every answer, the stock runner, a good end."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest

from shared.domain.message import Message
from shared.domain.principal import Grant
from shared.domain.record import pack_flush, pack_records
from shared.edge.hops import MESSAGE_ID
from shared.stages import events as wire
from shared.stages.rows import EVENT_TYPE, PROOF, SHARD, pack_batch, proof_of, source_of
from tests.broker import seen_by_broker
from tests.events import accepted, message
from tests.integration.fronts import environment, new_key
from tests.integration.services import Service, serving
from tests.servers import Databases, RedisDatabases
from tests.waiting import eventually_now

LOGGER = source_of("local")
SECRET, FOREIGN = b"s" * 48, b"f" * 48  # tests.integration.fronts.environment writes the first
ORG = "hops"
HOP = {"prefer": "reply"}


@dataclass
class Stages:
    """Every function that takes events, each a process of its own.

    `key` may publish below `orders.`, `admin` do anything; `revision` is the config's, which no test changes.
    """

    check: Service
    route: Service
    log_batch: Service
    door: Service
    key: str
    admin: str
    revision: int
    settings: dict[str, str]


@pytest.fixture(scope="module")
def stages(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, nats_url: str, databases: Databases, migrated_template: str
) -> Iterator[Stages]:
    directory = tmp_path_factory.mktemp("stages")
    with databases.temporary(migrated_template) as database:
        settings = environment(directory, redis_databases.fresh(), nats_url, database)
        key = asyncio.run(new_key(database, ORG, "shop", (Grant("publish", ("orders.>",)),)))
        check, route = Service("check_constraints", settings, directory), Service("route", settings, directory)
        log_batch, door = Service("log_batch", settings, directory), Service("ingest", settings, directory)
        admin = asyncio.run(new_key(database, ORG, "admin"))
        with psycopg.connect(database) as connection:
            (revision,) = connection.execute("SELECT revision FROM config_state").fetchone() or (0,)
        with serving(check, route, log_batch, door):
            yield Stages(check, route, log_batch, door, key, admin, int(revision), settings)


def about(stages: Stages, event_id: str, **changes: Any) -> Message:
    return message(event_id, org=ORG, principal="shop", revision=changes.pop("revision", stages.revision), **changes)


def event(type: str, one: Message, key: bytes = SECRET, targets: tuple[str, ...] = ("local",), **changes: Any) -> wire.Event:
    said = wire.Said(one.id, one.org, one.principal, one.revision, targets, wire.by_name(one), until=wire.now() + 60_000_000)
    return wire.signed(key, type, "/clusters/local/test", msgspec.structs.replace(said, **changes), one)


def post(service: Service, *events: wire.Event, headers: dict[str, str] | None = None, batch: bool = False) -> httpx.Response:
    content_type, content = wire.joined([wire.encode(one) for one in events])
    if batch and len(events) == 1:
        content_type, content = wire.BATCH, b"[" + content + b"]"
    return httpx.post(service.url, content=content, headers={"content-type": content_type, **(headers or {})}, timeout=20)


def answers(response: httpx.Response) -> list[wire.Event]:
    assert response.status_code == 200, response.text
    return wire.decode_answer(response.headers["content-type"], response.content)


def test_verdicts_come_in_order_under_proofs_when_a_batch_is_checked(stages: Stages) -> None:
    asked = [about(stages, "e1"), about(stages, "e2", topic="pay.now"), about(stages, "e3", body=b"x" * 1_048_577), about(stages, "e4")]
    found = answers(post(stages.check, *(event(wire.RECEIVED, one, targets=()) for one in asked)))
    assert [one.type for one in found] == [wire.ACCEPTED, wire.REJECTED, wire.REJECTED, wire.ACCEPTED]
    assert [one.data.refusal.rule for one in found if one.data.refusal] == ["grant", "max_bytes"]
    for answer, one in zip(found, asked, strict=True):
        wire.check((SECRET,), answer, one)
        assert answer.source == "/clusters/local/check-constraints"
        assert (answer.data.message and wire.plain(answer.data.message)) == one


def test_message_is_judged_when_its_principal_is_a_doors(stages: Stages) -> None:
    doors = [msgspec.structs.replace(about(stages, name), principal=name) for name in (f"redis:{ORG}", f"nats:{ORG}", "redis:globex")]
    found = answers(post(stages.check, *(event(wire.RECEIVED, one, targets=()) for one in doors)))
    assert [one.type for one in found] == [wire.ACCEPTED, wire.ACCEPTED, wire.REJECTED]


def test_message_is_not_sent_back_when_the_caller_prefers_the_minimum(stages: Stages) -> None:
    one = about(stages, "e1")
    (found,) = answers(post(stages.check, event(wire.RECEIVED, one, targets=()), headers={"prefer": "return=minimal"}))
    assert found.data.message is None
    wire.check((SECRET,), found, one)


def test_message_is_refused_when_its_principal_is_not_in_the_stamped_revision(stages: Stages) -> None:
    stranger = msgspec.structs.replace(about(stages, "e1"), principal="nobody")
    (found,) = answers(post(stages.check, event(wire.RECEIVED, stranger, targets=())))
    assert (found.type, found.data.refusal and found.data.refusal.rule) == (wire.REJECTED, "grant")


def test_stamped_revision_is_asked_for_when_it_came_and_went_unseen(stages: Stages) -> None:
    (found,) = answers(post(stages.check, event(wire.RECEIVED, about(stages, "old", revision=stages.revision - 1), targets=())))
    assert found.data.config_revision == stages.revision - 1


@pytest.mark.parametrize("revision", [10**6, 0])
def test_answer_is_503_when_the_stamped_revision_is_not_to_be_had(stages: Stages, revision: int) -> None:
    one = about(stages, "e1", revision=revision)
    response = post(stages.check, event(wire.RECEIVED, one, targets=()), headers=HOP)
    assert response.status_code == 503
    assert "retry-after" in response.headers
    assert seen_by_broker(response)[0] == "retried"


def test_deliveries_come_when_accepted_messages_are_routed(stages: Stages) -> None:
    asked = [about(stages, f"r{number}") for number in range(3)]
    found = answers(post(stages.route, *(event(wire.ACCEPTED, one) for one in asked)))
    assert [one.type for one in found] == [wire.DELIVERED] * 3
    sequences = [one.data.deliveries[0].sequence for one in found]
    assert sequences == list(range(sequences[0], sequences[0] + 3))
    (again,) = answers(post(stages.route, event(wire.ACCEPTED, asked[1])))
    assert (again.data.deliveries[0].sequence, again.data.deliveries[0].duplicate) == (sequences[1], True)


def test_nothing_is_published_when_it_comes_too_late_or_has_no_target(stages: Stages) -> None:
    late, lost = about(stages, "late"), about(stages, "lost")
    found = answers(post(stages.route, event(wire.ACCEPTED, late, until=1), event(wire.ACCEPTED, lost, targets=())))
    assert [one.type for one in found] == [wire.UNDELIVERABLE] * 2
    assert [made.lost for one in found for made in one.data.deliveries] == ["it came too late to be published"]
    (now,) = answers(post(stages.route, event(wire.ACCEPTED, late)))
    assert not now.data.deliveries[0].duplicate


def unproven(type: str, one: Message) -> Iterator[wire.Event]:
    good = event(type, one)
    yield msgspec.structs.replace(good, sbproof="")
    yield msgspec.structs.replace(good, sbproof="0" * 64)
    yield event(type, one, key=FOREIGN)
    yield msgspec.structs.replace(good, data=msgspec.structs.replace(good.data, targets=("local", "other")))
    yield msgspec.structs.replace(good, data=msgspec.structs.replace(good.data, principal="admin"))
    yield msgspec.structs.replace(good, data=msgspec.structs.replace(good.data, config_revision=good.data.config_revision + 1))
    other = wire.by_name(msgspec.structs.replace(one, body=b'{"sku":"forged"}'))
    yield msgspec.structs.replace(good, data=msgspec.structs.replace(good.data, message=other))
    yield msgspec.structs.replace(good, sbproof=event(wire.RECEIVED if type == wire.ACCEPTED else wire.ACCEPTED, one).sbproof)


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("stage", ["check", "route"])
def test_event_is_401_and_has_no_effect_when_its_proof_is_missing_forged_or_of_something_else(
    stages: Stages, stage: str, batch: bool
) -> None:
    service, type = (stages.check, wire.RECEIVED) if stage == "check" else (stages.route, wire.ACCEPTED)
    one = about(stages, f"unproven-{batch}")
    for bad in unproven(type, one):
        response = post(service, *([event(type, one), bad] if batch else [bad]), headers={} if batch else HOP)
        assert response.status_code == 401
        assert response.headers["content-type"] == "application/problem+json"
    if stage == "route":
        (first,) = answers(post(service, event(type, one)))
        assert not first.data.deliveries[0].duplicate, "one of them was published"


def test_log_batch_is_401_when_its_proof_is_wrong_and_204_when_it_is_right(stages: Stages) -> None:
    body = pack_batch([(1, pack_flush(1_800_000_000_000_000, b"n", pack_records([accepted("b1", org=ORG)])))])
    head = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": LOGGER, "ce-type": EVENT_TYPE, SHARD: "0", **HOP}
    for proof in ("", proof_of(FOREIGN, LOGGER, 0, body), proof_of(SECRET, LOGGER, 1, body), proof_of(SECRET, LOGGER, 0, body + b"x")):
        assert httpx.post(stages.log_batch.url, content=body, headers={**head, PROOF: proof}).status_code == 401
    done = httpx.post(stages.log_batch.url, content=body, headers={**head, PROOF: proof_of(SECRET, LOGGER, 0, body)}, timeout=20)
    assert (done.status_code, seen_by_broker(done)) == (204, ("done", None))


def hops(stages: Stages) -> Iterator[tuple[str, httpx.Response, str, str | None]]:
    """Requests as a broker sends them: what is asked, the answer, what a broker must make of it, and the type of the event in it."""
    bearer = {"authorization": f"Bearer {stages.key}", "content-type": "application/json", **HOP}
    head = {"ce-specversion": "1.0", "ce-source": "/shop", "ce-type": "orders.created"}

    def ingest(id: str, changes: dict[str, str] | None = None, content: bytes = b"{}") -> httpx.Response:
        headers = {**bearer, **head, "ce-id": id, **(changes or {})}
        return httpx.post(stages.door.url, content=content, headers={name: value for name, value in headers.items() if value}, timeout=20)

    yield "ingest: accepted", ingest("hop-1"), "done", None
    yield "ingest: the same again", ingest("hop-1"), "done", None
    yield "ingest: refused by a rule", ingest("hop-2", {"ce-type": "pay.now"}), "done", wire.REJECTED
    yield "ingest: another body", ingest("hop-1", content=b"[]"), "done", wire.REJECTED
    yield "ingest: malformed", ingest("hop-3", {"ce-specversion": "9"}), "dropped", None
    yield "ingest: no key", ingest("hop-4", {"authorization": ""}), "dropped", None
    yield "ingest: no CloudEvent", httpx.post(stages.door.url, content=b"{}", headers=bearer), "dropped", None
    one, other = about(stages, "hop-5"), about(stages, "hop-6", topic="pay.now")
    yield "check: accepted", post(stages.check, event(wire.RECEIVED, one), headers=HOP), "done", wire.ACCEPTED
    yield "check: refused", post(stages.check, event(wire.RECEIVED, other), headers=HOP), "done", wire.REJECTED
    yield "check: no proof", post(stages.check, event(wire.RECEIVED, one, key=FOREIGN), headers=HOP), "dropped", None
    yield "check: another type", post(stages.check, event(wire.ACCEPTED, one), headers=HOP), "dropped", None
    yield "check: nothing", httpx.post(stages.check.url, headers=HOP), "dropped", None
    yield "check: a GET", httpx.get(stages.check.url), "dropped", None
    yield "route: accepted", post(stages.route, event(wire.ACCEPTED, one), headers=HOP), "done", wire.DELIVERED
    yield "route: no target", post(stages.route, event(wire.ACCEPTED, one, targets=()), headers=HOP), "done", wire.UNDELIVERABLE
    nowhere = event(wire.ACCEPTED, one, targets=("nowhere",))
    yield "route: a backbone that does not answer", post(stages.route, nowhere, headers=HOP), "retried", None
    yield "route: no proof", post(stages.route, event(wire.ACCEPTED, one, key=FOREIGN), headers=HOP), "dropped", None
    yield "route: too large", httpx.post(stages.route.url, content=b"x" * (wire.TAKEN_BYTES + 1), headers=HOP, timeout=20), "dropped", None
    yield "log_batch: no batch", httpx.post(stages.log_batch.url, content=b"{}", headers={**HOP, **head, "ce-id": "1"}), "dropped", None


def test_broker_neither_retries_a_refusal_nor_drops_what_must_be_retried_whatever_function_answers(stages: Stages) -> None:
    for asked, response, expected, type in hops(stages):
        outcome, back = seen_by_broker(response)
        assert (outcome, back and back["type"]) == (expected, type), f"{asked}: {response.status_code} {response.text}"
        if back is None:
            assert response.status_code >= 400 or response.content == b"", asked
        elif asked.startswith("ingest"):
            assert MESSAGE_ID.decode() in response.headers


def test_event_in_binary_mode_gets_the_same_verdict(stages: Stages) -> None:
    one = event(wire.RECEIVED, about(stages, "binary"))
    headers = {"ce-specversion": "1.0", "ce-id": one.id, "ce-source": one.source, "ce-type": one.type, "ce-subject": one.subject}
    headers |= {"ce-sbproof": one.sbproof, "content-type": "application/json", **HOP}
    outcome, back = seen_by_broker(httpx.post(stages.check.url, content=msgspec.json.encode(one.data), headers=headers))
    assert (outcome, back and back["type"]) == ("done", wire.ACCEPTED)


def runner(target: str, settings: dict[str, str], directory: Path, *more: str) -> Service:
    """`functions-framework --target ...`: no wrapper of ours."""
    program = str(Path(sys.executable).with_name("functions-framework"))
    service = Service(f"stock-{target}", settings, directory)
    service.command = (program, "--target", target, "--source", f"functions/{target}/main.py", "--host", "127.0.0.1", *more)
    service.path = "/"
    return service


@pytest.mark.parametrize("more", [(), ("--signature-type", "http"), ("--asgi",)])
def test_stock_runner_gives_the_same_verdicts_when_it_serves_a_stage(stages: Stages, tmp_path: Path, more: tuple[str, ...]) -> None:
    check, route, log_batch = (runner(name, stages.settings, tmp_path, *more) for name in ("check_constraints", "route", "log_batch"))
    asked = [
        about(stages, f"stock-{len(more)}-1"),
        about(stages, "stock-2", topic="pay.now"),
        about(stages, "stock-3", body=b"x" * 2_000_000),
    ]
    body = pack_batch([(2, pack_flush(1_800_000_000_000_000, b"n", pack_records([accepted(f"stock{more}", org=ORG)])))])
    head = {"ce-source": LOGGER, "ce-type": EVENT_TYPE, SHARD: "0", PROOF: proof_of(SECRET, LOGGER, 0, body)}
    with serving(check, route, log_batch):
        for ours, stock, type in ((stages.check, check, wire.RECEIVED), (stages.route, route, wire.ACCEPTED)):
            events = [event(type, one) for one in asked]
            theirs = answers(post(stock, *events))
            assert [one.type for one in theirs] == [one.type for one in answers(post(ours, *events))]
            assert [post(stock, bad, headers=HOP).status_code for bad in unproven(type, asked[0])] == [401] * 8
        assert httpx.post(log_batch.url, content=body, headers=head, timeout=20).status_code == 204
        assert httpx.post(log_batch.url, content=body, headers=head | {PROOF: ""}).status_code == 401


def test_stock_runner_serves_rest_too(stages: Stages, tmp_path: Path) -> None:
    query, config_crud = runner("query", stages.settings, tmp_path), runner("config_crud", stages.settings, tmp_path)
    bearer = {"authorization": f"Bearer {stages.admin}"}
    with serving(query, config_crud):
        for url in (f"{query.url}/v1/messages", f"{config_crud.url}/v1/config/principals"):
            assert "items" in httpx.get(url, headers=bearer, timeout=20).json()
            assert httpx.get(url, timeout=20).status_code == 401
        assert httpx.get(f"{query.url}/v1/config/principals", headers=bearer, timeout=20).status_code == 404


def test_every_request_is_answered_and_the_status_is_0_when_a_stage_is_told_to_stop(stages: Stages, tmp_path: Path) -> None:
    check, route = (Service(name, stages.settings, tmp_path) for name in ("check_constraints", "route"))
    for service, type in ((check, wire.RECEIVED), (route, wire.ACCEPTED)):
        events = [event(type, about(stages, f"drained-{number}-{type}")) for number in range(16)]
        with serving(service), ThreadPoolExecutor(8) as pool:
            first, *rest = [pool.submit(post, service, one) for one in events]
            first.result(20)
            assert service.stop() == 0
            wait(rest)
        answered = [one.result().status_code for one in rest if one.exception() is None]  # the others were not taken any more
        assert set(answered) <= {200}


@pytest.mark.parametrize("name", ["check_constraints", "route", "log_batch"])
def test_stage_ends_with_78_and_names_the_setting_when_it_has_no_secret(stages: Stages, name: str) -> None:
    settings = stages.settings | {"SWITCHBOARD_SECRET_FILE": "", "PORT": "0"}
    command = (sys.executable, "-m", f"functions.{name}.main")
    ended = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, "SWITCHBOARD_SECRET_FILE" in ended.stderr) == (78, True), ended.stderr


def is_whole(service: Service) -> bool:
    return bool(httpx.get(f"{service.url}/readyz").json() == {"status": "ready", "degraded": []})


def test_stage_says_what_it_is_and_what_it_counts(stages: Stages) -> None:
    for service in (stages.check, stages.route, stages.log_batch):
        assert httpx.get(f"{service.url}/healthz").json() == {"status": "alive"}
        eventually_now(partial(is_whole, service))
        assert "switchboard_http_responses_total" in httpx.get(f"{service.url}/metrics").text
