"""config, principal and org as people and scripts use them: commands, their output and exit codes, against a front on real servers."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.adapters.postgres import PostgresMessageStore
from shared.domain.record import Accepted
from tests.integration.fronts import environment, fronting
from tests.integration.installs import root_key
from tests.servers import Databases, RedisDatabases
from tests.stored import accepted, flush
from tests.tokens import jwk
from tests.waiting import eventually_now

SWITCHBOARD = Path(sys.executable).with_name("switchboard")


class Shell:
    """Runs the command with one key, in a folder of its own. `database` is the install's."""

    def __init__(self, url: str, key: str, folder: Path, database: str) -> None:
        self.url, self.folder, self.database = url, folder, database
        self.environment = {**os.environ, "SWITCHBOARD_URL": url, "SWITCHBOARD_KEY": key}

    def run(self, *arguments: str, stdin: str = "", exits: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [str(SWITCHBOARD), *arguments]
        env = self.environment | variables
        done = subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, timeout=60, cwd=self.folder)
        assert done.returncode == exits, done.stdout + done.stderr
        return done

    def json(self, *arguments: str, stdin: str = "", exits: int = 0) -> Any:
        return json.loads(self.run(*arguments, "-o", "json", stdin=stdin, exits=exits).stdout)

    def on_a_terminal(self, *arguments: str, **variables: str) -> str:
        """What the command writes to a terminal."""
        ours, terminal = pty.openpty()
        env = self.environment | {"TERM": "xterm-256color"} | variables
        process = subprocess.Popen(
            [str(SWITCHBOARD), *arguments], env=env, stdin=terminal, stdout=terminal, stderr=terminal, cwd=self.folder
        )
        os.close(terminal)
        written = b""
        with open(ours, "rb", buffering=0) as reader, suppress(OSError):  # EIO: the last one who had it is gone
            while part := reader.read(65_536):
                written += part
        assert process.wait(60) == 0, written
        return written.decode()

    def editor(self, name: str, *steps: str) -> str:
        """An editor that makes the file each of these texts in turn, and notes what it found; {} in a text is what it found."""
        script = self.folder / name
        seen = self.folder / f"{name}.seen"
        script.write_text(
            "import json, pathlib, sys\n"
            f"seen = pathlib.Path({str(seen)!r})\n"
            "found = json.loads(seen.read_text()) if seen.exists() else []\n"
            "file = pathlib.Path(sys.argv[1])\n"
            f"step = {list(steps)!r}[len(found)]\n"
            "seen.write_text(json.dumps([*found, file.read_text()]))\n"
            "file.write_text(step.replace('{}', file.read_text()))\n"
        )
        return f"{sys.executable} {script}"

    def seen(self, name: str) -> list[str]:
        found: list[str] = json.loads((self.folder / f"{name}.seen").read_text())
        return found


@pytest.fixture(scope="module")
def root(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: RedisDatabases, nats_url: str, databases: Databases, migrated_template: str
) -> Iterator[Shell]:
    """A system admin's shell."""
    directory = tmp_path_factory.mktemp("front")
    with databases.temporary(migrated_template) as database:
        settings = environment(directory, redis_databases.fresh(), nats_url, database)
        with fronting(directory, settings, "default", asyncio.run(root_key(database))) as front:
            yield Shell(front.url, front.key, directory, database)


@pytest.fixture
def admin(root: Shell, org: str, tmp_path: Path) -> Shell:
    """The shell of the first admin of an org of the test's own."""
    key = root.run("org", "add", org).stdout.strip()
    bearer = {"authorization": f"Bearer {key}"}
    eventually_now(lambda: httpx.get(f"{root.url}/v1/config/documents", headers=bearer, timeout=20).status_code == 200)
    return Shell(root.url, key, tmp_path, root.database)


