"""A filter is true of a message, false, or can't be said; and never takes long."""

import json
import time
from typing import Any

import msgspec
import pytest

from shared.domain.rules.filter import Filter
from shared.domain.stored import StoredMessage
from tests.feed import message

LITTLE = 500_000


def row(body: bytes | None = b'{"n":1}', cut: bool = False, **changes: Any) -> StoredMessage:
    one = msgspec.structs.replace(message("acme", "e"), body=body, **changes)
    return StoredMessage(one.id, one, "accepted", None, None, 202, 0, (), cut=cut)


@pytest.mark.parametrize(
    ("text", "body", "said"),
    [
        ("data.n == 1", b'{"n":1}', True),
        ("data.n > 1", b'{"n":1}', False),
        ("data.m > 1", b'{"n":1}', False),
        ("data.n > 1", b'{"n":"a"}', False),
        ("data.n > 1.0", b'{"n":100000000000000000000}', True),
        ("data == null", None, True),
        ('principal.org == "acme" && principal.name == "shop"', None, True),
        ("message.size == 7", b'{"n":1}', True),
    ],
)
def test_a_filter_matches_where_it_is_true(text: str, body: bytes | None, said: bool) -> None:
    assert Filter(text).matches(row(body)) is said


def test_data_is_not_known_when_the_body_was_cut() -> None:
    assert Filter("data == 12").matches(row(b"12"))
    assert not Filter("data == 12").matches(row(b"12", cut=True))
    assert Filter("data == null").matches(row(b"12", cut=True))


@pytest.mark.parametrize(
    ("text", "of"),
    [
        ("data.l.all(x, x != data.l)", row(json.dumps({"l": list(range(3_000))}).encode())),
        ("data.l.all(x, data.l.exists(y, y == x))", row(json.dumps({"l": list(range(3_000))}).encode())),
        ('data.t.matches("(a?){900}b")', row(json.dumps({"t": "a" * 16_000}).encode())),
        (
            "message.extensions.all(k, message.extensions.exists(l, message.extensions[l] != message.extensions[k] || k == l))",
            row(extensions={f"e{number}": "a" * 30 for number in range(1_000)}),
        ),
    ],
)
def test_a_filter_is_not_begun_when_it_could_take_long(text: str, of: StoredMessage) -> None:
    filter = Filter(text, LITTLE)
    began = time.thread_time()
    assert not any(filter.matches(of) for _ in range(100))
    assert time.thread_time() - began < 1


def test_a_filter_is_begun_when_its_extensions_are_few() -> None:
    of = row(extensions={"a": 1, "b": 2})
    assert Filter("message.extensions.exists(k, message.extensions[k] == 2)", LITTLE).matches(of)


@pytest.mark.parametrize("text", ["", "1", "data.map(x, x)", 'message.topic.matches("\\\\pL{1000}")', "\ud800", "(" * 100])
def test_a_text_is_refused_when_it_is_no_filter(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Filter(text)
