"""The gateway is the real Envoy, and decides as `switchboard up` does: the same function, the same status, the same `Allow`."""

import contextlib
import http.client
import itertools
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from infra.render import gateway, gateway_server
from shared.routes import ANY, FUNCTIONS, ROUTES
from tests.manifests.envoy import Reply, ask, front, running, serving, upstream
from tests.ports import free_port

METHODS = (*ANY, "TRACE")
ENDINGS = (
    "", "/", "/below", "/a/b", "x", "%2Fbelow", "%2f", "/../x", "/./", "//", "/%2e%2e/v1/feed", ".", "?a=/v1/feed", "%20", "%3Fx", "%25",
)  # fmt: skip
ODD = (
    "/", "//", "/.", "/..", "/%2F", "/%2e", "/%", "/%zz", "/v1", "/v1/", "/v2/messages", "/V1/Messages", "/v1//messages", "/v1/./messages",
    "//v1/messages", "/v1%2Fmessages", "/%76%31/%6dessages", "/v1/messag%65s/x", "/v1%252Fmessages", "/v1/../v1/messages",
    "/v1\\messages", "/v1/messages;a=b", "/v1/messages:x", "/%C3%A4", "/%00", "/%FF", "/favicon.ico", "/assets/page.js",
    "/check-constraints", "/route", "/log-batch", "/v1/check", "/v1/configuration", "/healthz/", "/readyz/x", "/openapi.jsonx",
    "/?q=/v1/messages", "/%3F", "/*", "/v1/messages%0A",
)  # fmt: skip
PATHS = (*(route.prefix.rstrip("/") + ending or "/" for route in ROUTES for ending in ENDINGS), *ODD)


class Both(NamedTuple):
    gateway: int
    front: int


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(serving(upstream(name))) for name in FUNCTIONS}