def test_document_is_set_patched_shown_and_removed(admin: Shell) -> None:
    (admin.folder / "orders.yaml").write_text("max_bytes: 1000\nrate_limits: []\n# a comment\n")
    said = admin.run("config", "set", "topics/orders.>", "-f", "orders.yaml", "--new", "--reason", "größer").stdout
    assert "+max_bytes: 1000" in said
    assert "\x1b" not in said
    admin.run("config", "set", "topics/orders.>", "-f", "orders.yaml", "--new", exits=74)
    changed = admin.run("config", "patch", "topics/orders.>", "-d", "{max_bytes: 2000, rate_limits: null}").stdout
    assert "-max_bytes: 1000" in changed
    assert "+max_bytes: 2000" in changed
    assert admin.run("config", "get", "topics/orders.>").stdout == "max_bytes: 2000\n"
    assert admin.json("config", "get", "topics/orders.>") == {"max_bytes": 2000}
    [listed] = admin.json("config", "get")
    assert (listed["path"], listed["document"]) == ("topics/orders.>", {"max_bytes": 2000})
    effective = admin.json("config", "get", "--topic", "orders.new")
    assert effective["origins"]["/max_bytes"] == "topics/orders.>"
    assert "topics/orders.>" in admin.run("config", "get", "--topic", "orders.new").stdout
    etag = listed["etag"].strip('"')
    made = admin.json("config", "set", "org", "-f", "-", stdin='{"max_bytes": 7}')
    assert made["document"] == {"max_bytes": 7}
    admin.run("config", "rm", "topics/orders.>", "--if-match", "1", exits=74)
    admin.run("config", "rm", "topics/orders.>", "--if-match", etag)
    admin.run("config", "rm", "topics/orders.>", exits=66)
    admin.run("config", "get", "topics/orders.>", exits=66)


def test_document_is_refused_by_field_when_it_does_not_hold(admin: Shell) -> None:
    for command in (["set", "org"], ["check", "org"]):
        assert "/max_bytes" in admin.run("config", *command, "-d", "max_bytes: 0", exits=76).stderr
    assert "twice" in admin.run("config", "set", "org", "-d", "{max_bytes: 1, max_bytes: 2}", exits=65).stderr
    assert admin.json("config", "get") == []


def test_history_says_what_was_and_rollback_brings_it_back(admin: Shell) -> None:
    admin.run("config", "set", "org", "-d", "max_bytes: 1", "--reason", "first")
    [first] = admin.json("config", "history", "org")
    admin.run("config", "set", "org", "-d", "max_bytes: 2")
    admin.run("config", "set", "topics/a", "-d", "{}")
    table = admin.run("config", "history").stdout
    assert "first" in table
    assert "org.create" in table
    shown = admin.run("config", "history", "--revision", str(first["revision"])).stdout
    assert "+max_bytes: 1" in shown
    assert [one["path"] for one in admin.json("config", "diff", str(first["revision"]))["changes"]] == ["org", "topics/a"]
    assert "+max_bytes: 2" in admin.run("config", "diff", str(first["revision"])).stdout
    dry = admin.run("config", "rollback", str(first["revision"]), "--dry-run").stdout
    assert "+max_bytes: 1" in dry
    assert admin.json("config", "get", "org") == {"max_bytes": 2}
    assert admin.run("config", "rollback", str(first["revision"]), "--reason", "back").stdout == dry
    assert [one["path"] for one in admin.json("config", "get")] == ["org"]
    assert admin.json("config", "get", "org") == {"max_bytes": 1}
    assert "nothing differs" in admin.run("config", "rollback", str(first["revision"])).stderr
    assert admin.json("config", "history", "--limit", "1")[0]["reason"] == "back"
    admin.run("config", "rollback", "999999", exits=76)
    admin.run("config", "rollback", str(first["revision"]), "--global", exits=77)


def test_differences_are_coloured_on_a_terminal_and_nowhere_else(admin: Shell) -> None:
    admin.run("config", "set", "org", "-d", "{max_bytes: 1, rate_limits: []}")
    [first] = admin.json("config", "history", "org")
    shown = admin.on_a_terminal("config", "patch", "org", "-d", "max_bytes: 2")
    for said in (shown, admin.on_a_terminal("config", "diff", str(first["revision"]))):
        assert "\x1b[32m+max_bytes: 2\x1b[0m" in said
        assert "\x1b[31m-max_bytes: 1\x1b[0m" in said
        assert "\x1b[1m--- org\x1b[0m" in said
        assert "\x1b[36m@@ " in said
        assert " rate_limits: []" in said
        assert "\x1b[32m rate_limits" not in said
    back = ("config", "rollback", str(first["revision"]), "--dry-run")
    assert "\x1b[32m+max_bytes: 1" in admin.on_a_terminal(*back)
    assert "\x1b[3" not in admin.on_a_terminal(*back, NO_COLOR="1")
    assert "\x1b" not in admin.run(*back, TERM="xterm-256color").stdout
    assert "\x1b" not in admin.on_a_terminal("config", "diff", str(first["revision"]), "-o", "json")
    hostile = "a\x1b[2Jb\x9b31mc"
    admin.run("config", "set", "org", "-f", "-", stdin=json.dumps({"policies": [{"name": "p", "when": "true", "reason": hostile}]}))
    assert "\x1b[2J" not in admin.on_a_terminal("config", "diff", str(first["revision"]))


