"""How a client of NATS signs in: a user's token, and the seed of the key that it must show to hold. Files of both are what `nats --creds`
and every client library take."""

import re
from typing import NamedTuple

_FOUND = re.compile(r"-----BEGIN ([A-Z ]+)-----\s*([^\s-][^\n]*?)\s*\n-{3,}END \1-{3,}")
_FILE = """\
-----BEGIN NATS USER JWT-----
{token}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""


class Login(NamedTuple):
    """`token` is the user's, `seed` the secret part of its key."""

    token: str = ""
    seed: str = ""

    def __repr__(self) -> str:
        return "Login(***)"

    def file(self, *remarks: str) -> str:
        """A credentials file; remarks are lines before, for people."""
        return "".join(f"# {remark}\n" for remark in remarks) + _FILE.format(token=self.token, seed=self.seed)


NO_LOGIN = Login()


def read_login(text: str) -> Login:
    """What a credentials file says. Raises ValueError where it isn't one."""
    found = dict(_FOUND.findall(text))
    if not found.get("NATS USER JWT") or not found.get("USER NKEY SEED"):
        raise ValueError("not a credentials file of NATS: no user token and seed")
    return Login(found["NATS USER JWT"], found["USER NKEY SEED"])
