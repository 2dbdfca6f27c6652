"""Documents as the command line reads and shows them: YAML or JSON in, differences out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.cli.config_requests import url_of
from infra.cli.config_text import difference, parse, to_yaml
from shared.domain.errors import Malformed

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_document_is_the_same_when_it_is_shown_and_read_again(value: object) -> None:
    assert parse(to_yaml(value), "it") == value


@pytest.mark.parametrize("text", ["a: 2026-01-31", "a: '2026-01-31'", '{"a": "2026-01-31"}'])
def test_date_is_text_when_a_document_has_one(text: str) -> None:
    assert parse(text, "it") == {"a": "2026-01-31"}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a: 1\na: 2",
            "{",
            "a: .nan",
            "a: .inf",
            "1: 2",
            "a: !!binary YQ==",
            "a: !!python/object:os.system x",
            "? [a]\n: b",
            "a: !!set {b}",
        ),
        *("- &a [*a]", "\x00", "a: b: c", "[" * 5_000),
    ],
)
def test_text_is_refused_by_name_when_it_says_no_document(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse(text, "orders.yaml")
    assert refused.value.faults[0].pointer == "orders.yaml"


def test_difference_has_the_lines_that_differ() -> None:
    lines = list(difference("org", {"max_bytes": 1, "retry": {"attempts": 2}}, {"max_bytes": 2, "retry": {"attempts": 2.0}}))
    assert [line for line in lines if line.startswith(("+", "-"))] == ["--- org", "+++ org", "-max_bytes: 1", "+max_bytes: 2"]
    assert list(difference("org", None, {"a": 1}))[:2] == ["--- org (none)", "+++ org"]
    assert list(difference("org", {"a": 1}, None))[-1] == "-a: 1"


@pytest.mark.parametrize(
    ("path", "url"), [("org", "org"), ("global", "global"), ("topics/a.b/c >", "topics/a.b%2Fc%20%3E"), ("subjects/é", "subjects/%C3%A9")]
)
def test_path_of_a_document_is_one_segment_of_its_url(path: str, url: str) -> None:
    assert url_of(path) == f"/v1/config/{url}"


@pytest.mark.parametrize("path", ["", "orgs", "org/", "org/a", "topics", "topics/", "principals/shop", "/org"])
def test_path_is_refused_when_it_names_no_document(path: str) -> None:
    with pytest.raises(Malformed):
        url_of(path)


def test_json_is_yaml_when_it_is_canonical() -> None:
    document = {"policies": [{"name": "a", "when": 'message.topic == "x" && true'}], "schema": {"a/b~c": [None, 1.5, "é"]}}
    assert parse(json.dumps(document), "it") == document