def test_edit_saves_what_the_editor_leaves(admin: Shell) -> None:
    new = admin.run("config", "edit", "org", EDITOR=admin.editor("new", "{}max_bytes: 5\n"))
    assert "+max_bytes: 5" in new.stdout
    assert admin.seen("new")[0].startswith("# org: ")
    same = admin.run("config", "edit", "org", EDITOR=admin.editor("same", "{}"))
    assert "nothing changed" in same.stderr
    again = admin.run("config", "edit", "org", EDITOR=admin.editor("again", "max_bytes: 0\n", "max_bytes: [\n", "max_bytes: 6\n"))
    assert "+max_bytes: 6" in again.stdout
    opened = admin.seen("again")
    assert opened[1].startswith("# REFUSED: ")
    assert "# REFUSED: /max_bytes: " in opened[1]
    assert opened[1].endswith("\nmax_bytes: 0\n")
    assert opened[2].endswith("\nmax_bytes: [\n")
    admin.run("config", "edit", "org", EDITOR=admin.editor("given_up", "max_bytes: 0\n", "{}"), exits=76)
    assert admin.json("config", "get", "org") == {"max_bytes": 6}
    for editor in ("false", "/nowhere/editor", "'unbalanced", str(admin.folder), "sh -c 'rm $0'"):
        assert "EDITOR" in admin.run("config", "edit", "org", EDITOR=editor, exits=78).stderr or editor == "false"
    assert admin.json("config", "get", "org") == {"max_bytes": 6}


def test_edit_loses_nothing_that_was_written_when_it_cannot_be_saved(admin: Shell) -> None:
    """Whatever the answer is: no grant, too large, not UTF-8, no answer at all."""
    admin.run("principal", "set", "reader", "--grant", "action=config:read")
    reader = admin.json("key", "create", "reader")["key"]
    eventually_now(
        lambda: httpx.get(f"{admin.url}/v1/config/documents", headers={"authorization": f"Bearer {reader}"}, timeout=20).is_success
    )

    def kept(number: int) -> str:
        found = sorted(admin.folder.glob("switchboard-*.yaml"), key=lambda file: file.stat().st_mtime_ns)
        assert len(found) == number
        assert str(found[-1]) in refused.stderr
        return found[-1].read_text()

    variables = {"EDITOR": admin.editor("mine", "max_bytes: 7 # mine\n"), "TMPDIR": str(admin.folder)}
    refused = admin.run("config", "edit", "org", exits=77, **variables, SWITCHBOARD_KEY=reader)
    assert kept(1) == "max_bytes: 7 # mine\n"
    large = "schema: {description: '" + "x" * 270_000 + "'}\n"
    refused = admin.run("config", "edit", "org", exits=73, **variables | {"EDITOR": admin.editor("large", large)})
    assert kept(2) == large
    binary = admin.folder / "binary.py"
    binary.write_text(
        "import pathlib, sys\nf = pathlib.Path(sys.argv[1])\nb = f.read_bytes()\nf.write_bytes(b if b'\\xff' in b else b'a: \\xff\\n')\n"
    )
    refused = admin.run("config", "edit", "org", exits=76, EDITOR=f"{sys.executable} {binary}")
    assert "left as it was" in refused.stderr
    assert admin.json("config", "get") == []


def test_edit_saves_nothing_over_what_came_meanwhile(admin: Shell) -> None:
    admin.run("config", "set", "org", "-d", "max_bytes: 1")
    other = admin.folder / "other.py"
    other.write_text(
        "import subprocess, sys, pathlib\n"
        f"subprocess.run([{str(SWITCHBOARD)!r}, 'config', 'set', 'org', '-d', 'max_bytes: 2'], check=True)\n"
        "pathlib.Path(sys.argv[1]).write_text('max_bytes: 3')\n"
    )
    refused = admin.run("config", "edit", "org", EDITOR=f"{sys.executable} {other}", exits=74, TMPDIR=str(admin.folder))
    [kept] = admin.folder.glob("switchboard-*.yaml")
    assert str(kept) in refused.stderr
    assert kept.read_text() == "max_bytes: 3"
    assert admin.json("config", "get", "org") == {"max_bytes": 2}


