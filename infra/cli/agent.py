"""A credentials file as `switchboard listen` takes it: where to connect, as whom, and what may be listened to."""

from pathlib import Path
from typing import NamedTuple

from shared.domain.authority import covers
from shared.domain.errors import Forbidden, Malformed
from shared.domain.names import filter_tail
from shared.domain.registry.agents import inbox_of
from shared.domain.registry.login import Login, read_login

SERVER = "# server: "


class Agent(NamedTuple):
    """What the file says. `org` and what follows are empty in one that isn't an agent's, and may do everything."""

    login: Login
    server: str
    org: str
    principal: str
    consumers: tuple[str, ...]
    tails: tuple[str, ...]

    @property
    def inbox(self) -> str:
        """The prefix that all it subscribes to must have; empty for any."""
        return inbox_of(self.org, self.principal) if self.org else ""

    def durable(self, name: str | None) -> str | None:
        """The consumer that it has, or may have. Raises Malformed."""
        if not self.org:
            return name
        if name is not None and name not in self.consumers:
            raise Malformed(f"--durable: the credentials are for the consumers {', '.join(self.consumers)}")
        return name or self.principal

    def tail(self, subject: str | None, topic: str | None) -> str:
        """What to listen to, of what it may. Raises Forbidden; Malformed where that isn't said, and could be several things."""
        if not self.org or subject is not None or topic is not None:
            wanted = filter_tail(subject, topic)
            if self.org and not any(covers(tail, wanted) for tail in self.tails):
                raise Forbidden(f"the credentials are for {self._said()}, and not for sb.{self.org}.{wanted}")
            return wanted
        if len(self.tails) != 1:
            raise Malformed(f"the credentials are for {self._said()}: choose with --subject and --topic")
        return self.tails[0]

    def _said(self) -> str:
        return ", ".join(f"sb.{self.org}.{tail}" for tail in self.tails) or "no messages"


def read_agent(path: Path) -> Agent:
    """The agent of a credentials file. Raises Malformed, which shows nothing of it."""
    from shared.trust.claims import read_claims  # not before it is needed: cryptography takes 20 ms

    try:
        text = path.read_text(encoding="utf-8")
        login = read_login(text)
        tags = [str(tag).partition(":") for tag in read_claims(login.token)["nats"].get("tags", ())]
    except OSError as error:
        raise Malformed(f"--credentials: {path} can't be read: {error.strerror}") from None
    except ValueError:
        raise Malformed(f"--credentials: {path} is not a credentials file of NATS") from None
    server = next((line.removeprefix(SERVER).strip() for line in text.splitlines() if line.startswith(SERVER)), "")
    org, principal = ("".join(value for name, _, value in tags if name == wanted) for wanted in ("org", "inbox"))
    consumers, tails = (tuple(value for name, _, value in tags if name == wanted) for wanted in ("consumer", "tail"))
    return Agent(login, server, org, principal, consumers, tails)
