"""The store of config in memory: the twin of shared/adapters/postgres, for unit tests. It keeps every state there ever was."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from shared.adapters.memory.config_state import State, changes_of, new_key, second
from shared.domain.config.together import check_together, has_rules
from shared.domain.errors import NotFound, NotProcessable
from shared.domain.issuers import check_apart, check_issuer
from shared.domain.principal import Principal
from shared.domain.record import Audit
from shared.domain.revisions import Document, LastAdmin, NewOrg, OrgState, Revision, Stale, Write, check_bounds, check_expected, check_held
from shared.domain.sessions import Session, ending, key_path
from shared.domain.snapshot import Snapshot
from shared.domain.token_issuer import Issuer
from shared.domain.uuid7 import uuid7


class MemoryConfigStore:
    """ConfigStore that forgets everything with its process."""

    def __init__(self, home: str = "local") -> None:
        self.audits: list[Audit] = []
        self._home = home
        self._states = [State({}, {}, {}, {}, {}, {}, {})]  # of revision 1, 2, ...
        self.backbone_keys: dict[str, bytes] = {}  # sealed; they have no revisions
        self._revisions: list[Revision] = []
        self._changed = asyncio.Condition()

    @property
    def state(self) -> State:
        """All of it as it is now."""
        return self._states[-1]

    @property
    def _now(self) -> State:
        return self._states[-1]

    async def snapshot(self, revision: int | None = None) -> Snapshot:
        number = len(self._states) if revision is None else revision
        if not 1 <= number <= len(self._states):
            raise NotFound(f"config revision {number} isn't known")
        return self._states[number - 1].snapshot(number, self._home, self.backbone_keys)

    async def changes(self) -> AsyncIterator[Snapshot]:
        """The snapshot in force, then each new one."""
        seen = -1
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda known=seen: len(self._states) != known)  # type: ignore[misc]  # bound now, not later
            found = await self.snapshot()
            seen = found.revision
            yield found

    # ---- documents ------------------------------------------------------------------------------------------------------------

    async def current(self) -> int:
        return len(self._states)

    async def document(self, org: str, path: str) -> Document | None:
        return self._now.documents.get((org, path))

    async def documents(self, org: str, revision: int | None = None) -> dict[str, Document]:
        if revision is not None and revision < 1:
            return {}
        state = self._states[-1 if revision is None else min(revision, len(self._states)) - 1]
        return {path: document for (owner, path), document in sorted(state.documents.items()) if owner == org}

    async def write_documents(self, org: str, wanted: Write, author: str, reason: str = "") -> int:
        self.check_open(org)
        now = await self.documents(org)
        check_expected(wanted, {path: document.revision for path, document in now.items()})
        if wanted.unchanged_since is not None and now != await self.documents(org, wanted.unchanged_since):
            raise Stale("documents of the org were changed meanwhile", None)
        sizes = {path: len(document.text) for path, document in now.items()}
        sizes |= {path: len(text) for path, text in wanted.documents.items() if text is not None}
        if any(text is not None for text in wanted.documents.values()):
            check_bounds({path: size for path, size in sizes.items() if wanted.documents.get(path, b"") is not None})
        if any(text is not None and has_rules(text) for text in wanted.documents.values()):
            texts = {path: document.text for path, document in now.items() if path not in wanted.documents}
            check_together(texts | {path: text for path, text in wanted.documents.items() if text is not None})

        def write(state: State, revision: int) -> None:
            for path, text in wanted.documents.items():
                state.documents.pop((org, path), None)
                if text is not None:
                    state.documents[org, path] = Document(text, revision)

        return await self.change(org, author, wanted.action, wanted.path, reason, write)

    async def revisions(self, org: str | None, limit: int, before: int | None = None, path: str | None = None) -> list[Revision]:
        found = [
            one
            for one in reversed(self._revisions)
            if (org is None or one.org in ("", org)) and (before is None or one.revision < before) and path in (None, one.path)
        ]
        return found[:limit]

    async def revision(self, org: str | None, number: int) -> Revision | None:
        return next((one for one in await self.revisions(org, len(self._revisions)) if one.revision == number), None)

    # ---- principals and keys ----------------------------------------------------------------------------------------------------

    async def put_principal(self, principal: Principal, author: str, reason: str = "", expected: int | None = None) -> int:
        self.check_open(principal.org)
        self._check_expected(principal.org, principal.name, expected)

        def write(state: State, revision: int) -> None:
            state.orgs.setdefault(principal.org, OrgState(principal.org, second()))
            state.principals[principal.org, principal.name] = (principal, revision)

        return await self.change(principal.org, author, "principal.put", f"principals/{principal.name}", reason, write)

    async def principal(self, org: str, name: str) -> Principal | None:
        found = await self.principal_version(org, name)
        return None if found is None else found[0]

    async def principal_version(self, org: str, name: str) -> tuple[Principal, int] | None:
        return self._now.principals.get((org, name))

    async def principals(self, org: str) -> list[Principal]:
        return [principal for (owner, _), (principal, _) in sorted(self._now.principals.items()) if owner == org]

    async def delete_principal(self, org: str, name: str, author: str, reason: str = "", expected: int | None = None) -> bool:
        self._check_expected(org, name, expected)
        if (org, name) not in self._now.principals:
            return False

        def write(state: State, revision: int) -> None:
            del state.principals[org, name]
            state.drop_keys(lambda key: (key.org, key.name) == (org, name))

        await self.change(org, author, "principal.delete", f"principals/{name}", reason, write)
        return True

    async def create_key(self, org: str, name: str, author: str, reason: str = "", expected: int | None = None) -> tuple[str, str]:
        """Raises NotFound where there is no such principal."""
        self._check_expected(org, name, expected)
        if (org, name) not in self._now.principals:
            raise NotFound(f"there is no principal {name}")
        key_id, key, made = new_key(org, name)
        await self.change(
            org, author, "key.create", f"principals/{name}/keys/{key_id}", reason, lambda state, _: state.keys.update({key_id: made})
        )
        return key_id, key

    async def keys(self, org: str, name: str | None = None) -> list[dict[str, str]]:
        """`id`, `principal` and `created` (RFC 3339) of each, oldest first."""
        return [
            {"id": key_id, "principal": key.name, "created": key.created}
            for key_id, key in self._now.keys.items()
            if key.org == org and name in (None, key.name)
        ]

    async def delete_key(self, org: str, name: str, key_id: str, author: str, reason: str = "") -> bool:
        key = self._now.keys.get(key_id)
        if key is None or (key.org, key.name) != (org, name):
            return False
        await self.change(
            org, author, "key.delete", f"principals/{name}/keys/{key_id}", reason, lambda state, _: state.drop_keys(lambda one: one is key)
        )
        return True

    # ---- issuers ----------------------------------------------------------------------------------------------------------------

    async def issuers(self) -> dict[str, tuple[Issuer, int]]:
        return dict(sorted(self._now.issuers.items()))

    async def put_issuer(self, issuer: Issuer, org: str, author: str, reason: str = "", expected: int | None = None) -> int:
        found = self._now.issuers
        check_issuer(issuer.name, found[issuer.name][1] if issuer.name in found else None, expected)
        check_apart(issuer, {name: other for name, (other, _) in found.items()})

        def write(state: State, revision: int) -> None:
            state.issuers[issuer.name] = (issuer, revision)

        return await self.change(org, author, "issuer.put", f"issuers/{issuer.name}", reason, write)

    async def delete_issuer(self, name: str, org: str, author: str, reason: str = "", expected: int | None = None) -> bool:
        found = self._now.issuers
        check_issuer(name, found[name][1] if name in found else None, expected)
        if name not in found:
            return False
        await self.change(org, author, "issuer.delete", f"issuers/{name}", reason, lambda state, _: state.issuers.pop(name))
        return True

    # ---- orgs -------------------------------------------------------------------------------------------------------------------

    async def orgs(self, org: str | None = None) -> list[OrgState]:
        return [state for name, state in sorted(self._now.orgs.items()) if org in (None, name)]

    async def create_org(self, admin: Principal, author: str, reason: str = "", *, restore: bool = False) -> NewOrg:
        found = self._now.orgs.get(admin.org)
        if found is not None and (found.deleted is None or not restore):
            raise Stale(f"there is an org {admin.org} already", None)
        key_id, key, made = new_key(admin.org, admin.name)

        def write(state: State, revision: int) -> None:
            state.orgs[admin.org] = OrgState(admin.org, second())
            state.principals[admin.org, admin.name] = (admin, revision)
            state.keys[key_id] = made

        return NewOrg(await self.change(admin.org, author, "org.create", f"orgs/{admin.org}", reason, write), key_id, key)

    async def delete_org(self, org: str, author: str, reason: str = "") -> bool:
        found = self._now.orgs.get(org)
        if found is None or found.deleted is not None:
            return False

        def write(state: State, revision: int) -> None:
            state.orgs[org] = OrgState(org, found.created, second())
            state.drop_org(org, revision)

        await self.change(org, author, "org.delete", f"orgs/{org}", reason, write)
        return True

    # ---- sessions ---------------------------------------------------------------------------------------------------------------

    async def end_session(self, session: Session) -> None:
        """See ConfigSource."""
        if session.key not in {key.hash for key in self._now.keys.values()}:
            return
        of_key = {path: expires for path, expires in self._now.sessions.items() if path.startswith(key_path(session.key))}
        changes = ending(of_key, session)
        if not changes:
            return
        state = self._now.copy()
        for path, expires in changes.items():
            state.sessions.pop(path, None)
            if expires is not None:
                state.sessions[path] = expires
        await self._in_force(state)

    # ---- every change -----------------------------------------------------------------------------------------------------------

    def check_open(self, org: str) -> None:
        """Raise NotProcessable where the org was deleted."""
        found = self._now.orgs.get(org)
        if found is not None and found.deleted is not None:
            raise NotProcessable(f"the org {org} was deleted: what it left is kept until retention", rule="org")

    def _check_expected(self, org: str, name: str, expected: int | None) -> None:
        found = self._now.principals.get((org, name))
        revision = None if found is None else found[1]
        if expected is not None and (revision or 0) != expected:
            raise Stale(f"the principal {name} is not as expected", revision)

    async def change(self, org: str, author: str, action: str, path: str, reason: str, write: Callable[[State, int], object]) -> int:
        """A new state, which `write` makes of a copy of this one: its revision. Raises LastAdmin."""
        before, revision = self._now, len(self._states) + 1
        state = before.copy()
        write(state, revision)
        if before.is_ruled() and not state.is_ruled():
            raise LastAdmin
        check_held(before.held(org), state.held(org))
        time = int(datetime.now(UTC).timestamp() * 1_000_000)
        changes = tuple(changes_of(before, state))
        self._revisions.append(Revision(revision, org, author, time, action, path, reason, changes))
        self.audits.append(Audit(uuid7(), org, author, action, path, time, revision - 1, revision))
        await self._in_force(state)
        return revision

    async def _in_force(self, state: State) -> None:
        self._states.append(state)
        async with self._changed:
            self._changed.notify_all()