def test_check_gives_verdicts_and_changes_nothing(admin: Shell) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "topic": "orders.new", "data": {"sku": "a"}}
    (admin.folder / "events.jsonl").write_text("\n".join(json.dumps(one) for one in (event, {**event, "data": {}})))
    (admin.folder / "events.json").write_text(json.dumps([event]))
    document = "{schema: {required: [sku]}, routes: [{to: ['cluster:eu']}]}"
    for file, statuses in (("events.jsonl", ["accepted", "blocked"]), ("events.json", ["accepted"])):
        found = admin.json("config", "check", "topics/orders.>", "-d", document, "--events", file)["verdicts"]
        assert [one["status"] for one in found] == statuses
    table = admin.run("config", "check", "topics/orders.>", "-d", document, "--events", "events.jsonl").stdout
    assert "cluster:eu" in table
    assert "schema" in table
    assert "holds" in admin.run("config", "check", "org", "-d", "{}").stdout
    assert admin.json("config", "get") == []
    admin.run("config", "check", "org", "-d", "{}", "--events", "nowhere", exits=66)
    admin.run("config", "get", "nowhere", exits=65)


def test_backtest_says_what_would_flip_and_changes_nothing(admin: Shell, org: str) -> None:
    asyncio.run(_stored(admin.database, [accepted(str(number), org, body=b'{"n":%d}' % number) for number in range(1_500)]))
    since = ("--since", "2026-01-01T00:00:00Z", "--until", "2026-01-02T00:00:00Z")
    rules = "{policies: [{name: few, when: 'data.n >= 1490'}]}"
    told = admin.json("config", "backtest", "topics/orders.>", "-d", rules, *since)
    assert (told["examined"], told["flips"]["count"], told["flips"]["by_rule"]) == (1_500, 10, {"policy:few": 10})
    said = admin.run("config", "backtest", "topics/orders.>", "-d", rules, *since)
    assert said.stdout.startswith("1500 messages examined; 10 would flip\n")
    assert "1000 examined, " in said.stderr
    assert admin.json("config", "backtest", "topics/orders.>", "--remove", *since)["flips"]["count"] == 0
    assert admin.json("config", "get") == []
    admin.run("config", "backtest", "topics/orders.>", "-d", "{max_bytes: 0}", *since, exits=76)
    admin.run("config", "backtest", "topics/orders.>", "-d", "{}", "--since", "yesterday", exits=65)
    admin.run("config", "backtest", "org", "-d", "{}", "--remove", exits=2)


async def _stored(database: str, records: list[Accepted]) -> None:
    store = PostgresMessageStore(database)
    try:
        await store.write(0, [flush(1, *records)])
    finally:
        await store.stop()


def test_principal_and_org_come_and_go(root: Shell, admin: Shell, org: str) -> None:
    made = admin.json("principal", "set", "shop", "--grant", "action=publish,topics=orders.>", "--new", "--reason", "new shop")
    assert made["grants"] == [{"action": "publish", "topics": ["orders.>"], "subjects": ["*"]}]
    admin.run("principal", "set", "shop", "--new", exits=74)
    assert "action=publish,topics=orders.>,subjects=*" in admin.run("principal", "ls").stdout
    assert [one["name"] for one in admin.json("principal", "ls")] == ["admin", "shop"]
    key = admin.json("key", "create", "shop", "--reason", "a second one")
    admin.run("key", "rm", key["id"], "--reason", "leaked")
    assert [(one["action"], one["reason"]) for one in admin.json("config", "history", f"principals/shop/keys/{key['id']}")] == [
        ("key.delete", "leaked"),
        ("key.create", "a second one"),
    ]
    admin.run("principal", "rm", "shop")
    admin.run("principal", "rm", "shop", exits=66)
    assert org in [one["org"] for one in root.json("org", "ls")]
    assert "already" in root.run("org", "add", org).stderr
    admin.run("org", "ls", exits=77)
    root.run("org", "rm", org, "--reason", "left")
    root.run("org", "rm", org, exits=66)
    root.run("org", "add", org, exits=76)
    assert root.json("org", "add", org, "--restore")["admin"]["key"].startswith("sb_")


def test_issuer_is_set_listed_and_removed(root: Shell, admin: Shell, org: str) -> None:
    wanted = {"issuer": "https://idp.example/", "audience": "us", "algorithms": ["ES256"], "jwks": {"keys": [jwk("k1")]}, "org": org}
    made = root.json("issuer", "set", "idp", "-d", json.dumps(wanted), "--new", "--reason", "sso")
    assert (made["name"], made["audience"]) == ("idp", ["us"])
    root.run("issuer", "set", "idp", "-d", json.dumps(wanted), "--new", exits=74)
    assert "https://idp.example/" in root.run("issuer", "ls").stdout
    root.run("issuer", "set", "idp", "-d", json.dumps({**wanted, "algorithms": ["none"]}), exits=65)
    admin.run("issuer", "ls", exits=77)
    root.run("issuer", "rm", "idp")
    assert root.json("issuer", "ls") == []
