"""A browser's session on several processes of an install: signed out at one, it is over at all, an edge's among them."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest

from shared.adapters.postgres.migrations import migrate
from shared.session import COOKIE
from tests.integration.fronts import environment, new_key
from tests.integration.services import Service
from tests.servers import LocalServer, RedisDatabases, running
from tests.waiting import eventually_now

IN_FORCE_S = 1.0


@dataclass
class Install:
    """The hub's pages and two of its config-crud, and the page of an edge that has the install's secret. `key` is an admin's."""

    database: LocalServer
    page: Service
    edge_page: Service
    others: tuple[Service, Service]
    key: str

    def sign_in(self) -> str:
        """A session's cookie, made at the hub and taken everywhere."""
        answer = httpx.post(f"{self.page.url}/v1/session", json={"key": self.key}, timeout=20)
        assert answer.status_code == 200, answer.text
        cookie = answer.cookies[COOKIE]
        for service in (self.page, self.edge_page):
            assert asked(service, "/v1/session", cookie) == 200
        for service in self.others:
            assert asked(service, "/v1/config/principals", cookie) == 200
        return cookie

    def over_after(self, cookie: str) -> float:
        """Seconds from now until the last request was sent that any process took with the cookie."""
        began = stale = time.monotonic()

        def refused() -> bool:
            nonlocal stale
            for service, path in (
                (self.page, "/v1/session"),
                (self.edge_page, "/v1/session"),
                *((one, "/v1/config/principals") for one in self.others),
            ):
                sent = time.monotonic()
                if asked(service, path, cookie) != 401:
                    stale = sent
                    return False
            return True

        eventually_now(refused)
        return stale - began


def asked(service: Service, path: str, cookie: str) -> int:
    return httpx.get(f"{service.url}{path}", headers={"cookie": f"{COOKIE}={cookie}"}, timeout=20).status_code


def sign_out(service: Service, cookie: str) -> httpx.Response:
    headers = {"cookie": f"{COOKIE}={cookie}", "origin": service.url, "x-requested-with": "test"}
    return httpx.delete(f"{service.url}/v1/session", headers=headers, timeout=20)


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, nats_url: str) -> Iterator[Install]:
    folder = tmp_path_factory.mktemp("sessions")
    with ExitStack() as stack:
        database = stack.enter_context(running("database", folder))
        migrate(database.url)
        hub = environment(folder, redis_databases.fresh(), nats_url, database.url)

        def started(name: str, kind: str, settings: dict[str, str]) -> Service:
            own = folder / name
            own.mkdir()
            service = Service(kind, settings | {"SWITCHBOARD_STATE_DIR": str(own / "state")}, own)
            stack.callback(service.stop)
            service.start()
            return service

        others = started("one", "config_crud", hub), started("two", "config_crud", hub)
        edge = hub | {
            "SWITCHBOARD_HUB_URL": others[0].url,
            "SWITCHBOARD_CLUSTER": "edge-1",
            "SWITCHBOARD_REDIS_URL": redis_databases.fresh(),
        }
        del edge["SWITCHBOARD_DATABASE_URL"]
        page, edge_page = started("page", "websocket", hub), started("edge", "websocket", edge)
        found = Install(database, page, edge_page, others, asyncio.run(new_key(database.url, "acme")))
        eventually_now(lambda: taken(found))
        yield found


def taken(install: Install) -> bool:
    """Whether every process knows the key."""
    bearer = {"authorization": f"Bearer {install.key}"}
    signed_in = [httpx.post(f"{one.url}/v1/session", json={"key": install.key}, timeout=20) for one in (install.page, install.edge_page)]
    answers = [httpx.get(f"{one.url}/v1/config/principals", headers=bearer, timeout=20) for one in install.others]
    return all(answer.status_code == 200 for answer in (*signed_in, *answers))


@pytest.mark.parametrize("where", ["page", "edge_page"])
def test_session_is_refused_everywhere_within_a_second_when_it_was_signed_out_at_one(install: Install, where: str) -> None:
    service: Service = getattr(install, where)
    stays = install.sign_in()
    for _ in range(3):
        cookie = install.sign_in()
        assert sign_out(service, cookie).status_code == 204
        assert install.over_after(cookie) < IN_FORCE_S
    assert all(asked(one, "/v1/config/principals", stays) == 200 for one in install.others)


def test_session_is_over_here_and_the_browser_may_ask_again_when_nobody_else_can_be_told(install: Install) -> None:
    cookie = install.sign_in()
    install.database.kill()
    refused = sign_out(install.page, cookie)
    assert (refused.status_code, "set-cookie" in refused.headers) == (503, False), refused.text
    assert asked(install.page, "/v1/session", cookie) == 401
    install.database.start()
    eventually_now(lambda: sign_out(install.page, cookie).status_code == 204)
    install.over_after(cookie)