@pytest.fixture(scope="module")
def both(ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with running(ports, tmp_path_factory.mktemp("envoy")) as gateway, serving(front()) as up:
        yield Both(gateway, up)


def _decision(reply: Reply) -> tuple[int, str, str, object, object]:
    seen = reply.seen
    return reply.status, reply.headers.get("x-upstream", ""), reply.headers.get("allow", ""), seen.get("path"), seen.get("raw")


@pytest.mark.parametrize("method", METHODS)
def test_gateway_decides_as_switchboard_up_does_when_asked_for_any_path(both: Both, method: str) -> None:
    differing = {}
    for path in dict.fromkeys(PATHS):
        here, there = (_decision(ask(port, method, path)) for port in both)
        if here != there:
            differing[path] = (here, there)
    assert differing == {}


def test_corpus_meets_every_function_and_every_refusal_when_all_of_it_is_asked(both: Both) -> None:
    decisions = {_decision(ask(both.gateway, method, path))[:2] for method, path in itertools.product(("GET", "PUT"), PATHS)}
    decisions |= {_decision(ask(both.gateway, "POST", path))[:2] for path in ("/", "/v1/log/batches")}
    assert decisions >= {(200, name) for name in FUNCTIONS} | {(404, ""), (405, "")}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_gateway_answers_for_itself_when_asked_for_its_health(both: Both, path: str) -> None:
    reply = ask(both.gateway, "GET", path)
    assert (reply.status, reply.headers["content-type"], "x-upstream" in reply.headers) == (200, "application/json", False)
    assert ask(both.gateway, "POST", path).status == 404


def test_no_pods_metrics_are_shown_when_the_gateway_is_asked_for_them(both: Both) -> None:
    assert [ask(both.gateway, "GET", path).status for path in ("/metrics", "/m%65trics")] == [404, 404]


@pytest.mark.parametrize(("method", "path", "status"), [("PUT", "/v1/events", 405), ("DELETE", "/elsewhere", 404)])
def test_refusal_is_the_problem_of_switchboard_up_when_the_gateway_refuses(both: Both, method: str, path: str, status: int) -> None:
    here, there = (ask(port, method, path) for port in both)
    assert here.status == there.status == status
    assert here.headers["content-type"] == there.headers["content-type"] == "application/problem+json"
    problem, wanted = json.loads(here.body), json.loads(there.body)
    assert {name: problem[name] for name in ("type", "title", "status")} == {name: wanted[name] for name in ("type", "title", "status")}


def test_host_is_the_functions_own_when_it_is_a_knative_service(both: Both) -> None:
    seen = ask(both.gateway, "GET", "/v1/config/principals").seen
    assert seen["host"] == "config-crud.switchboard.svc.cluster.local"
    assert seen["x-forwarded-host"] == "gateway.test"


def test_host_is_the_clients_when_the_function_is_a_pod(both: Both) -> None:
    assert ask(both.gateway, "GET", "/").seen["host"] == "gateway.test"


def test_forwarded_headers_are_envoys_when_a_client_makes_some_up(both: Both) -> None:
    made_up = {"X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    seen = ask(both.gateway, "GET", "/v1/messages", headers=made_up).seen
    assert (seen["x-forwarded-host"], seen["x-forwarded-proto"]) == ("gateway.test", "http")
    assert seen["x-forwarded-for"].split(",")[0].strip() == "203.0.113.9"  # the client's word, before who Envoy saw itself:
    assert seen["x-forwarded-for"].count(",") == 1


@pytest.mark.parametrize("target", ["/v1/feed?topic=a", "/v1/events"])
def test_websocket_goes_through_when_a_path_has_one(both: Both, target: str) -> None:
    with connect(f"ws://127.0.0.1:{both.gateway}{target}") as socket:
        socket.send("hello")
        assert socket.recv(timeout=30) == "hello"


def test_no_websocket_is_opened_when_the_path_has_none(both: Both) -> None:
    with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{both.gateway}/v1/messages"):
        pass


def test_client_is_asked_to_connect_anew_and_websockets_live_on_when_a_connection_is_old(ports: dict[str, int], tmp_path: Path) -> None:
    with running(ports, tmp_path, connection="0.3s") as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with connect(f"ws://127.0.0.1:{port}/v1/feed") as socket:
            asked = 0
            while True:
                connection.request("GET", "/v1/messages")
                response = connection.getresponse()
                response.read()
                asked += 1
                assert response.status == 200
                if response.getheader("connection") == "close":
                    break
            socket.send("still here")
            assert socket.recv(timeout=30) == "still here"
        assert asked > 1


def test_answer_is_a_problem_that_says_retry_when_no_function_can_be_reached(ports: dict[str, int], tmp_path: Path) -> None:
    with running({**ports, "ingest": free_port()}, tmp_path) as port:
        reply = ask(port, "POST", "/v1/events", b"{}")
    assert (reply.status, reply.headers["content-type"], reply.headers["retry-after"]) == (503, "application/problem+json", "1")
    assert json.loads(reply.body)["status"] == 503


def test_post_is_sent_once_when_the_function_dies_before_it_answers(ports: dict[str, int], tmp_path: Path) -> None:
    taken: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def die() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    taken.append(connection.recv(65_536))

        thread = threading.Thread(target=die)
        thread.start()
        with running({**ports, "ingest": listening.getsockname()[1]}, tmp_path) as port:
            reply = ask(port, "POST", "/v1/events", b"{}")
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert reply.status == 503
    assert len(taken) == 1


REFUSED = {
    "a header over 64 KiB": (431, b"ce-a: " + b"x" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}"),
    "a NUL in a header": (400, b"ce-a: \0\r\nContent-Length: 2\r\n\r\n{}"),
    "two lengths": (400, b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "a length, and chunks": (400, b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusal_is_the_problem_of_switchboard_up_when_it_is_no_request(both: Both, what: str) -> None:
    status, rest = REFUSED[what]
    here, there = (_sent(port, b"POST /v1/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + rest) for port in both)
    assert here.status == there.status == status
    assert here.headers["content-type"] == there.headers["content-type"] == "application/problem+json"
    problem, wanted = json.loads(here.body), json.loads(there.body)
    assert {name: problem[name] for name in ("type", "title", "status")} == {name: wanted[name] for name in ("type", "title", "status")}
    assert problem["detail"]


def test_refusal_names_the_number_of_headers_when_there_are_more_than_the_gateway_takes(both: Both) -> None:
    reply = ask(both.gateway, "POST", "/v1/events", b"{}", {f"ce-a{number}": "1" for number in range(gateway_server.HEADERS)})
    assert (reply.status, reply.headers["content-type"]) == (431, "application/problem+json")
    assert f"more than {gateway_server.HEADERS}" in json.loads(reply.body)["detail"]


def _sent(port: int, request: bytes) -> Reply:
    """The answer to these very bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):  # answered before all of it is sent
            connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def test_answer_is_a_problem_that_says_retry_when_a_function_is_silent_for_too_long(ports: dict[str, int], tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        running({**ports, "ingest": silent.getsockname()[1]}, tmp_path, quiet="0.5s") as port,
    ):
        reply = ask(port, "POST", "/v1/events", b"{}")
    assert (reply.status, reply.headers["content-type"], reply.headers["retry-after"]) == (503, "application/problem+json", "1")
    assert json.loads(reply.body)["status"] == 503


def test_function_answers_before_the_gateway_gives_up_when_it_takes_all_its_time() -> None:
    assert gateway_server.STREAM_S > gateway.FUNCTION_S  # or nothing but the gateway's impatience would be told
