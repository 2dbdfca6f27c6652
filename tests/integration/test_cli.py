"""send, query, tail, why and key as people and scripts use them: commands, their output and exit codes, against the whole product."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.product import product
from tests.waiting import eventually_now

SWITCHBOARD = Path(sys.executable).with_name("switchboard")


class Shell:
    """Runs the command with one key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.environment = {**os.environ, "SWITCHBOARD_URL": url, "SWITCHBOARD_KEY": key}

    def run(self, *arguments: str, stdin: bytes = b"", exits: int = 0) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run([SWITCHBOARD, *arguments], input=stdin, env=self.environment, capture_output=True, timeout=60)
        assert done.returncode == exits, done.stdout + done.stderr
        return done

    def json(self, *arguments: str, stdin: bytes = b"", exits: int = 0) -> Any:
        return json.loads(self.run(*arguments, "-o", "json", stdin=stdin, exits=exits).stdout)

    def found(self, *arguments: str, many: int = 1) -> list[dict[str, Any]]:
        """What query finds, once there is that much: the logger takes a moment."""
        return eventually_now(lambda: found if len(found := self.json("query", *arguments)) >= many else [])


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with product(tmp_path_factory.mktemp("product") / "state") as endpoints:
        yield Shell(endpoints["http"], endpoints["key"])


def fresh() -> str:
    return f"t{uuid4().hex[:12]}"


def test_message_is_found_and_explained_when_it_was_sent(admin: Shell) -> None:
    topic = f"orders.{fresh()}"
    body = b'{ "sku" : 1.00 }'
    receipt = admin.json("send", "--topic", topic, "--subject", "agent 7", "--data", "-", stdin=body)
    assert (receipt["status"], receipt["topic"], receipt["subject"]) == ("accepted", topic, "agent 7")
    [found] = admin.found("--topic", topic)
    assert (found["id"], found["data"]) == (receipt["id"], {"sku": 1.0})
    eventually_now(lambda: admin.run("query", "--id", receipt["id"], "--raw").stdout == body)
    delivered = eventually_now(
        lambda: [
            step for step in admin.json("why", receipt["id"])["steps"] if (step["step"], step["outcome"]) == ("delivery", "delivered")
        ],
        within=30,
    )
    assert delivered[0]["sequence"] == receipt["deliveries"][0]["sequence"]
    for command in (["query", "--topic", topic], ["why", receipt["id"]], ["query", "--id", receipt["id"]]):
        assert receipt["id"].encode() in admin.run(*command).stdout


def test_same_event_is_a_duplicate_when_it_is_sent_again(admin: Shell) -> None:
    again = ["send", "--topic", "orders.again", "--id", fresh(), "--data", "x"]
    assert [admin.json(*again)["duplicate"] for _ in range(2)] == [False, True]


def test_stored_messages_come_first_when_tail_is_asked_since(admin: Shell, tmp_path: Path) -> None:
    topic = f"orders.{fresh()}"
    for body in ("one", "two"):
        admin.run("send", "--topic", topic, "--type", "t", "--data", body)
    admin.found("--topic", topic, many=2)
    command = [str(SWITCHBOARD), "tail", "--topic", topic, "--since", "15m", "-o", "json"]
    with open(tmp_path / "seen", "wb") as seen, subprocess.Popen(command, env=admin.environment, stdout=seen) as tail:
        try:
            assert eventually_now(lambda: _tailed(tmp_path / "seen", 2))
            admin.run("send", "--topic", topic, "--type", "t", "--data", "three")
            shown = eventually_now(lambda: _tailed(tmp_path / "seen", 3))
        finally:
            tail.terminate()
    assert [base64.b64decode(message["data_base64"]) for message in shown] == [b"one", b"two", b"three"]
    [stored, *_] = admin.found("--topic", topic, many=3)
    assert (stored["id"], stored["received_at"]) == (shown[2]["id"], shown[2]["received_at"])  # by these it knows what it has shown
    admin.run("tail", "--since", "yesterday", exits=65)
    assert b"two" in admin.run("query", "--topic", topic).stdout


