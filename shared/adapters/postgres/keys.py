"""API keys: `sb_` and 256 random bits as base64url. The store has their SHA-256 and nothing else of them."""

import os
import secrets
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec
import psycopg

from shared.adapters.postgres.statements import statement
from shared.domain.errors import Misconfigured, Unavailable
from shared.domain.principal import Grant
from shared.domain.uuid7 import uuid7

HAS_KEY, NEXT_REVISION, PUT_PRINCIPAL = statement("has_key"), statement("next_revision"), statement("put_principal")
INSERT_KEY, INSERT_CHANGE, LOCK_ADMIN_KEY = statement("insert_key"), statement("insert_change"), statement("lock_admin_key")
NOTE_ORG = statement("note_org")

ADMIN_ORG, ADMIN = "default", "admin"
SHORTEST = 32  # characters of a key somebody else made


class NewKey(NamedTuple):
    """A key as it is made: the only time that `key` is known."""

    id: str
    key: str
    hash: bytes


def new_key() -> NewKey:
    """A new key and its short id."""
    key = f"sb_{secrets.token_urlsafe(32)}"
    return NewKey(f"k_{secrets.token_hex(6)}", key, hash_of(key))


def hash_of(key: str) -> bytes:
    """What the store has of a key: SHA-256, 32 bytes."""
    return sha256(key.encode()).digest()


def ensure_admin_key(database_url: str, path: Path) -> None:
    """Make the first admin key and its file (0600) where the file is missing, or its key isn't in the store: org `default`, principal
    `admin`, a system admin. Raises Unavailable when the store can't be reached."""
    try:
        with psycopg.connect(database_url, connect_timeout=10) as connection:
            connection.execute(LOCK_ADMIN_KEY)
            if _is_known(connection, path):
                return
            made = new_key()
            _store(connection, made, "switchboard up")
            _save(path, made.key)  # before the commit: a key that nobody has is worse than a file with a key that is replaced next time
    except psycopg.OperationalError as error:
        raise Unavailable("the database can't be reached") from error


def ensure_given_key(database_url: str, key: str) -> bool:
    """Make a key that the caller has the first admin's, where the store doesn't know it: org `default`, principal `admin`, a system
    admin. Any number of processes may do so at once. Whether it was new. Raises Unavailable when the store can't be reached,
    Misconfigured for a key too short to be one."""
    if len(key) < SHORTEST:
        raise Misconfigured(f"the admin key must have at least {SHORTEST} characters")
    try:
        with psycopg.connect(database_url, connect_timeout=10) as connection:
            connection.execute(LOCK_ADMIN_KEY)
            if _has(connection, key):
                return False
            _store(connection, new_key()._replace(key=key, hash=hash_of(key)), "switchboard deploy")
            return True
    except psycopg.OperationalError as error:
        raise Unavailable("the database can't be reached") from error


def _is_known(connection: psycopg.Connection[tuple[object, ...]], path: Path) -> bool:
    try:
        return _has(connection, path.read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return False


def _has(connection: psycopg.Connection[tuple[object, ...]], key: str) -> bool:
    row = connection.execute(HAS_KEY, {"hash": hash_of(key)}).fetchone()
    return row is not None and bool(row[0])


def _store(connection: psycopg.Connection[tuple[object, ...]], made: NewKey, author: str) -> None:
    row = connection.execute(NEXT_REVISION).fetchone()
    grants = msgspec.json.encode((Grant("admin"),)).decode()
    values = {"org": ADMIN_ORG, "name": ADMIN, "author": author, "revision": row and row[0], "id": made.id, "hash": made.hash}
    connection.execute(NOTE_ORG, values)
    connection.execute(PUT_PRINCIPAL, values | {"grants": grants, "system": True})
    connection.execute(INSERT_KEY, values)
    change = {"record_id": UUID(bytes=uuid7()), "action": "key.create", "path": f"principals/{ADMIN}/keys/{made.id}", "reason": "first key"}
    connection.execute(INSERT_CHANGE, values | change)


def _save(path: Path, key: str) -> None:
    """Write the file as a whole or not at all; nobody else can read it at any time."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
