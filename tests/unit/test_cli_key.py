"""How a grant is written on the command line."""

import pytest

from infra.cli.key import parse_grants
from shared.domain.errors import Malformed


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("action=publish", [{"action": "publish"}]),
        ("action=publish,topics=orders.>", [{"action": "publish", "topics": ["orders.>"]}]),
        ("topics=a,b.*,action=read,subjects=x", [{"action": "read", "topics": ["a", "b.*"], "subjects": ["x"]}]),
        ("action=read,topics=a,topics=b", [{"action": "read", "topics": ["a", "b"]}]),
        ("action=publish,read, topics=a", [{"action": "publish", "topics": ["a"]}, {"action": "read", "topics": ["a"]}]),
    ],
)
def test_grant_is_read_when_it_names_an_action(text: str, means: list[dict[str, object]]) -> None:
    assert parse_grants(text) == means


@pytest.mark.parametrize("text", ["", "publish", "topics=a", "action=", "action=read,topic=a", "action=read,,", "=read"])
def test_grant_is_refused_by_name_when_it_makes_no_sense(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_grants(text)
    assert refused.value.faults[0].pointer == "--grant"
