"""Policies of one scope, ready to be asked: enforced blockers, enforced routes and shadows, each as one expression for all of them.

Most messages fire none of them, so they are asked at once, as one expression or a few; only of one whose answer isn't a plain false are
they asked one by one, in the order of the merged list. A policy that can't be evaluated blocks, whatever its effect: it fails closed.
"""

from collections.abc import Callable, Collection, Sequence
from math import inf
from time import thread_time
from typing import Any

import msgspec

from shared.domain.config.document import Policy
from shared.domain.rules.admission import Shape, affordable
from shared.domain.rules.cel import Program, any_of, compile_rule
from shared.domain.rules.facts import Facts
from shared.domain.rules.places import place_of
from shared.domain.verdict import Shadow

MAX_TOGETHER = 2_000  # characters of one expression: the library takes milliseconds to compile that, and no other thread runs meanwhile
TIME_BUDGET_S = 0.25  # of CPU, for all of a group's parts and rules that are asked one by one; what comes after fails closed


class Fired(msgspec.Struct, frozen=True):
    """A policy that is true of a message; or failed, and then `error` says how."""

    policy: Policy
    error: str | None = None


class Asked(msgspec.Struct, frozen=True):
    """A policy and its expression; None where it doesn't compile here, which a stored document can't be, but another release's might.

    `place` is what that asks of a message's place alone: where that is false the policy isn't true, and isn't asked."""

    policy: Policy
    program: Program | None
    place: Program | None


class Part(msgspec.Struct, frozen=True):
    """Some policies of a group, one after the other. `together` is them all as one; None where they don't compile so."""

    asked: tuple[Asked, ...]
    together: Program | None


class Group(msgspec.Struct, frozen=True):
    """Policies that are asked together, in parts of at most MAX_TOGETHER characters."""

    asked: tuple[Asked, ...]
    parts: tuple[Part, ...]

    @property
    def shapes(self) -> list[Shape]:
        """Those of its expressions."""
        return [one.program.shape for one in self.asked if one.program is not None]

    def without(self, false: Collection[str]) -> "Group":
        """The group at a place where what has these texts is false."""
        asked = tuple(one for one in self.asked if one.place is None or one.place.text not in false)
        return self if len(asked) == len(self.asked) else _group(asked)


def group_of(policies: Sequence[Policy]) -> Group:
    """The group of some policies, in order."""
    return _group(tuple(map(_asked, policies)))


def _asked(policy: Policy) -> Asked:
    program = _program(policy.when)
    return Asked(policy, program, None if program is None else place_of(policy.when))


def _group(asked: tuple[Asked, ...]) -> Group:
    return Group(asked, tuple(map(_part, _divided(asked))))


def _divided(asked: Sequence[Asked]) -> list[tuple[Asked, ...]]:
    parts: list[tuple[Asked, ...]] = []
    size = 0
    for one in asked:
        size += len(one.policy.when)
        if not parts or size > MAX_TOGETHER:
            parts.append(())
            size = len(one.policy.when)
        parts[-1] += (one,)
    return parts


def _part(asked: tuple[Asked, ...]) -> Part:
    whole = all(one.program is not None for one in asked)
    return Part(asked, any_of(tuple(one.policy.when for one in asked)) if whole else None)


def fired(group: Group, facts: Facts, clock: Callable[[], float] = thread_time) -> list[Fired]:
    """The policies of a group that are true of a message or fail, in order. Usually none, for one evaluation."""
    found: list[Fired] = []
    until = clock() + TIME_BUDGET_S if len(group.parts) > 1 else None
    message = facts.message
    size = inf if message.extensions else len(message.body or b"")  # with extensions it takes a look
    for part in group.parts:
        together = part.together
        begun = together is not None and (size <= together.shape.cheap_below or affordable(together.shape, message))
        if together is not None and begun and (until is None or clock() < until) and facts.ask(together) is False:
            continue
        until = clock() + TIME_BUDGET_S if until is None else until
        found += _one_by_one(part.asked, facts, clock, until)
    return found


def answer(program: Program | None, facts: Facts) -> bool | str:
    """What one expression says of a message; a text where it fails."""
    if program is None:
        return "it doesn't compile"
    if not affordable(program.shape, facts.message):
        return "it could take too long on data of this size, or so many extensions"
    result: Any = facts.ask(program)
    if isinstance(result, str) and "out of range" in result:
        facts.tame()
        result = facts.ask(program)
    return result if isinstance(result, bool) else str(result)


def shadow_of(found: Fired) -> Shadow:
    """What a shadow policy that fired is recorded as. An error may quote data, half a surrogate pair too, which can't be recorded."""
    if found.error is not None:
        return Shadow(found.policy.name, "error", found.error[:200].encode(errors="replace").decode())
    if found.policy.effect == "route":
        return Shadow(found.policy.name, "route", to=found.policy.to or ())
    return Shadow(found.policy.name, "block", found.policy.reason)


def _one_by_one(asked: Sequence[Asked], facts: Facts, clock: Callable[[], float], until: float) -> list[Fired]:
    found = []
    for one in asked:
        if clock() >= until:
            said: bool | str = "the rules before it took too long"
        elif one.place is not None and facts.ask(one.place) is False:
            continue
        else:
            said = answer(one.program, facts)
        if said is not False:
            found.append(Fired(one.policy, None if said is True else str(said)))
    return found


def _program(text: str) -> Program | None:
    try:
        return compile_rule(text)
    except ValueError:
        return None