def _tailed(file: Path, many: int) -> list[dict[str, Any]]:
    """The messages that tail has printed, once there are so many."""
    lines = [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
    messages = [line for line in lines if "delivery" not in line]
    return messages if len(messages) >= many else []


def test_every_good_line_is_sent_when_one_of_a_file_is_bad(admin: Shell, tmp_path: Path) -> None:
    topic = f"batch.{fresh()}"
    lines = [json.dumps({"specversion": "1.0", "id": fresh(), "source": "/f", "type": "t", "topic": topic, "data": n}) for n in range(1500)]
    lines[700] = "not JSON"
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines))
    done = admin.run("send", "--file", str(file), exits=65)
    assert b"1499" in done.stdout
    assert done.stderr.startswith(b"line 701: not JSON")
    assert len(admin.found("--topic", topic, "--all", many=1499)) == 1499
    again = admin.run("send", "--file", "-", "-o", "json", stdin=("\n".join(lines[:3])).encode())
    assert [json.loads(line)["duplicate"] for line in again.stdout.splitlines()] == [True, True, True]


def test_key_may_do_what_its_grant_says_until_it_is_removed(admin: Shell) -> None:
    name = fresh()
    key = admin.run("key", "create", name, "--grant", "action=publish,topics=orders.>").stdout.decode().strip()
    assert key.isprintable()
    assert " " not in key
    sender = Shell(admin.url, key)
    eventually_now(lambda: _sends(sender, "orders.a"))
    refused = sender.run("send", "--topic", "pay.a", exits=77)
    assert refused.stderr.startswith(b"switchboard: ")
    assert b"rule grant" in refused.stderr
    sender.run("query", exits=77)
    [listed] = admin.json("key", "ls", name)
    assert key not in json.dumps(listed)
    admin.run("key", "rm", listed["id"])
    admin.run("key", "rm", listed["id"], exits=66)
    eventually_now(lambda: not _sends(sender, "orders.a"))
    sender.run("send", "--topic", "orders.a", exits=67)


def test_grants_of_a_principal_stay_when_a_key_is_made_for_it_again(admin: Shell) -> None:
    name = fresh()
    admin.run("key", "create", name, "--grant", "action=read")
    refused = admin.run("key", "create", name, "--grant", "action=publish", exits=74)
    assert b"--replace" in refused.stderr
    assert len(admin.json("key", "ls", name)) == 1
    admin.run("key", "create", name, "--grant", "action=publish", "--replace")
    refused = admin.run("key", "create", "admin", "--grant", "action=read", "--replace", exits=76)
    assert b"last system admin" in refused.stderr
    assert len(admin.json("key", "ls", name)) == 2


def _sends(shell: Shell, topic: str) -> bool:
    done = subprocess.run([SWITCHBOARD, "send", "--topic", topic], env=shell.environment, capture_output=True, timeout=60)
    return done.returncode == 0


def test_key_of_another_org_sees_only_that_org(admin: Shell) -> None:
    org = f"o-{fresh()}"
    made = admin.json("key", "create", "boss", "--org", org, "--grant", "action=admin")
    assert made.keys() == {"id", "key", "principal"}
    other = Shell(admin.url, made["key"])
    receipt = admin.json("send", "--topic", "orders.mine", "--data", "1")
    admin.found("--topic", "orders.mine")
    assert eventually_now(lambda: _sends(other, "orders.theirs"))
    assert [one["org"] for one in other.found()] == [org]
    other.run("why", receipt["id"], exits=66)


@pytest.mark.parametrize(
    ("arguments", "exits", "said"),
    [
        (["query", "--since", "yesterday"], 65, b"since: "),
        (["query", "--topic", "a..b"], 65, b"topic: "),
        (["query", "--id", "nonsense"], 65, b"id: "),
        (["query", "--raw"], 2, b"--raw"),
        (["query", "--limit", "0"], 2, b"--limit"),
        (["why", "00000000-0000-0000-0000-000000000000"], 66, b"no message"),
        (["why", "../events"], 65, b"id: "),
        (["why", ""], 65, b"id: "),
        (["key", "create", "a", "--grant", "rule"], 2, b"rule"),
        (["send", "--file", "/nonexistent"], 65, b"can't be read"),
        (["send", "--data", "a", "b"], 2, b"once"),
        (["key", "create", "nobody"], 66, b"no principal"),
        (["key", "create", "a.b", "--grant", "action=read"], 65, b"name"),
        (["key", "create", "a", "--grant", "action=rule"], 65, b"/grants/0/action"),
        (["key", "rm", "nothing"], 66, b"no key"),
    ],
)
def test_error_is_one_clear_line_with_its_own_exit_code(admin: Shell, arguments: list[str], exits: int, said: bytes) -> None:
    done = admin.run(*arguments, exits=exits)
    assert said in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize("command", [["send"], ["query"], ["why"], ["key", "create"], ["key", "ls"], ["key", "rm"]])
def test_help_has_an_example(admin: Shell, command: list[str]) -> None:
    assert f"Example: switchboard {' '.join(command)}".encode() in admin.run(*command, "--help").stdout
