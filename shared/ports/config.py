"""Config: documents, principals, keys, issuers and orgs, and the snapshots made of them."""

from collections.abc import AsyncIterator
from typing import Protocol

from shared.domain.principal import Principal
from shared.domain.revisions import Document, NewOrg, OrgState, Revision, Write
from shared.domain.sessions import Session
from shared.domain.snapshot import Snapshot
from shared.domain.token_issuer import Issuer


class ConfigDocuments(Protocol):
    """Config documents and their history. The part of ConfigStore that most of config-crud needs. Every method raises Unavailable."""

    async def current(self) -> int:
        """The config revision in force."""

    async def document(self, org: str, path: str) -> Document | None: ...

    async def documents(self, org: str, revision: int | None = None) -> dict[str, Document]:
        """The org's documents by path: those in force, or those that were at a revision."""

    async def write_documents(self, org: str, wanted: Write, author: str, reason: str = "") -> int:
        """Change documents, all or none; the new revision. Raises Stale unless they are as the write expects them, NotProcessable where
        the org would have too many, or was deleted."""

    async def revisions(self, org: str | None, limit: int, before: int | None = None, path: str | None = None) -> list[Revision]:
        """Revisions that touched the org or everybody (None: any), newest first; `before` and `path` narrow them. Fewer than `limit`,
        but one at least where there are any, when what they changed is large."""

    async def revision(self, org: str | None, number: int) -> Revision | None: ...


class ConfigSource(Protocol):
    """Where snapshots come from: the store itself, or the hub. Conformance: tests/conformance/config_source.py."""

    async def snapshot(self, revision: int | None = None) -> Snapshot:
        """The config state in force, or that of a revision. Raises Unavailable; NotFound for a revision to come, and for one whose state
        ended over a day ago."""

    def changes(self) -> AsyncIterator[Snapshot]:
        """The snapshot in force, then each new one within a second of its change; never ends, and waits out an unreachable store."""

    async def end_session(self, session: Session) -> None:
        """Have every process know that the session was signed out, by a revision that has no place in the history. Nothing happens where
        it is over already, or its key is gone. Raises Unavailable."""


class ConfigStore(ConfigDocuments, ConfigSource, Protocol):
    """Where config is kept. Conformance: tests/conformance/config_store.py.

    Writers may say the principal's revision that they saw as `expected`, 0 for none: Stale is raised where it is another now.
    """

    async def put_principal(self, principal: Principal, author: str, reason: str = "", expected: int | None = None) -> int:
        """Create or replace a principal; the new config revision. Raises LastAdmin where no system admin with a key would be left, and
        there was one; NotProcessable in an org that was deleted."""

    async def principal(self, org: str, name: str) -> Principal | None: ...

    async def principal_version(self, org: str, name: str) -> tuple[Principal, int] | None:
        """The principal, and the revision that last changed it."""

    async def principals(self, org: str) -> list[Principal]:
        """All principals of an org, by name."""

    async def delete_principal(self, org: str, name: str, author: str, reason: str = "", expected: int | None = None) -> bool:
        """Remove a principal and its keys. Whether there was one. Raises LastAdmin."""

    async def create_key(self, org: str, name: str, author: str, reason: str = "", expected: int | None = None) -> tuple[str, str]:
        """A new API key of a principal: (key id, the key itself, which is stored only as SHA-256)."""

    async def keys(self, org: str, name: str | None = None) -> list[dict[str, str]]:
        """Ids, principals and creation times; never a key."""

    async def delete_key(self, org: str, name: str, key_id: str, author: str, reason: str = "") -> bool:
        """Whether there was such a key. Raises LastAdmin."""

    async def issuers(self) -> dict[str, tuple[Issuer, int]]:
        """The issuers of tokens by name, in order; each with the revision that last changed it."""

    async def put_issuer(self, issuer: Issuer, org: str, author: str, reason: str = "", expected: int | None = None) -> int:
        """Create or replace an issuer; the new config revision, which is in the history of `org`: its author's. Raises NotProcessable
        where a token could be of two issuers."""

    async def delete_issuer(self, name: str, org: str, author: str, reason: str = "", expected: int | None = None) -> bool:
        """Whether there was one."""

    async def orgs(self, org: str | None = None) -> list[OrgState]:
        """All orgs by name, those that were deleted too; or the one."""

    async def create_org(self, admin: Principal, author: str, reason: str = "", *, restore: bool = False) -> NewOrg:
        """Make `admin.org` with its first admin and a key. Raises Stale where there is one; with `restore`, not for a deleted one."""

    async def delete_org(self, org: str, author: str, reason: str = "") -> bool:
        """Remove an org's principals, keys and documents, its `retention` aside, and note that it is gone. Whether there was one. Raises
        LastAdmin."""


class SnapshotKeeper(Protocol):
    """Where the processes of an edge keep the last good snapshot for each other. Conformance: tests/conformance/snapshot_keeper.py."""

    async def keep(self, packed: bytes) -> None:
        """Keep these bytes in the place of those before. Raises Unavailable."""

    async def kept(self) -> bytes | None:
        """The bytes kept last; None where there are none. Raises Unavailable."""
