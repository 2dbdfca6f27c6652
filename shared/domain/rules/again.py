"""Judging logged messages again, under other documents: which of them would flip.

The buckets are simulated by the messages' own times, from full ones on. Only what documents say is judged: grants, the org an event claims
and identities are as they were. What can't be known is counted as that: an attempt's body that was cut.
"""

from collections import Counter

import msgspec

from shared.domain.message import Message
from shared.domain.principal import Grant, Principal
from shared.domain.rules.check import judge
from shared.domain.rules.limits import Limits
from shared.domain.rules.rules import Rules

GOVERNED = frozenset(("max_bytes", "schema", "route", "config"))  # rules that documents give, beside `policy:` and `rate:`
EVERYTHING = (Grant("publish"),)


class Logged(msgspec.Struct, frozen=True, array_like=True):
    """A message and the verdict it had; `rule` is that of a refusal, `cut` says that its body isn't whole."""

    message: Message
    rule: str | None
    accepted: bool
    cut: bool


class Flip(msgspec.Struct, frozen=True):
    """`was` and `now` are `accepted` or `blocked`; `rule` is the one that blocks, or that blocked."""

    id: bytes
    was: str
    now: str
    rule: str


class Tally(msgspec.Struct):
    """`unknown` of the `examined` could not be judged; of the flips `first` has some, all are in `by_rule`."""

    examined: int = 0
    unknown: int = 0
    flips: int = 0
    by_rule: dict[str, int] = {}
    first: list[Flip] = []


class Again:
    """Judges the messages of an org in the order of their times."""

    def __init__(self, rules: Rules, first: int) -> None:
        self._rules, self._most = rules, first
        self._limits = Limits()
        self._by_rule: Counter[str] = Counter()
        self.tally = Tally()

    def judge(self, logged: Logged) -> None:
        """One more message; received no earlier than the one before."""
        tally = self.tally
        tally.examined += 1
        if not logged.accepted and not _governed(logged.rule):
            return
        if logged.cut:
            tally.unknown += 1
            return
        message = logged.message
        principal = Principal(message.principal, message.org, EVERYTHING)
        scope = self._rules.scope(message.org, message.topic, message.subject)
        blocked = judge(message, principal, scope, self._limits, message.received_at / 1_000_000).blocked
        if (blocked is None) != logged.accepted:
            rule = (logged.rule if blocked is None else blocked.rule) or ""
            self._by_rule[rule] += 1
            tally.flips += 1
            tally.by_rule = dict(self._by_rule)
            if len(tally.first) < self._most:
                tally.first.append(Flip(message.id, _said(logged.accepted), _said(blocked is None), rule))


def _governed(rule: str | None) -> bool:
    return rule in GOVERNED or (rule is not None and rule.startswith(("policy:", "rate:")))


def _said(accepted: bool) -> str:
    return "accepted" if accepted else "blocked"
