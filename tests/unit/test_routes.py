"""The route table: every path of the contract has its function, and prefixes end at a slash."""

import pytest

from shared.routes import ROUTES, function_of, methods_of, routes_of


@pytest.mark.parametrize(
    ("method", "path", "function"),
    [
        ("POST", "/v1/events", "ingest"),
        ("POST", "/", "ingest"),
        ("OPTIONS", "/v1/events", "ingest"),
        ("GET", "/v1/events", "websocket"),
        ("GET", "/v1/feed", "websocket"),
        ("GET", "/", "websocket"),
        ("HEAD", "/", "websocket"),
        ("HEAD", "/v1/feed", "websocket"),
        ("HEAD", "/v1/events", "websocket"),
        ("HEAD", "/v1/registry/snapshot", "registry_crud"),
        ("GET", "/assets/page.js", "websocket"),
        ("GET", "/v1/messages", "query"),
        ("GET", "/v1/messages/8f14e45f/why", "query"),
        ("POST", "/v1/replays", "query"),
        ("PUT", "/v1/config/principals/shop", "config_crud"),
        ("POST", "/v1/backbones", "registry_crud"),
        ("GET", "/v1/backbones/main-0badcafe/events", "registry_crud"),
        ("DELETE", "/v1/clusters/eu", "registry_crud"),
        ("POST", "/v1/session", "websocket"),
        ("POST", "/v1/log/batches", "log_batch"),
        ("GET", "/v1/log/batches", None),
        ("GET", "/v1/registry/snapshot", "registry_crud"),
        ("PUT", "/v1/registry/snapshot", None),
        ("POST", "/v1/log/accepted", "log_batch"),
        ("POST", "/v1/feed", None),
        ("PUT", "/v1/events", None),
        ("POST", "/v1/events/more", None),
        ("DELETE", "/elsewhere", None),
    ],
)
def test_request_goes_to_its_function_when_the_table_has_it(method: str, path: str, function: str | None) -> None:
    assert function_of(method, path) == function


def test_prefix_ends_at_a_slash_when_a_longer_word_follows() -> None:
    assert function_of("PUT", "/v1/configuration") is None


def test_allowed_methods_are_those_of_the_path_when_another_is_refused() -> None:
    assert methods_of("/v1/events") == ("GET", "HEAD", "OPTIONS", "POST")
    assert methods_of("/v1/feed") == ("GET", "HEAD")
    assert methods_of("/elsewhere") == ()


def test_head_is_answered_when_get_is() -> None:
    assert [route for route in ROUTES if "GET" in route.methods and "HEAD" not in route.methods] == []


def test_row_is_reachable_when_it_is_in_the_table() -> None:
    for route in ROUTES:
        assert all(function_of(method, route.prefix) == route.function for method in route.methods)


@pytest.mark.parametrize(
    ("method", "path", "function"), [("POST", "/v1/events", "ingest"), ("PUT", "/v1/config/org", None), ("GET", "/", None)]
)
def test_functions_that_are_not_there_have_no_rows_when_a_cluster_has_few(method: str, path: str, function: str | None) -> None:
    assert function_of(method, path, routes_of(["ingest"])) == function
    assert methods_of("/v1/config", routes_of(["ingest"])) == ()
