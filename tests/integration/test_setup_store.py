"""`switchboard setup-store`, the program of a cluster's setup Job: schema and first admin key, however often and by however many."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from shared.adapters.postgres import PostgresConfigStore
from shared.adapters.postgres.keys import hash_of
from shared.adapters.postgres.migrations import pending
from tests.servers import LocalServer

KEY = "sb_" + "k" * 43
COMMAND = [sys.executable, "-m", "infra.cli.main", "setup-store", "--key-file"]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    return path


def start(database: str, key_file: Path, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "SWITCHBOARD_DATABASE_URL": database}
    return subprocess.Popen([*COMMAND, str(key_file), *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    said, complained = process.communicate(timeout=60)
    return process.returncode, said, complained


async def test_the_key_is_a_system_admins_when_the_store_was_empty(plain_database: str, key_file: Path) -> None:
    assert finish(start(plain_database, key_file)) == (0, "the schema is up to date\nthe admin key is in the store now\n", "")
    assert pending(plain_database) == []
    store = PostgresConfigStore(plain_database)
    principal = (await store.snapshot()).keys[hash_of(KEY)]
    await store.stop()
    assert (principal.org, principal.name, principal.system) == ("default", "admin", True)


def test_there_is_one_key_when_three_jobs_run_at_once_and_another_later(plain_database: str, key_file: Path) -> None:
    at_once = [start(plain_database, key_file) for _ in range(3)]
    ended = [finish(process) for process in at_once]
    assert [status for status, _, _ in ended] == [0, 0, 0], ended
    assert finish(start(plain_database, key_file))[1].endswith("the admin key was in the store\n")
    with psycopg.connect(plain_database) as connection:
        assert connection.execute("SELECT count(*) FROM api_keys").fetchone() == (1,)


def test_another_key_is_added_when_the_secret_was_changed(plain_database: str, key_file: Path) -> None:
    finish(start(plain_database, key_file))
    key_file.write_text(KEY + "2")
    assert finish(start(plain_database, key_file))[0] == 0
    with psycopg.connect(plain_database) as connection:
        assert connection.execute("SELECT count(*) FROM api_keys").fetchone() == (2,)


def test_it_waits_when_the_database_comes_later(own_database: LocalServer, key_file: Path) -> None:
    own_database.stop()
    process = start(own_database.url, key_file)
    assert process.stderr is not None
    assert "trying again" in process.stderr.readline()
    own_database.start()
    status, said, _ = finish(process)
    assert (status, said) == (0, "the schema is up to date\nthe admin key is in the store now\n")


def test_it_gives_up_without_the_url_when_the_database_does_not_come(key_file: Path) -> None:
    url = "postgresql://switchboard:secret-password@127.0.0.1:1/switchboard"
    status, _, complained = finish(start(url, key_file, "--patience", "0"))
    assert status == 69
    assert "secret-password" not in complained


def test_a_key_too_short_to_be_one_is_refused_when_it_is_given(plain_database: str, key_file: Path) -> None:
    key_file.write_text("short")
    status, _, complained = finish(start(plain_database, key_file))
    assert status == 78
    assert "at least 32 characters" in complained
