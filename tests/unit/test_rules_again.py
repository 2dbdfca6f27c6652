"""Judging what was logged again: what flips, what can't be known, and buckets by the messages' own times."""

import json
from typing import Any

import pytest

from shared.domain.message import Message
from shared.domain.rules.again import Again, Logged
from shared.domain.rules.rules import Rules
from tests.events import message


def again(document: dict[str, Any], *logged: Logged, first: int = 10) -> Again:
    found = Again(Rules({"acme": {"org": json.dumps(document).encode()}}), first)
    for one in logged:
        found.judge(one)
    return found


def passed(message: Message) -> Logged:
    return Logged(message, None, True, False)


def refused(message: Message, rule: str, cut: bool = False) -> Logged:
    return Logged(message, rule, False, cut)


def test_messages_flip_both_ways_when_the_rules_are_others() -> None:
    document = {"policies": [{"name": "few", "when": "data.n > 3"}]}
    logged = [
        passed(message("1", body=b'{"n":1}')),
        passed(message("2", body=b'{"n":9}')),
        refused(message("3", body=b'{"n":1}'), "policy:old"),
        refused(message("4", body=b'{"n":9}'), "schema"),
    ]
    tally = again(document, *logged).tally
    assert (tally.examined, tally.unknown, tally.flips, tally.by_rule) == (4, 0, 2, {"policy:few": 1, "policy:old": 1})
    assert [(flip.was, flip.now, flip.rule) for flip in tally.first] == [
        ("accepted", "blocked", "policy:few"),
        ("blocked", "accepted", "policy:old"),
    ]


@pytest.mark.parametrize("rule", ["grant", "org", "identity", "log-quota"])
def test_refusal_stays_when_no_document_gave_it(rule: str) -> None:
    assert again({}, refused(message("1"), rule)).tally.flips == 0


def test_cut_body_is_unknown_and_not_guessed() -> None:
    tally = again({}, refused(message("1"), "max_bytes", cut=True)).tally
    assert (tally.examined, tally.unknown, tally.flips) == (1, 1, 0)


def test_buckets_fill_by_the_times_of_the_messages() -> None:
    document = {"rate_limits": [{"name": "all", "per": [], "rate": 1, "burst": 2}]}
    times = [0, 0, 0, 0.5, 1.0, 5.0, 5.0, 5.0]
    logged = [passed(message(str(place), received_at=int(time * 1e6))) for place, time in enumerate(times)]
    tally = again(document, *logged).tally
    assert tally.by_rule == {"rate:all": 3}
    assert [flip.id for flip in tally.first] == [logged[place].message.id for place in (2, 3, 7)]


def test_first_flips_are_told_and_all_are_counted() -> None:
    tally = again({"max_bytes": 1}, *(passed(message(str(number))) for number in range(20)), first=3).tally
    assert (tally.flips, tally.by_rule, len(tally.first)) == (20, {"max_bytes": 20}, 3)
