"""CEL rules: what compiles, what is left out, what they see of a message, and what happens where they fail."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.config.document import Policy
from shared.domain.message import Message
from shared.domain.rules.admission import affordable, shape_of
from shared.domain.rules.cel import any_of, compile_rule
from shared.domain.rules.facts import GETTERS, Facts, needs_of
from shared.domain.rules.policies import answer, fired, group_of
from tests.unit.config_samples import BOB, message


def said(text: str, of: Message) -> bool | str:
    program = compile_rule(text)
    return answer(program, Facts(of, BOB, needs_of([program.shape])))


EVENT = message({"quantity": 5, "lines": [{"n": 1}, {"n": 2}], "note": None}, extensions={"tenant": "eu"}, subject="agent-7")


@pytest.mark.parametrize(
    "text",
    [
        'message.org == "acme" && message.topic == "orders.created" && message.subject == "agent-7"',
        'message.source == "/shop" && message.event_id == "1" && message.type == "orders.created" && message.door == "http"',
        'message.id == "00000000-0000-0000-0000-000000000000"',
        'message.time == "" && message.datacontenttype == "" && message.dataschema == ""',
        "message.size == 58 || message.size > 0",
        'message.extensions.tenant == "eu" && !has(message.extensions.other)',
        'principal.name == "bob" && principal.org == "acme"',
        'now == timestamp("2026-09-21T14:13:20Z") && now.getHours() == 14',
        "data.quantity == 5 && data.quantity == 5.0 && data.quantity > 4.5",
        "has(data.quantity) && !has(data.price) && data.note == null",
        "data.lines.all(line, line.n < 3) && data.lines.exists(line, line.n == 2)",
        "data.lines.size() == 2 && data.lines[1].n == 2 && 'quantity' in data && size(data) == 3",
        'message.topic.startsWith("orders.") && message.topic.endsWith("created") && message.topic.matches("^o.*d$")',
        'message.topic == "orders.created" // a comment at the end',
        "data == data",
    ],
)
def test_a_rule_is_true_when_it_says_what_the_message_is(text: str) -> None:
    assert said(text, EVENT) is True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("message.nope == 1", "undeclared reference to 'message.nope'"),
        ("nope", "undeclared reference to 'nope'"),
        ("message.size == 'a'", "no matching overload"),
        ("message.topic ==", "Syntax error"),
        ("message.topic", "is STRING"),
        ("has(message.subject)", 'so compare with that'),
        ("data.lines.map(x, x) == []", "undeclared reference"),
        ("data.lines.filter(x, true) == []", "undeclared reference"),
        ("data.lines.exists_one(x, true)", "undeclared reference"),
        ('"a" + "b" == "ab"', "no matching overload"),
        ("[1] + [2] == [1, 2]", "no matching overload"),
        ('b"a" + b"b" == b"ab"', "no matching overload"),
        ("(" * 40 + "true" + ")" * 40, "recursion limit"),
        ("data" + ".a" * 60 + " == 1", "recursion depth"),
        ("true" + " || true" * 400, "over 2000 characters"),
        ("data.all(a, a.all(b, b.all(c, c == 1)))", "inside each other"),
        ('message.topic.matches("(")', "matches(): invalid regular expression"),
        ("message.topic.matches(message.subject)", "written out"),
        ("data.all(x, x.matches(data.p))", "written out"),
        ('matches("a", data.p)', "written out"),
        ('message.topic.matches("\\\\pL{1000}")', "too large"),
        (" || ".join(['message.topic.matches("a{999}")'] * 5), "too large"),
        ("\ud800", "surrogate"),
        ("", "Syntax error"),
    ],
)  # fmt: skip
def test_a_rule_is_refused_with_the_reason_when_it_may_not_be(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        compile_rule(text)


@pytest.mark.parametrize(
    ("text", "of"),
    [
        ("data.price > 1", EVENT),
        ("data.quantity > 1", message(body=b"not json")),
        ("data.quantity > 1", message()),
        ("data.quantity / 0 == 1", EVENT),
        ('data.quantity == 5 && data.quantity.startsWith("5")', EVENT),
        ('message.extensions.other == "x"', EVENT),
        ("int(message.topic) == 1", EVENT),
        ("data.lines.all(x, data.lines.all(y, true))", message({"lines": [0] * 200})),
    ],
)
def test_a_rule_says_why_when_it_fails_on_a_message(text: str, of: Message) -> None:
    assert isinstance(said(text, of), str)


@pytest.mark.parametrize("body", [b"2.5e400", b"9" * 30, b"[" * 500 + b"]" * 500, b'"\\u0000"', b"18446744073709551616", b"9" * 5000])
def test_data_that_is_unusual_harms_no_rule_about_something_else(body: bytes) -> None:
    whole = message(body=b'{"odd": ' + body + b', "n": 1}')
    assert said("data.n == 1", whole) is True
    assert said("data == data && has(data.odd)", whole) is True


@pytest.mark.parametrize("body", [b"\xff", b'"\\ud800"', b"NaN", b"[1,]", b"", b"[" * 100_000])
def test_data_is_null_when_it_is_not_json(body: bytes) -> None:
    assert said("data == null", message(body=body)) is True


def test_a_text_does_not_end_at_a_nul() -> None:
    odd = message(body=b'{"state": "paid\\u0000", "more": {"admin\\u0000x": true, "list": ["a\\u0000"]}}')
    assert said('data.state == "paid" || has(data.more.admin) || data.more.list[0] == "a"', odd) is False
    assert said('data.state == "paid\ufffd" && data.more.exists(key, key == "admin\ufffdx")', odd) is True


def test_data_is_null_when_its_type_is_not_json() -> None:
    assert said("data == null", message(body=b"{}", datacontenttype="text/plain")) is True
    assert said("data == {}", message(body=b"{}", datacontenttype="application/x+JSON; charset=utf-8")) is True


def test_the_name_of_a_variable_in_a_loop_is_its_own() -> None:
    assert compile_rule("[1].all(data, data == 1)").shape.names == frozenset()
    assert said("[{'n': 1}].all(data, data.n == 1)", message()) is True


@pytest.mark.parametrize(
    ("text", "names", "members"),
    [
        ("message.topic == 'data'", {"message.topic"}, set()),
        ("data.a == 1 && has(data.b)", {"data"}, {"a", "b"}),
        ("data.a.b[0].c == 1", {"data"}, {"a"}),
        ("data.a == data['b']", {"data"}, None),
        ("data.a == 1 || data == 2", {"data"}, None),
        ("data.l.all(x, x.a == now)", {"data", "now"}, {"l"}),
    ],
)
def test_only_what_a_rule_asks_for_is_looked_up(text: str, names: set[str], members: set[str] | None) -> None:
    shape = compile_rule(text).shape
    assert shape.names == names
    assert shape.members == members


def test_every_name_of_the_environment_can_be_looked_up() -> None:
    for name in GETTERS:
        assert compile_rule(f"dyn({name}) == dyn({name})").shape.names == {name}
        assert said(f"dyn({name}) == dyn({name})", EVENT) is True


@pytest.mark.parametrize(
    ("text", "crossing"),
    [
        ("data.l.all(x, x.n > 0)", False),
        ("data.l.all(x, x.lines.all(y, y.n > 0))", False),
        ("[1, 2].exists(x, x == message.size)", False),
        ("data.l.all(x, x.c == data.c)", True),
        ("data.l.all(x, x.lines.all(y, y.n == x.n))", True),
        ("data.l.all(x, [1, 2].exists(y, x == y))", False),
        ("[data, data].all(x, x == 1)", False),
        ("[data, data].all(x, x.all(y, y == x))", True),
        ("(has(data.l) ? data.l : []).all(x, x == 1)", True),
    ],
)
def test_a_loop_crosses_when_a_step_looks_at_more_than_its_element(text: str, crossing: bool) -> None:
    assert compile_rule(text).shape.crossing is crossing


def test_a_rule_is_not_started_when_it_could_take_too_long() -> None:
    crossing, plain = compile_rule("data.l.all(x, x == data.c)"), compile_rule("data.l.all(x, x.n > 0)")
    large = message({"l": [{"n": n} for n in range(40_000)], "c": 1})
    assert affordable(plain.shape, large)
    assert not affordable(crossing.shape, large)
    assert "too long" in str(answer(crossing, Facts(large, BOB, needs_of([crossing.shape]))))
    small = message({"l": [{"n": n} for n in range(500)], "c": 1})
    assert affordable(crossing.shape, small)


def test_a_rule_is_not_started_when_its_loops_could_take_too_long_on_many_extensions() -> None:
    same = " && ".join(["message.extensions == message.extensions"] * 20)
    nested, single = f"message.extensions.all(a, message.extensions.all(b, {same}))", f"message.extensions.all(a, {same})"
    many = message({}, extensions={f"a{number}": "x" * 500 for number in range(95)})
    assert "too long" in str(said(nested, many))
    assert said(single, many) is True
    assert said(nested, EVENT) is True
    group = group_of([Policy(str(number), f"!{nested}") for number in range(3)])
    found = fired(group, Facts(many, BOB, needs_of(group.shapes)))
    assert ["too long" in str(one.error) for one in found] == [True] * 3


def test_a_rule_is_not_started_when_its_pattern_could_take_too_long_on_the_text() -> None:
    plain, greedy = compile_rule('data.t.matches("^a+$")'), compile_rule('data.t.matches("(a?){900}b")')
    large = message({"t": "a" * 1_000_000})
    short = message({"t": "a" * 10_000})
    assert affordable(plain.shape, large)
    assert not affordable(greedy.shape, large)
    assert affordable(greedy.shape, short)
    assert not affordable(greedy.shape, short, most=500_000)


def test_rules_as_one_are_false_only_when_each_is() -> None:
    together = any_of(("data.a == 1 // one", "data.b == 1", "message.size < 0"))
    assert together is not None
    needs = needs_of([together.shape])
    for data, expected in (({"a": 0, "b": 0}, False), ({"a": 0, "b": 1}, True), ({"b": 1}, True)):
        assert Facts(message(data), BOB, needs).ask(together) is expected
    assert isinstance(Facts(message({"a": 0}), BOB, needs).ask(together), str)


APART = ("data.a == 1", "data == 2", 'message.topic.matches("^a+$")', "message.extensions.all(x, data.l.exists(y, y == x))", "true")


@given(st.lists(st.sampled_from(APART), min_size=1, max_size=6))
def test_rules_as_one_have_the_shape_that_their_text_has(texts: list[str]) -> None:
    together = any_of(tuple(texts))
    assert together is not None
    assert together.shape == shape_of(together.expression.serialize())


def test_policies_answer_alike_when_they_are_more_than_one_expression_holds() -> None:
    long = " && ".join(["has(data.n)"] * 30)
    group = group_of([Policy(str(number), f"{long} && data.n == {number}") for number in range(20)] + [Policy("bad", "data.nope == 1")])
    assert len(group.parts) > 3
    assert tuple(one for part in group.parts for one in part.asked) == group.asked
    for number in (0, 7, 19, 99):
        found = fired(group, Facts(message({"n": number}), BOB, needs_of(group.shapes)))
        expected = [(str(number), False)] if number < 20 else []
        assert [(one.policy.name, one.error is not None) for one in found] == [*expected, ("bad", True)]


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
json_values = st.recursive(scalars, lambda some: st.lists(some, max_size=4) | st.dictionaries(st.text(), some, max_size=4), max_leaves=10)


@given(json_values)
def test_any_data_can_be_asked_about(data: Any) -> None:
    assert said("data == data && type(data) == type(data)", message({"d": data})) is True
    assert isinstance(said("has(data.d) && data.d == 1", message({"d": data})), bool)
