"""Finding the Switchboard that a command talks to."""

import json
from pathlib import Path

import httpx
import pytest
import yaml

from infra.cli.connection import checked, connect
from shared.domain.errors import Malformed, Misconfigured, Overloaded, Unavailable


def running_in(state: Path) -> None:
    state.mkdir(parents=True)
    (state / "admin.key").write_text("sb_secret\n")
    (state / "endpoints.json").write_text(json.dumps({"http": "http://127.0.0.1:9000", "admin_key_file": str(state / "admin.key")}))


def test_the_environment_decides_when_url_and_key_are_set(tmp_path: Path) -> None:
    running_in(tmp_path / ".switchboard")
    connection = connect({"SWITCHBOARD_URL": "https://sb.example/", "SWITCHBOARD_KEY": "k"}, tmp_path)
    assert (connection.url, connection.key, connection.websocket_url) == ("https://sb.example", "k", "wss://sb.example")


def test_a_url_without_a_key_is_refused_when_given(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="SWITCHBOARD_KEY"):
        connect({"SWITCHBOARD_URL": "https://sb.example"}, tmp_path)


def test_the_state_of_a_parent_folder_is_found_when_below_it(tmp_path: Path) -> None:
    running_in(tmp_path / ".switchboard")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    connection = connect({"HOME": str(tmp_path)}, below)
    assert (connection.url, connection.key) == ("http://127.0.0.1:9000", "sb_secret")


def test_the_homes_state_is_found_when_no_folder_has_one(tmp_path: Path) -> None:
    running_in(tmp_path / "home" / ".local" / "state" / "switchboard")
    assert connect({"HOME": str(tmp_path / "home")}, tmp_path).key == "sb_secret"


def test_another_key_is_used_when_only_a_key_is_set(tmp_path: Path) -> None:
    running_in(tmp_path / ".switchboard")
    assert connect({"SWITCHBOARD_KEY": "other"}, tmp_path).key == "other"


def test_the_message_says_what_to_do_when_nothing_is_found(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"switchboard up.*SWITCHBOARD_URL"):
        connect({"HOME": str(tmp_path)}, tmp_path)


def test_the_message_names_the_state_when_it_is_stopped(tmp_path: Path) -> None:
    (tmp_path / ".switchboard").mkdir()
    with pytest.raises(Misconfigured, match="isn't running"):
        connect({"HOME": str(tmp_path)}, tmp_path)


def test_the_key_is_not_shown_when_a_connection_is_printed() -> None:
    assert "hidden" not in repr(connect({"SWITCHBOARD_URL": "http://x", "SWITCHBOARD_KEY": "hidden"}))


@pytest.mark.parametrize("key", ["sb_abc\n", " sb_abc", "sb_abc\r", "sb_abc\r\n"])
def test_white_space_around_a_key_is_left_out_when_it_is_set(key: str) -> None:
    assert connect({"SWITCHBOARD_URL": " http://x/ ", "SWITCHBOARD_KEY": key}).headers == {"Authorization": "Bearer sb_abc"}


@pytest.mark.parametrize("key", ["sb_hunter2\r\nx: y", "sb_hunter2é", "sb_hunter2 x", "sb_hunter2\x00", "sb_hunter2\udcff"])
def test_key_is_refused_by_its_place_and_not_shown_when_no_header_takes_it(tmp_path: Path, key: str) -> None:
    with pytest.raises(Misconfigured, match=r"^SWITCHBOARD_KEY ") as set_wrong:
        connect({"SWITCHBOARD_URL": "http://x", "SWITCHBOARD_KEY": key})
    running_in(tmp_path / ".switchboard")
    (tmp_path / ".switchboard" / "admin.key").write_bytes(key.encode(errors="surrogateescape"))
    with pytest.raises(Misconfigured, match=r"admin\.key ") as written_wrong:
        connect({"HOME": str(tmp_path)}, tmp_path)
    assert "hunter2" not in set_wrong.value.detail + written_wrong.value.detail


@pytest.mark.parametrize("url", ["x", "ftp://x", "http://", "http://u:hunter2@x", "http://x\x00", "http://x:port", "http://x?hunter2"])
def test_address_is_refused_by_its_variable_when_it_is_none(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"^SWITCHBOARD_URL ") as refused:
        connect({"SWITCHBOARD_URL": url, "SWITCHBOARD_KEY": "k"})
    assert "hunter2" not in refused.value.detail


def answer(status: int, body: dict[str, object] | None = None) -> httpx.Response:
    return httpx.Response(status, json=body, request=httpx.Request("GET", "http://x/v1/y"))


def test_a_problem_becomes_its_error_when_the_answer_is_a_refusal() -> None:
    fault = {"pointer": "ce-id", "detail": "missing"}
    problem: dict[str, object] = {"title": "Malformed", "detail": "no id", "rule": "limits", "errors": [fault]}
    with pytest.raises(Malformed, match="no id") as caught:
        checked(answer(400, problem))
    assert (caught.value.rule, caught.value.faults) == ("limits", (("ce-id", "missing"),))


@pytest.mark.parametrize(("status", "kind"), [(429, Overloaded), (503, Unavailable)])
def test_the_status_decides_when_the_answer_is_no_problem_document(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        checked(answer(status))


def test_an_answer_is_waited_for_as_long_as_a_function_may_take_when_it_is_at_zero(tmp_path: Path) -> None:
    found = connect({"SWITCHBOARD_URL": "http://h", "SWITCHBOARD_KEY": "k"}, tmp_path)
    with found.client() as client:
        patience = client.timeout.read
    functions = (Path(__file__).parents[2] / "knative" / "base").glob("*/service.yaml")
    services = [one for path in functions for one in yaml.safe_load_all(path.read_text()) if one["apiVersion"].startswith("serving.")]
    assert services
    assert patience is not None
    assert patience >= max(one["spec"]["template"]["spec"]["timeoutSeconds"] for one in services)
